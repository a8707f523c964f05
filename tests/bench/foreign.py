"""Contenders of other libraries: Optuna by itself, Ray's OptunaSearch, Syne Tune, and ASHA by one number.

Those that take one point per trial receive the one with the largest hypervolume by itself. Settings are the
libraries' defaults unless named; Sobol points are scrambled, else they would be the same for every seed.
"""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from tests.bench.contender import Array, Base, Contender, best_of
from tests.bench.halving import FirstObjective, Listed, Scalarised
from tests.bench.problems import Problem

Factory = Callable[[Problem, int], Contender]
"""Makes a contender for a problem and a seed."""


class Optuna(Base):
    """Optuna's ask and tell, whole trainings only."""

    def __init__(self, problem: Problem, sampler: BaseSampler) -> None:
        super().__init__(problem)
        self._study = optuna.create_study(directions=["minimize"] * len(problem.reference), sampler=sampler)
        self._space = {dimension.name: distribution(dimension) for dimension in problem.search}

    def propose(self, trial: int) -> dict[str, Any]:
        """Ask; the trial is running from here on."""
        return dict(self._study.ask(self._space).params)

    def report(self, trial: int, step: int, values: Array) -> str:
        """Tell the whole training."""
        if step == self.problem.levels[-1]:
            self._study.tell(trial, best_of(values, self.problem.reference).tolist())
        return "go"


class RayOptuna(Base):
    """Ray Tune's OptunaSearch with the FIFO scheduler, called as Tune's controller calls it."""

    def __init__(self, problem: Problem, seed: int) -> None:
        from ray.tune.search.optuna import OptunaSearch

        super().__init__(problem)
        self._names = [f"f{i}" for i in range(len(problem.reference))]
        space = {dimension.name: distribution(dimension) for dimension in problem.search}
        modes = ["min"] * len(self._names)
        self._search = OptunaSearch(space=space, metric=self._names, mode=modes, seed=seed)

    def propose(self, trial: int) -> dict[str, Any]:
        """Suggest; the trial is running from here on."""
        return dict(self._search.suggest(str(trial)))

    def report(self, trial: int, step: int, values: Array) -> str:
        """Every result, and the last as the trial's completion."""
        point = best_of(values, self.problem.reference).tolist()
        result = {"training_iteration": step, **dict(zip(self._names, point, strict=True))}
        self._search.on_trial_result(str(trial), result)
        if step == self.problem.levels[-1]:
            self._search.on_trial_complete(str(trial), result)
        return "go"


def samplers() -> dict[str, Factory]:
    """Contenders that train every trial to its end, by name."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    found: dict[str, Factory] = {
        "random": lambda problem, seed: Optuna(problem, RandomSampler(seed=seed)),
        "quasi-random": lambda problem, seed: Optuna(problem, QMCSampler(seed=seed, scramble=True)),
        "Optuna TPE": lambda problem, seed: Optuna(problem, TPESampler(seed=seed)),
        "Optuna NSGA-II": lambda problem, seed: Optuna(problem, NSGAIISampler(seed=seed)),
        "Optuna NSGA-II, 16": lambda problem, seed: Optuna(
            problem, NSGAIISampler(seed=seed, population_size=16)
        ),
        "Optuna NSGA-III, 16": lambda problem, seed: Optuna(
            problem, NSGAIIISampler(seed=seed, population_size=16)
        ),
        "Ray OptunaSearch": RayOptuna,
    }
    if find_spec("greenlet"):
        found["Optuna GP"] = lambda problem, seed: Optuna(problem, GPSampler(seed=seed))
    if find_spec("syne_tune"):
        from tests.bench import syne

        found["Syne Tune MO-REA"] = lambda problem, seed: syne.SyneTune(problem, seed, syne.evolution())
        found["Syne Tune MO-REA, 16"] = lambda problem, seed: syne.SyneTune(
            problem, seed, syne.evolution(16, 5)
        )
        if find_spec("botorch"):
            found["Syne Tune EHVI"] = lambda problem, seed: syne.SyneTune(problem, seed, syne.ehvi)
    return found


def halvings() -> dict[str, Factory]:
    """Contenders that stop trials early, and one that does not, all on the same random configurations."""
    found: dict[str, Factory] = {
        "no stopping": Listed,
        "ASHA, FID only": FirstObjective,
        "ASHA, scalarised": Scalarised,
    }
    if find_spec("syne_tune"):
        from tests.bench import syne

        for name, make in {
            "Syne Tune MOASHA": syne.moasha(),
            "Syne Tune MOASHA, linear": syne.moasha(syne.LINEAR),
            "Syne Tune MOASHA, mended": syne.moasha(syne.MendedPriority),
        }.items():
            found[name] = lambda problem, seed, make=make: syne.SyneTune(problem, seed, make, listed=True)
    return found


def missing() -> list[str]:
    """A line for each library that is not installed, whose contenders are left out."""
    hint = "left out; `make bench-search` installs tests/bench/requirements.txt"
    needed = {
        "greenlet": "Optuna's GP is",
        "syne_tune": "Syne Tune's contenders are",
        "botorch": "Syne Tune's EHVI is",
    }
    return [
        f"{library} is not installed: {who} {hint}"
        for library, who in needed.items()
        if not find_spec(library)
    ]


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as a distribution of Optuna."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Int):
        return IntDistribution(dimension.low, dimension.high, log=isinstance(dimension, IntLog))
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, Log))
