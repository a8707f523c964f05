"""Evaluation of one translator on one split: measures with draws of subjects, sample slices, cost.

<folder>/samples.safetensors, manifest.json

The manifest has, by measure, ``scores`` and ``extended``: the estimate and its draws; ``subjects``, how many
the split has; ``measured``, on how many, of measures that some have no value of.
"""

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers import weights
from trainers.data.store import Cohort
from trainers.export import Translator
from trainers.metrics import baselines
from trainers.metrics.aggregate import measured_subjects, resampled_mean
from trainers.metrics.judge import Judge, clamp_and_mask
from trainers.metrics.names import BASELINES, VERSION
from trainers.references.store import References

SAMPLES = "samples"


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate, and where its results are published."""

    translator: str
    """A checkpoint's folder, a name of ``names.BASELINES``, or ``truth``: the paired 3 T itself."""
    steps: int
    """Refinement step count at which the checkpoint translates."""
    cohort: Path
    references: Path
    folder: Path
    split: str = "test"
    """The split that is scored; of others only val is opened, from which baselines learn."""
    measures: int = VERSION
    """Version of the measures."""
    bound: Path | None = None
    """Folder of the supervised bound, where there is one."""


def evaluate(task: Evaluation) -> str:
    """Publish the results of one translator; returns their folder. Published results are reused."""
    if weights.is_published(task.folder):
        return str(task.folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = _opened(task.cohort, task.references, task.split, task.measures, device)
    facts: dict[str, Any] = {"translator": task.translator, "steps": task.steps, "costs": {}}
    output: Tensor | None
    if task.translator == "truth":
        output = judge.truth
    elif task.translator in BASELINES:
        output = baselines.output(task.translator, judge, task.bound)
    else:
        folder = Path(task.translator)
        output, facts["costs"] = translated(folder, task.steps, judge, device)
    facts["subjects"] = len(judge.subjects)
    if output is None:  # a baseline that this cohort does not have
        nothing: dict[str, Any] = {"scores": {}, "extended": {}, "measured": {}}
        weights.publish(task.folder, {SAMPLES: {}}, facts | nothing, "evaluation")
        return str(task.folder)
    mask = judge.truth_mask if task.translator == "truth" else None
    scored, extended = judge.per_subject(output), judge.extended(output)
    distances = {name: list(pair) for name, pair in judge.resampled(output, mask).items()}
    facts["scores"] = distances | resampled(scored, judge.draws)
    facts["extended"] = resampled(extended, judge.draws)
    measured = {name: measured_subjects(values) for name, values in (scored | extended).items()}
    facts["measured"] = {name: m for name, m in measured.items() if m < len(judge.subjects)}
    weights.publish(task.folder, {SAMPLES: judge.samples(output)}, facts, "evaluation")
    return str(task.folder)


@functools.lru_cache(maxsize=1)
def _opened(cohort: Path, references: Path, split: str, measures: int, device: torch.device) -> Judge:
    """Opened once per process and shared by its evaluations."""
    store, frozen = Cohort.open(cohort), References.open(references)
    for encoder in frozen.encoders.values():
        encoder.to(device)
    return Judge.of(store, frozen, split, measures)


def translated(
    folder: Path, steps: int, judge: Judge, device: torch.device
) -> tuple[Tensor, dict[str, float]]:
    """Finished translations [N, 3, H, W] of the judge's slices, with seconds per volume and parameters."""
    translator = Translator.of_checkpoint(folder, steps, judge.references.config, device)
    started = time.perf_counter()
    output = translator.rows(judge.source, subjects=judge.subjects)
    seconds = time.perf_counter() - started
    cost = {
        "seconds_per_volume": seconds / len(judge.subjects),
        "parameters": parameters(translator.networks),
    }
    return clamp_and_mask(output, judge.mask), cost


def parameters(networks: Mapping[str, nn.Module]) -> float:
    """Number of weights of a translator."""
    return float(sum(p.numel() for network in networks.values() for p in network.parameters()))


def resampled(values: Mapping[str, Tensor], draws: Tensor) -> dict[str, list[Any]]:
    """Measures of subjects [S]: the mean, and its values on ``draws`` [R, S] of subjects."""
    return {name: [float(x.nanmean()), resampled_mean(x, draws).tolist()] for name, x in values.items()}
