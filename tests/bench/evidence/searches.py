"""Eight searched trials against the start point trained with eight seeds, study by study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.pareto.front import Front, candidates
from platform.storage.saved_study import load_saved
from platform.storage.trials import Trial

import numpy as np
from scipy.stats import t as student

from tests.bench.evidence.results import completed

OBJECTIVES = ("patch_fd", "ms_ssim", "psnr")


@dataclass(frozen=True)
class Compared:
    """A study beside as many trainings of its start point."""

    searched: float
    """Hypervolume on validation, and that of the ``reseeded`` trainings."""
    reseeded: float
    rungs: Mapping[str, Sequence[Sequence[float]]]
    """By objective, each searched trial's score at its first rung and at its end, at one refinement step."""


def compared(study: Path, comparison: Path) -> Compared:
    """A finished study and the comparison of its start point's trainings."""
    saved, groups = load_saved(study), [completed(study), completed(comparison)]
    searched, reseeded = (
        Front.of(saved.criteria, saved.study.objectives, candidates(group)).hypervolume for group in groups
    )
    return Compared(searched, reseeded, {m: rung_and_end(groups[0], m) for m in OBJECTIVES})


def rung_and_end(trials: Iterable[Trial], metric: str) -> list[tuple[float, float]]:
    """Of each trial with more than one rung."""
    several = [trial for trial in trials if len(trial.reports) > 1]
    return [(t.reports[min(t.reports)].scores[1][metric], t.scores[1][metric]) for t in several]


def difference(searched: Sequence[float], reseeded: Sequence[float]) -> tuple[float, float, float]:
    """Mean difference with Welch's 95 % interval, in shares of the reseeded mean."""
    a, b = np.array(searched), np.array(reseeded)
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    variance = sum(parts)
    degrees = variance**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, (a, b), strict=True) if p)
    half = float(student.ppf(0.975, degrees)) * variance**0.5
    mean = float(a.mean() - b.mean())
    return tuple(x / float(b.mean()) for x in (mean, mean - half, mean + half))  # type: ignore[return-value]
