"""A set's distances to a pool for any weights of its subjects: jackknife and bootstrap without new passes.

Shapes: S subjects, R resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

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

    def bootstrapped(self, draws: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Every distance and its values [R] on ``draws`` [R, S] of subjects, shifted to average to it.

        A subject drawn twice raises a distance as fewer distinct ones are left (``frechet.resampled``).
        """
        drawn = one_hot(draws, self.subjects).sum(1).double()
        values = self.distances(torch.cat([self._everyone, drawn]))
        return {name: (float(x[0]), x[1:] - x[1:].mean() + x[0]) for name, x in values.items()}

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
