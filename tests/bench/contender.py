"""What the simulator drives: proposals, decisions on reports, and the wall-clock time of each proposal."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from platform.pareto.dominance import hypervolume
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.bench.cube import Params, draw
from tests.bench.problems import Problem

Array = NDArray[np.float64]


class Contender(Protocol):
    """A search. A trial that is neither stopped nor paused trains on to its next level."""

    seconds: list[float]

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """A new trial's number and parameters; None: none now."""
        ...

    def report(self, trial: int, step: int, values: Array) -> str:
        """A trial's objectives [k, m] at a level; the decision: "go", "pause", or "stop" for ever."""
        ...

    def resume(self) -> int | None:
        """A paused trial that may continue; called before :meth:`ask`."""
        ...


class Base(ABC):
    """Numbers and times the proposals; no trial is ever paused."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.seconds: list[float] = []

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The next proposal under the next number."""
        start = time.perf_counter()
        params = self.propose(len(self.seconds))
        if params is None:
            return None
        self.seconds.append(time.perf_counter() - start)
        return len(self.seconds) - 1, params

    def resume(self) -> int | None:
        """No trial is paused."""
        return None

    @abstractmethod
    def propose(self, trial: int) -> dict[str, Any] | None:
        """Parameters of a new trial; None: there are none left."""

    @abstractmethod
    def report(self, trial: int, step: int, values: Array) -> str:
        """Objectives [k, m] at a level; the decision: "go" or "stop"."""


def configurations(problem: Problem, seed: int) -> Iterator[Params]:
    """Random points without end, the same for every contender; for a pool, its points in random order."""
    rng = np.random.default_rng([seed, 5])
    pool = getattr(problem, "pool", None)
    if pool is not None:
        yield from (dict(pool[i]) for i in rng.permutation(len(pool)))
        return
    while True:
        yield draw(problem.search, rng)


def best_of(values: Array, reference: tuple[float, ...]) -> Array:
    """The point [m] of [k, m] with the largest hypervolume by itself, as ``Front.best`` chooses."""
    volumes = [hypervolume(point[None], reference) for point in values]
    return np.asarray(values[int(np.argmax(volumes))])
