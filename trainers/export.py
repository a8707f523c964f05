"""An exported translator: the averaged weights of one checkpoint, its settings and its input format.

<folder>/translator.safetensors, manifest.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers import weights
from trainers.config import rebuild
from trainers.data import channels
from trainers.data.grid import Grid
from trainers.data.store import Cohort
from trainers.data.views import View
from trainers.errors import InputError
from trainers.methods.base import find_method, translate_rows
from trainers.metrics.judge import clamp_and_mask
from trainers.references.config import ReferenceConfig

TRANSLATOR = "translator"
PLANE: View = "axial"
"""Of the slices of every cohort."""


@dataclass(frozen=True)
class Translator:
    """An opened model; translates at the refinement step count that was chosen for it."""

    facts: Mapping[str, Any]
    networks: Mapping[str, nn.Module]
    device: torch.device

    @classmethod
    def open(cls, folder: Path) -> "Translator":
        """Open and verify an exported model; raises InputError where it is damaged, or something else."""
        facts = weights.verify(folder)
        weights.require_kind(folder, facts, "model", "reference_config")
        if facts.get("plane", PLANE) != PLANE:
            problem = f"was trained on {facts['plane']} slices, which no cohort has"
            raise InputError(f"{folder}: {problem}; allowed: a model of {PLANE} slices")
        references = rebuild(ReferenceConfig, facts["reference_config"])
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        networks = load_networks(facts, weights.read_tensors(folder, TRANSLATOR), references, device)
        return cls(facts, networks, device)

    @classmethod
    def of_checkpoint(
        cls, folder: Path, steps: int, references: ReferenceConfig, device: torch.device
    ) -> "Translator":
        """A trial's checkpoint at ``steps``, without a grid; raises InputError where it is damaged."""
        facts = weights.verify(folder) | {"steps": steps, "reference_config": asdict(references)}
        networks = load_networks(facts, weights.read_tensors(folder, "averaged"), references, device)
        return cls(facts, networks, device)

    @property
    def channels(self) -> channels.Layout:
        """How a slice's contrasts make its channels."""
        return rebuild(ReferenceConfig, self.facts["reference_config"]).channels

    @property
    def plane(self) -> View:
        """Of the slices it was trained on; earlier models do not say it, and are of axial ones."""
        plane: View = self.facts.get("plane", PLANE)
        return plane

    @property
    def grid(self) -> Grid:
        """The working grid of the cohort it was trained on."""
        rows, columns = self.facts["shape"]
        return Grid((rows, columns), self.facts["spacing"])

    def slices(self, source: Tensor, mask: Tensor, draw: int = 0) -> Tensor:
        """All working slices [N, 3, H, W] in [-1, 1] of a volume, masks [N, H, W]: translated, finished."""
        return clamp_and_mask(self.rows(source, draw), mask)

    def rows(
        self, source: Tensor, draw: int = 0, subjects: Sequence[tuple[int, int]] | None = None
    ) -> Tensor:
        """Working slices [N, 3, H, W] in [-1, 1], translated; of one volume, or of ``subjects``.

        All slices share one latent; each ``draw`` has its own.
        """
        module, steps = find_method(self.facts["method"]), self.facts["steps"]
        config, rows = rebuild(module.Config, self.facts["config"]), source.to(self.device)
        how, seed = (module.Method, self.networks, config), config.seed + draw
        return translate_rows(*how, rows, seed, steps, subjects=subjects)[-1]


def load_networks(
    facts: Mapping[str, Any], tensors: Mapping[str, Tensor], references: ReferenceConfig, device: torch.device
) -> dict[str, nn.Module]:
    """The translating networks of a method and configuration in ``facts``, with the given weights."""
    method = find_method(facts["method"])
    networks: dict[str, nn.Module] = method.Method.translators(
        rebuild(method.Config, facts["config"]), references
    )
    for name, network in networks.items():
        network.load_state_dict(weights.select_prefix(tensors, name))
        network.requires_grad_(False).eval().to(device)
    return networks


def export(
    folder: Path,
    source: Path,
    steps: int,
    cohort: Cohort,
    references: ReferenceConfig,
    scores: Mapping[str, float],
    confirmed: Mapping[str, Mapping[str, float | None]],
    lesions: Mapping[str, Any],
) -> None:
    """Publish to ``folder`` the translator of the checkpoint ``source`` at ``steps`` refinement steps.

    ``confirmed``: by measure its ``estimate`` with new seeds, the bounds ``low`` and ``high``, and the
    untouched ``input``'s; empty where nothing was confirmed. ``lesions``: what it does to known ones.
    """
    facts = weights.verify(source)
    manifest = {
        "method": facts["method"],
        "config": facts["config"],
        "steps": steps,
        "scores": dict(scores),
        "confirmed": dict(confirmed),
        "lesions": dict(lesions),
        "trial_key": facts["key"],
        "cohort": facts["cohort"],
        "references": facts["references"],
        "reference_config": asdict(references),
        "shape": list(cohort.shape),
        "spacing": cohort.spacing,
        "normalisation": cohort.manifest["choices"]["normalisation"],
        "plane": PLANE,
    }
    weights.publish(folder, {TRANSLATOR: weights.read_tensors(source, "averaged")}, manifest, "model")
