"""A set's distances to a pool for any weights of its subjects: jackknife and resampling without new passes.

Shapes: S subjects, R resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import InputError


@dataclass(frozen=True, eq=False)
class Jackknifed:
    """A value, and the values without each subject."""

    value: float
    without: Tensor
    """[S]"""

    @property
    def error(self) -> float:
        """Standard error over subjects (Efron & Tibshirani 1993, eq. 11.5)."""
        spread = self.without - self.without.mean()
        return float((spread.square().mean() * (len(spread) - 1)).sqrt())

    @property
    def extrapolated(self) -> float:
        """The value for infinitely many subjects: intercept of the line in 1 / S through all S and S - 1.

        Chong & Forsyth 2020 (arXiv 1911.07023) fit it over a wide range of sizes, each from a random subset.
        With few subjects the curve is straight near S only, and there all S subsets of S - 1 can be taken:
        nothing is drawn, and this is the jackknife's correction of bias (Quenouille 1956). Removed is the
        bias of order 1 / S from the few subjects of this set; that of the pool's own finite size is in all
        values alike and remains, as do higher orders: with 128 Gaussian features and 16 subjects of 11 slices
        the distance of a set like the pool's is 2.3 times its limit, and this value 1.24 times.
        """
        count = len(self.without)
        return count * self.value - (count - 1) * float(self.without.mean())

    def resampled(self, draws: Tensor) -> Tensor:
        """The value [R] on draws [R, S] of subjects, to first order: mean of the drawn pseudo-values.

        A distance of the drawn subjects themselves is no such value: those drawn twice leave fewer distinct
        ones, which raises it, and by how much varies from draw to draw, so that its intervals are too wide.
        Pseudo-values as in Efron & Tibshirani 1993, eq. 11.14 and section 20.
        """
        influence = (len(self.without) - 1) * (self.without.mean() - self.without)
        return self.value + influence[draws].mean(1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """One set of slices compared with a pool."""

    subjects: int
    distances: Callable[[Tensor], Mapping[str, Tensor]]
    """Of weights [R, S], float64, how often each subject counts: every distance [R] by its name."""

    def values(self) -> dict[str, float]:
        """Every distance with each subject counted once."""
        return {name: float(x) for name, x in self.distances(self._everyone).items()}

    def jackknifed(self) -> dict[str, Jackknifed]:
        """Every distance, and without each subject; raises :class:`InputError` for fewer than two."""
        if self.subjects < 2:
            raise InputError(f"subjects: {self.subjects} is not allowed; allowed: 2 or more, for an interval")
        others = 1 - torch.eye(self.subjects, dtype=torch.float64)
        values = self.distances(torch.cat([self._everyone, others]))
        return {name: Jackknifed(float(x[0]), x[1:]) for name, x in values.items()}

    def resampled(self, draws: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Every distance and its values [R] on ``draws`` [R, S] of subjects; all equal for a single one."""
        if self.subjects < 2:
            return {name: (x, torch.full((len(draws),), x).double()) for name, x in self.values().items()}
        return {name: (each.value, each.resampled(draws)) for name, each in self.jackknifed().items()}

    @property
    def _everyone(self) -> Tensor:
        return torch.ones(1, self.subjects, dtype=torch.float64)


def repeated(
    name: str, distance: Callable[[Tensor], float], features: Tensor, subjects: Sequence[tuple[int, int]]
) -> Comparison:
    """Comparison by any distance of features [N, D], rows (start, stop) of subjects repeated by weight."""
    groups = [features[start:stop] for start, stop in subjects]

    def one(weights: list[float]) -> float:
        drawn = [group for group, times in zip(groups, weights, strict=True) for _ in range(round(times))]
        return distance(torch.cat(drawn))

    def distances(weights: Tensor) -> dict[str, Tensor]:
        return {name: torch.tensor([one(row) for row in weights.tolist()], dtype=torch.float64)}

    return Comparison(len(subjects), distances)
