"""Eight searched trials against the start point trained with eight seeds, study by study."""

from collections.abc import Sequence
from pathlib import Path
from platform.pareto.front import Front, candidates
from platform.storage.saved_study import load_saved

import numpy as np
from scipy.stats import t as student

from tests.bench.evidence.plan import TRIALS
from tests.bench.evidence.results import completed


def volumes(studies: Sequence[Path], comparison: Path) -> tuple[list[float], list[float]]:
    """Hypervolume on validation of each study, and of as many trainings of the comparison's one system."""
    saved, seeds = load_saved(studies[0]), completed(comparison)
    groups = [completed(folder) for folder in studies]
    others = [[t for t in seeds if t.params["seed"] // TRIALS == i] for i in range(len(studies))]
    searched, reseeded = (
        [Front.of(saved.criteria, saved.study.objectives, candidates(g)).hypervolume for g in each]
        for each in (groups, others)
    )
    return searched, reseeded


def difference(searched: Sequence[float], reseeded: Sequence[float]) -> tuple[float, float, float]:
    """Mean difference with Welch's 95 % interval, in shares of the reseeded mean."""
    a, b = np.array(searched), np.array(reseeded)
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    variance = sum(parts)
    degrees = variance**2 / sum(p**2 / (len(x) - 1) for p, x in zip(parts, (a, b), strict=True) if p)
    half = float(student.ppf(0.975, degrees)) * variance**0.5
    mean = float(a.mean() - b.mean())
    return tuple(x / float(b.mean()) for x in (mean, mean - half, mean + half))  # type: ignore[return-value]
