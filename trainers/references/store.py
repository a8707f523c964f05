"""References on disk: trained once per cohort, found by content hash, opened by every trial.

<root>/references/<hash16>/{teacher,domain,radiology,restoration-2}/   weights + manifest

``radiology`` is there where RadImageNet's weights were given, and in studies of the first measures;
``restoration-2``, how 64 mT degrades 3 T and what undoes it, where a study's trials restore 3 T slices.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from trainers import weights
from trainers.config import FieldError, digest, plain_values, rebuild
from trainers.data.degrader import Degradation
from trainers.data.sampling import Slices, whole_slices
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.files import file_sha256
from trainers.networks.denoiser import Denoiser
from trainers.networks.encoder import PlainEncoder, ResidualEncoder
from trainers.networks.radimagenet import RadImageNet
from trainers.references import encoders, teacher_check
from trainers.references.config import ReferenceConfig, unhashed
from trainers.references.degradation import estimate
from trainers.references.encoders import Progress
from trainers.references.restorer import Restorer
from trainers.references.teacher import build_teacher, train_teacher

Trained = TypeVar("Trained")
VERSION = 2
"""Of how the parts are made; part of the hash from 2 on.

1: the encoder of FID in float32, and a fallback for Rad-FID. Studies of the first measures open these.
"""


RESTORATION = "restoration-2"
"""The part with the numbers of :class:`Degradation`, and of the :class:`Restorer` that undoes it.

The number rises with what a part holds: studies that are older than it have it made beside theirs.
"""
RESTORERS = {True: "restorer", False: "alone"}
"""In that part: by whether they use the slices' neighbours."""
GAIN_ROWS = 4
"""One slice in so many is enough for the gain of the detail."""


@dataclass(frozen=True)
class References:
    """The frozen networks of one cohort."""

    config: ReferenceConfig
    hash: str
    teacher_weights: dict[str, Tensor]
    domain: nn.Module
    """3 T-domain encoder: FID and KID."""
    radiology: nn.Module | None
    """Rad-FID's encoder; None: it is not measured."""
    degradation: Degradation | None = None
    """How 64 mT degrades 3 T; None: it was not estimated, as no trial restores."""
    restorers: Mapping[bool, Restorer] = field(default_factory=dict)
    """What undoes it in closed form, by whether it uses the slices' neighbours; empty likewise."""

    @classmethod
    def open(cls, folder: Path) -> "References":
        """Load and verify the parts; raises InputError where one is missing or damaged."""
        facts = weights.read_manifest(folder / "teacher")
        config = rebuild(ReferenceConfig, facts["config"])
        tensors = {part: weights.read_tensors(folder / part, part) for part in ("teacher", "domain")}
        radiology = None
        if has_radiology(folder, config):
            given = weights.read_tensors(folder / "radiology", "radiology")
            radiology = frozen("radiology", config, given)
        domain = frozen("domain", config, tensors["domain"])
        found: dict[str, Any] = {}
        if weights.is_published(folder / RESTORATION):
            numbers = weights.read_tensors(folder / RESTORATION, RESTORATION)
            restorers = {key: Restorer(config.channels, neighbours=key) for key in RESTORERS}
            for key, restorer in restorers.items():
                restorer.load_state_dict(weights.select_prefix(numbers, RESTORERS[key]))
            estimated = {name: value for name, value in numbers.items() if "." not in name}
            found = {"degradation": Degradation.of(estimated), "restorers": restorers}
        return cls(config, facts["hash"], tensors["teacher"], domain, radiology, **found)

    def required_degradation(self) -> Degradation:
        """The degradation; raises InputError where it was not estimated."""
        if self.degradation is None:
            raise InputError(
                "lambda_restore: needs the degradation of 3 T by 64 mT, which these references do not have; "
                "allowed: 0, or prepare the references again"
            )
        return self.degradation

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The encoders of the pooled distances, by part."""
        return {"domain": self.domain} | ({"radiology": self.radiology} if self.radiology else {})

    @property
    def radiology_label(self) -> str:
        """What Rad-FID's encoder is called in every report; empty where it is not measured."""
        if self.radiology is None:
            return ""
        return "radimagenet" if self.config.radimagenet else "rad-fallback"

    @cached_property
    def teacher(self) -> Denoiser:
        """The 3 T diffusion teacher, built when first used: a driver never needs it, nor diffusers."""
        with torch.random.fork_rng(devices=[]):  # whoever asks first draws what those after it draw
            teacher = frozen("teacher", self.config, self.teacher_weights)
        assert isinstance(teacher, Denoiser)
        return teacher


def parts(config: ReferenceConfig) -> tuple[str, ...]:
    """What is made: Rad-FID's encoder only from given weights."""
    return ("teacher", "domain", "radiology") if config.radimagenet else ("teacher", "domain")


def has_radiology(folder: Path, config: ReferenceConfig) -> bool:
    """Whether references have, or will have, an encoder of Rad-FID."""
    return "radiology" in parts(config) or weights.is_published(folder / "radiology")


def reference_hash(cohort: Cohort, config: ReferenceConfig, version: int = VERSION) -> str:
    """Content hash of the references that ``config`` gives on ``cohort``; FieldError for a missing file.

    ``version``: 1 for studies of the first measures.
    """
    if config.radimagenet and not Path(config.radimagenet).is_file():
        allowed = "a safetensors file of RadImageNet's ResNet-50, or nothing to measure no rad_fid"
        raise FieldError("radimagenet", config.radimagenet, allowed)
    given = file_sha256(Path(config.radimagenet)) if config.radimagenet else ""
    settings = json.dumps(hashed_settings(config), sort_keys=True, separators=(",", ":"))
    return digest(cohort.hash, settings, given, *([] if version == 1 else [f"training {version}"]))


def hashed_settings(config: ReferenceConfig) -> dict[str, Any]:
    """The settings on which the references depend."""
    return {key: value for key, value in plain_values(config).items() if key not in unhashed()}


def reference_folder(root: Path, cohort: Cohort, config: ReferenceConfig, version: int = VERSION) -> Path:
    """The folder of those references."""
    return root / "references" / reference_hash(cohort, config, version)[:16]


def missing_parts(folder: Path, config: ReferenceConfig, restores: bool = False) -> list[str]:
    """The parts that still have to be made; ``restores``: whether trials restore degraded 3 T slices."""
    # First: it takes seconds, and may be refused.
    wanted = (RESTORATION, *parts(config)) if restores else parts(config)
    return [part for part in wanted if not weights.is_published(folder / part)]


def build_part(part: str, config: ReferenceConfig) -> nn.Module:
    """The untrained network of a part."""
    if part == "teacher":
        return build_teacher(config)
    if part == "domain":
        return ResidualEncoder(config.encoder_width)
    return RadImageNet() if config.radimagenet else PlainEncoder(config.encoder_width)


def frozen(part: str, config: ReferenceConfig, tensors: dict[str, Tensor]) -> nn.Module:
    """The network of a part with these weights, not to be trained."""
    network = build_part(part, config)
    network.load_state_dict(tensors)
    return network.requires_grad_(False).eval()


def train_part(
    part: str,
    cohort_path: Path,
    config: ReferenceConfig,
    root: Path,
    progress: Progress,
    version: int = VERSION,
) -> None:
    """Make and publish one part; ``progress`` is called with each step count."""
    cohort = Cohort.open(cohort_path)
    facts: dict[str, Any] = {
        "config": hashed_settings(config),
        "hash": reference_hash(cohort, config, version),
        "trained_on": [s.id for s in cohort.split("train").subjects("3T")],
    }
    if part == RESTORATION:
        tensors = estimated(cohort, config, progress)
    else:
        network = _trained(part, cohort, config, progress)
        tensors = network.state_dict()
        if isinstance(network, Denoiser) and config.teacher_check:
            facts["denoising"] = teacher_check.check(network, cohort, config)
    weights.publish(
        reference_folder(root, cohort, config, version) / part, {part: tensors}, facts, "reference"
    )


def estimated(cohort: Cohort, config: ReferenceConfig, progress: Progress) -> dict[str, Tensor]:
    """The degradation of a cohort, and its restorers."""
    found = estimate(cohort, progress)
    slices = Slices.of(cohort, config.channels, min(cohort.shape), found)
    restorers = {key: Restorer(config.channels, neighbours=key) for key in RESTORERS}
    restorers[True].fit_with([restorers[False]], slices.degraded_slices(config.seed))
    tensors = found.tensors()
    for key, restorer in restorers.items():
        restorer.fit_gain(slices.degraded_slices(config.seed, every=GAIN_ROWS))
        tensors |= {f"{RESTORERS[key]}.{name}": value for name, value in restorer.state_dict().items()}
    return tensors


def _trained(part: str, cohort: Cohort, config: ReferenceConfig, progress: Progress) -> nn.Module:
    """The network of a part, trained now or loaded from what is given."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if part == "teacher":
        crops = Slices.of(cohort, config.channels, config.crop).target_crops(
            config.teacher_batch, config.seed
        )
        return train_teacher(config, crops, device, progress)
    if part == "domain":
        return encoders.train_domain_encoder(config, slice_batches(cohort, config), device, progress)
    return RadImageNet.load(Path(config.radimagenet))


def train_with_progress(
    cohort_path: Path, config: ReferenceConfig, root: Path, version: int, part: str
) -> None:
    """:func:`train_part`, with :func:`with_progress`."""
    file = progress_file(reference_folder(root, Cohort.open(cohort_path), config, version), part)
    with_progress(file, partial(train_part, part, cohort_path, config, root, version=version))


def with_progress(file: Path, train: Callable[[Progress], Trained]) -> Trained:
    """What ``train`` returns, which is given a function that writes its step count once a second."""
    written = 0.0
    file.parent.mkdir(parents=True, exist_ok=True)

    def write(step: int) -> None:
        nonlocal written
        if time.monotonic() - written >= 1:
            written = time.monotonic()
            file.write_text(str(step))

    return train(write)


def progress_file(folder: Path, part: str) -> Path:
    """The file with the step count of a part's training, for a progress bar."""
    return folder / f".{part}.progress"


def slice_batches(cohort: Cohort, config: ReferenceConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of whole 3 T training slices with their relative heights."""
    split = cohort.split("train")
    # Not torch.linspace, whose last bit differs between processors.
    counts = [s.stop - s.start for s in split.subjects("3T")]
    level = torch.from_numpy(np.concatenate([np.arange(n) / max(1, n - 1) for n in counts]))
    rng = np.random.default_rng(config.seed)
    while True:
        rows = np.sort(rng.integers(len(level), size=config.encoder_batch))
        yield whole_slices(split, "3T", config.channels, rows), level[rows]
