"""How often the intervals that reports print contain the truth, in simulated cohorts of 16 subjects.

Run as a module (``make evidence``): writes docs/coverage.md, two minutes of one core. ``--quick``: a tenth of
the repeats, printed only. The truth of a mean is its distribution's; that of a pooled distance, which few
subjects raise, is its expectation at 16 subjects, estimated from other cohorts.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
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

SUBJECTS, SLICES, FEATURES = 16, 6, 24
MEAN_REPEATS, REPEATS, KNOWN = 5000, 1000, 2000
"""Simulated cohorts for a mean and for a distance, and further ones for the distance's expectation."""
DISTANCES = ("FID", "patch distance", "KID")
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
    """Of one kind of value."""

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


def of_means(repeats: int, seed: int = 0) -> Iterator[Coverage]:
    """Means of subjects' values."""
    draws, rng = subject_draws(SUBJECTS, DRAWS, seed=0), np.random.default_rng(seed)
    for name, (sample, truth) in MEANS.items():
        values = torch.from_numpy(sample(rng, (repeats, SUBJECTS)))
        yield _coverage(name, [(float(x.mean()), resampled_mean(x, draws)) for x in values], truth)


def of_distances(
    repeats: int, known: int, names: Sequence[str] = DISTANCES, seed: int = 0
) -> Iterator[Coverage]:
    """Distances to a pool; ``known``: further cohorts for their expectation."""
    draws, features = subject_draws(SUBJECTS, DRAWS, seed=0), Features.of(seed)
    kinds: dict[str, Callable[[Tensor], Comparison]] = {
        "FID": partial(features.pooled, features.pool.frechet),
        "patch distance": features.by_moments,
        "KID": partial(features.pooled, features.pool.kernel),
    }
    for name, (where, (shift, spread)) in product(names, SHIFTS.items()):
        others = features.sets(shift, spread, known, seed + 2)
        truth = float(np.mean([kinds[name](x).values()["distance"] for x in others]))
        sets = features.sets(shift, spread, repeats, seed + 1)
        drawn = [kinds[name](x).resampled(draws)["distance"] for x in sets]
        yield _coverage(f"{name}, {where}", drawn, truth)


def _coverage(name: str, drawn: Sequence[tuple[float, Tensor]], truth: float) -> Coverage:
    ends = np.array([interval(Score(x, tuple(d.tolist()), SUBJECTS), FREE) for x, d in drawn])
    inside = []
    for estimate, values in drawn:
        group = SeedGroup(np.full((1, 1, 1), estimate), values.numpy().reshape(1, -1, 1, 1))
        _, low, high = confidence.intervals([group], [SUBJECTS])
        inside.append(low.item() <= truth <= high.item())
    covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    return Coverage(name, float(covered.mean()), float((ends[:, 1] < truth).mean()), float(np.mean(inside)))


def page(rows: Sequence[Coverage]) -> str:
    """docs/coverage.md."""
    table = markdown_table(
        ["value", "tables", "of which too low", "confirmed fronts"],
        [[r.name, f"{r.table:.1%}", f"{r.below:.1%}", f"{r.confirmed:.1%}"] for r in rows],
    )
    return f"""# Coverage of the intervals

How often the 95 % intervals that reports print contain the truth: {MEAN_REPEATS:,} simulated cohorts of
{SUBJECTS} subjects for means of their values, {REPEATS:,} for pooled distances (`make evidence` computes this
page; standard errors of the shares are .3 and .7 %). Features differ between subjects and between slices of
one; the truth of a distance is its expectation at {SUBJECTS} subjects, as the bias of few of them is in
every row of a table alike.

{table}

The intervals are Student's from the jackknife's pseudo-values of the subjects, corrected for skewness (Hall
1992). Third column: the share of all intervals that end below the truth.
"""


def main(arguments: Sequence[str]) -> None:
    """Print each line as it is known, then write the page."""
    torch.set_num_threads(1)
    part = 10 if "--quick" in arguments else 1
    rows = []
    for row in chain(of_means(MEAN_REPEATS // part), of_distances(REPEATS // part, KNOWN // part)):
        print(f"{row.name}: {row.table:.1%}, confirmed {row.confirmed:.1%}", flush=True)
        rows.append(row)
    if part == 1:
        PAGE.write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
