"""Syne Tune 0.16's multi-objective schedulers, driven by their own interface on the simulated clock.

The release has no NSGA-II, and its multi-surrogate searcher imports modules that are gone. MOASHA has no
searcher, its suggestions are uniform: the common random configurations replace them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from syne_tune import config_space  # type: ignore[import-not-found]
from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found]
from syne_tune.optimizer.baselines import EHVI  # type: ignore[import-not-found]
from syne_tune.optimizer.scheduler import (  # type: ignore[import-not-found]
    SchedulerDecision,
    TrialScheduler,
)
from syne_tune.optimizer.schedulers.multiobjective import (  # type: ignore[import-not-found]
    MultiObjectiveRegularizedEvolution,
)
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA  # type: ignore[import-not-found]
from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import (  # type: ignore[import-not-found]
    LinearScalarizationPriority,
    MOPriority,
    NonDominatedPriority,
)
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import (  # type: ignore[import-not-found]
    SingleFidelityScheduler,
)

from tests.bench.contender import Array, Base, best_of, configurations
from tests.bench.problems import Problem


class SyneTune(Base):
    """A scheduler of Syne Tune; ``listed``: its suggestions are replaced by the common configurations."""

    def __init__(
        self, problem: Problem, seed: int, make: Callable[..., TrialScheduler], listed: bool = False
    ) -> None:
        super().__init__(problem)
        self._names = [f"f{i}" for i in range(len(problem.reference))]
        self._listed = configurations(problem, seed) if listed else None
        self._trials: dict[int, Trial] = {}
        self._random = _GlobalRandom(seed)
        with self._random.own():
            space = {dimension.name: domain(dimension) for dimension in problem.search}
            self._scheduler = make(problem=problem, config_space=space, metrics=self._names, random_seed=seed)

    def propose(self, trial: int) -> dict[str, Any] | None:
        """The scheduler's suggestion, or the next listed configuration; a running trial for the scheduler."""
        with self._random.own():
            params = next(self._listed, None) if self._listed else dict(self._scheduler.suggest().config)
            if params is not None:
                self._trials[trial] = Trial(trial, params, datetime.now())
                self._scheduler.on_trial_add(self._trials[trial])
        return params

    def report(self, trial: int, step: int, values: Array) -> str:
        """As Syne Tune's tuner reports: every result, then the trial as removed or complete."""
        known, point = self._trials[trial], best_of(values, self.problem.reference)
        result = {
            "time": rung_time(self.problem, step),
            **dict(zip(self._names, point.tolist(), strict=True)),
        }
        with self._random.own():
            stop = self._scheduler.on_trial_result(known, result) == SchedulerDecision.STOP
            if stop:
                self._scheduler.on_trial_remove(known)
            elif step == self.problem.levels[-1]:
                self._scheduler.on_trial_complete(known, result)
        return "stop" if stop else "go"


class _GlobalRandom:
    """NumPy's and torch's global generators, which Syne Tune uses, separate from all others'.

    Torch's default type is double meanwhile: Syne Tune mixes precisions, which BoTorch's EHVI refuses since
    0.18.
    """

    def __init__(self, seed: int) -> None:
        self._numpy = np.random.RandomState(seed).get_state()
        self._torch = torch.Generator().manual_seed(seed).get_state()

    @contextmanager
    def own(self) -> Iterator[None]:
        numpy, generator = np.random.get_state(), torch.get_rng_state()
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            self._numpy, self._torch = np.random.get_state(), torch.get_rng_state()
            np.random.set_state(numpy)
            torch.set_rng_state(generator)
            torch.set_default_dtype(torch.float32)


class MendedPriority(MOPriority):  # type: ignore[misc]
    """The released non-dominated sort, corrected to ranks, as MOASHA expects, from an order of indices."""

    def priority_unsafe(self, objectives: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rank [n] of each row."""
        return np.argsort(NonDominatedPriority()(objectives))


def moasha(priority: Callable[[], MOPriority] = NonDominatedPriority) -> Callable[..., TrialScheduler]:
    """MOASHA with eta 3 from the first level on."""

    def make(problem: Problem, random_seed: int, **known: Any) -> TrialScheduler:
        last = rung_time(problem, problem.levels[-1])
        return MOASHA(
            multiobjective_priority=priority(), random_seed=random_seed, time_attr="time", max_t=last, **known
        )

    return make


def rung_time(problem: Problem, step: int) -> int:
    """1, 3, 9 ... for the levels: MOASHA's rungs are exact multiples, a level at 133 would miss 135."""
    return int(3 ** problem.levels.index(step))


def evolution(population: int = 100, sample: int = 10) -> Callable[..., TrialScheduler]:
    """Multi-objective regularised evolution (MO-REA)."""

    def make(problem: Problem, random_seed: int, **known: Any) -> TrialScheduler:
        searcher = MultiObjectiveRegularizedEvolution(
            known["config_space"], population_size=population, sample_size=sample, random_seed=random_seed
        )
        return SingleFidelityScheduler(searcher=searcher, random_seed=random_seed, **known)

    return make


def ehvi(problem: Problem, **known: Any) -> TrialScheduler:
    """Expected hypervolume improvement, by BoTorch."""
    return EHVI(**known)


def domain(dimension: Dimension) -> Any:
    """A dimension as a domain of Syne Tune."""
    match dimension:
        case Choice():
            return config_space.choice(list(dimension.values))
        case IntLog():
            return config_space.lograndint(dimension.low, dimension.high)
        case Int():
            return config_space.randint(dimension.low, dimension.high)
        case Log():
            return config_space.loguniform(dimension.low, dimension.high)
        case _:
            return config_space.uniform(dimension.low, dimension.high)


LINEAR = LinearScalarizationPriority
