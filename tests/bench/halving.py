"""Rules on the common random configurations: no stopping at all, and asynchronous halving by one number."""

from abc import abstractmethod
from collections import defaultdict
from typing import Any

import numpy as np

from tests.bench.contender import Array, Base, configurations
from tests.bench.problems import Problem


class Listed(Base):
    """Every one of the random configurations is trained to its end."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem)
        self._configurations = configurations(problem, seed)

    def propose(self, trial: int) -> dict[str, Any] | None:
        """The next of the random configurations."""
        return next(self._configurations, None)

    def report(self, trial: int, step: int, values: Array) -> str:
        """Always continue."""
        return "go"


class Halving(Listed):
    """A trial continues while it is among the best third of its rung; the first of a rung always does.

    The limit is the quantile of the trials that reached the rung before (Li et al. 2020; Ray's
    ``AsyncHyperBandScheduler``).
    """

    def __init__(self, problem: Problem, seed: int, reduction: int = 3) -> None:
        super().__init__(problem, seed)
        self._reduction = reduction
        self._rungs: dict[int, list[Array]] = defaultdict(list)

    def report(self, trial: int, step: int, values: Array) -> str:
        """Stop a trial beyond the rung's limit."""
        rung = self._rungs[step]
        rung.append(values)
        *before, own = self.scores(rung)
        if not before or step == self.problem.levels[-1]:
            return "go"
        return "go" if own <= np.quantile(before, 1 / self._reduction) else "stop"

    @abstractmethod
    def scores(self, rung: list[Array]) -> list[float]:
        """One number, minimised, of each trial's points [k, m]."""


class FirstObjective(Halving):
    """By the first objective alone (FID)."""

    def scores(self, rung: list[Array]) -> list[float]:
        """The least of each trial's candidates."""
        return [float(values[:, 0].min()) for values in rung]


class Scalarised(Halving):
    """By the sum of the objectives, each scaled to [0, 1] over the rung."""

    def scores(self, rung: list[Array]) -> list[float]:
        """The least sum among each trial's candidates."""
        everything = np.concatenate(rung)
        low, high = everything.min(axis=0), everything.max(axis=0)
        scale = np.where(high > low, high - low, 1.0)
        return [float(((values - low) / scale).sum(axis=1).min()) for values in rung]
