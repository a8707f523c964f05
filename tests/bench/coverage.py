"""How often the intervals that reports print contain the truth: 1,000 simulated cohorts of 16 subjects.

Run as a module (``make evidence``): writes docs/coverage.md, a minute or two on one core. ``--quick``: a tenth of
the repeats, printed only. The truth of a mean is its distribution's; that of a pooled distance, which few subjects
raise, its expectation at 16 subjects, estimated from other cohorts.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from platform.reporting.tables import markdown_table
from platform.stats import confidence
from platform.stats.confidence import SeedGroup
from platform.stats.ranks import interval
from platform.stats.scores import Score

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.metrics.aggregate import resampled_mean, subject_draws
from trainers.metrics.frechet import FeaturePool
from trainers.metrics.judge import DRAWS
from trainers.metrics.moments import Gaussian, SubjectMoments, Whitening, frechet
from trainers.metrics.resampling import Comparison, repeated

SUBJECTS, SLICES, FEATURES = 16, 8, 24
REPEATS, KNOWN = 1000, 4000
"""Simulated cohorts, and further ones for the expectation of a distance."""
PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
FREE = "kid"
"""A measure without bounds: they would cut intervals, which changes no coverage."""
Values = NDArray[np.float64]
Sampler = Callable[[np.random.Generator, tuple[int, ...]], Values]

MEANS: dict[str, tuple[Sampler, float]] = {
    "mean, normal (as PSNR)": (lambda rng, size: rng.normal(20, 1.5, size), 20.0),
    "mean, bounded (as Dice)": (lambda rng, size: rng.beta(12, 3, size), 0.8),
    "mean, skewness 1 (absolute errors)": (
        lambda rng, size: np.abs(rng.normal(0, 1, size)),
        (2 / np.pi) ** 0.5,
    ),
    "mean, skewness 1.75 (log-normal)": (
        lambda rng, size: np.exp(0.5 * rng.standard_normal(size)),
        float(np.exp(0.125)),
    ),
    "mean, skewness 2 (exponential)": (lambda rng, size: rng.exponential(1, size), 1.0),
}
"""Values of subjects, and their distribution's mean."""
SHIFTS = {"as the pool": (0.0, 1.0), "near it": (0.3, 1.2), "far from it": (1.0, 1.5)}
"""Of a set's features from the pool's: shift, and factor of the spread over subjects."""


@dataclass(frozen=True)
class Coverage:
    """Of one kind of value: shares of intervals below, on and above the truth are ``misses`` and the rest."""

    name: str
    table: float
    """Share of intervals in comparison tables that contain the truth."""
    below: float
    """Share of those that end below it."""
    confirmed: float
    """As ``table``, of the intervals of confirmed fronts and test splits."""


@dataclass(frozen=True)
class Features:
    """Slices' features: subjects differ, and slices of a subject; skewed, positive and correlated."""

    mixing: Tensor
    pool: FeaturePool
    whitening: Whitening

    @classmethod
    def of(cls, seed: int) -> "Features":
        """With a pool of 24 subjects."""
        generator = torch.Generator().manual_seed(seed)
        scales = torch.logspace(-0.3, -1.3, FEATURES, dtype=torch.float64)
        mixing = torch.linalg.qr(torch.randn(FEATURES, FEATURES, generator=generator).double()).Q * scales
        pool = FeaturePool.of(_drawn(mixing, 24, 0.0, 1.0, generator).flatten(0, 1))
        moments = Gaussian(pool.features.mean(0)[None], pool.features.T.cov()[None])
        return cls(mixing, pool, Whitening.of(moments, 8))

    def sets(self, shift: float, spread: float, count: int, seed: int) -> Iterator[Tensor]:
        """Cohorts [SUBJECTS, SLICES, FEATURES]."""
        generator = torch.Generator().manual_seed(seed)
        return (_drawn(self.mixing, SUBJECTS, shift, spread, generator) for _ in range(count))

    def pooled(self, distance: Callable[[Tensor], float], features: Tensor) -> Comparison:
        """As ``fid`` and ``kid`` are computed."""
        rows = [(i * SLICES, (i + 1) * SLICES) for i in range(SUBJECTS)]
        return repeated("distance", distance, features.flatten(0, 1), rows)

    def by_moments(self, features: Tensor) -> Comparison:
        """As ``patch_fd`` and ``fid_spatial`` are computed."""
        moments = SubjectMoments.of([self.whitening(part) for part in features])
        standard = Gaussian.standard(self.whitening.components)
        return Comparison(SUBJECTS, lambda w: {"distance": frechet(moments.balanced(w), standard)})


def _drawn(mixing: Tensor, subjects: int, shift: float, spread: float, generator: torch.Generator) -> Tensor:
    between = spread * torch.randn(subjects, 1, FEATURES, generator=generator).double()
    within = torch.randn(subjects, SLICES, FEATURES, generator=generator).double()
    return torch.nn.functional.softplus(2 * (shift + between + within) @ mixing.T)


def measured(repeats: int = REPEATS, known: int = KNOWN, seed: int = 0) -> Iterator[Coverage]:
    """Every kind of value."""
    draws, rng = subject_draws(SUBJECTS, DRAWS, seed=0), np.random.default_rng(seed)
    for name, (sample, truth) in MEANS.items():
        values = torch.from_numpy(sample(rng, (repeats, SUBJECTS)))
        drawn = [(float(x.mean()), resampled_mean(x, draws)) for x in values]
        yield _coverage(name, drawn, truth)
    features = Features.of(seed)
    kinds: dict[str, Callable[[Tensor], Comparison]] = {
        "FID": partial(features.pooled, features.pool.frechet),
        "patch distance": features.by_moments,
        "KID": partial(features.pooled, features.pool.kernel),
    }
    for kind, compare in kinds.items():
        for where, (shift, spread) in SHIFTS.items():
            others = features.sets(shift, spread, known, seed + 2)
            truth = float(np.mean([compare(x).values()["distance"] for x in others]))
            sets = features.sets(shift, spread, repeats, seed + 1)
            drawn = [compare(x).resampled(draws)["distance"] for x in sets]
            yield _coverage(f"{kind}, {where}", drawn, truth)


def _coverage(name: str, drawn: Sequence[tuple[float, Tensor]], truth: float) -> Coverage:
    ends = np.array([interval(Score(x, tuple(d.tolist()), SUBJECTS), FREE) for x, d in drawn])
    inside = []
    for estimate, values in drawn:
        group = SeedGroup(np.full((1, 1, 1), estimate), values.numpy().reshape(1, -1, 1, 1))
        _, low, high = confidence.intervals([group], [SUBJECTS])
        inside.append(low.item() <= truth <= high.item())
    covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    return Coverage(name, float(covered.mean()), float((ends[:, 1] < truth).mean()), float(np.mean(inside)))


def page(rows: Sequence[Coverage], repeats: int) -> str:
    """docs/coverage.md."""
    table = markdown_table(
        ["value", "tables", "of these misses, too low", "confirmed fronts"],
        [[r.name, f"{r.table:.1%}", f"{r.below:.1%}", f"{r.confirmed:.1%}"] for r in rows],
    )
    return f"""# Coverage of the intervals

How often the 95 % intervals that reports print contain the truth, over {repeats:,} simulated cohorts of {SUBJECTS} subjects
(`make evidence` computes this page; the standard error of a share is .7 %). Means are of values per subject. Pooled distances
are of features that differ between subjects and between slices of one, and their truth is the expectation at {SUBJECTS}
subjects: the intervals are of what these subjects say, not of the bias that few subjects have.

{table}

The intervals are Student's of the jackknife's pseudo-values over subjects, corrected for skewness (Hall 1992). Third column:
the share of all intervals that end below the truth; of values with a long upper tail nearly all that miss do.
"""


def main(arguments: Sequence[str]) -> None:
    """Print each line as it is known, then write the page."""
    torch.set_num_threads(1)
    quick = "--quick" in arguments
    repeats, known = (REPEATS // 10, KNOWN // 10) if quick else (REPEATS, KNOWN)
    rows = []
    for row in measured(repeats, known):
        print(f"{row.name}: {row.table:.1%}, confirmed {row.confirmed:.1%}", flush=True)
        rows.append(row)
    if not quick:
        PAGE.write_text(page(rows, repeats), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
