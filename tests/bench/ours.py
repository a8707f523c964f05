"""Our own searches, driven as a study drives them: platform's proposers, halving and forecasts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.samplers.suggester import make_sampler
from platform.schedulers.asha import Halving
from platform.study.observation import Observation, Params, Point, Rung, Sampler, SearchSpace, State
from platform.surrogate.forecast import Forecaster
from typing import Any

import numpy as np

from tests.bench.contender import Array, best_of, configurations
from tests.bench.problems import Problem


@dataclass
class _Trial:
    params: Params
    memory: Mapping[str, Any]
    state: State = "running"
    step: int = 0
    rungs: list[Rung] = field(default_factory=list)


class Listed:
    """Proposes the common random configurations, whatever came of them."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._configurations = configurations(problem, seed)

    def propose(self, seen: Sequence[Observation]) -> Point | None:
        """The next; None: a pool is used up."""
        params = next(self._configurations, None)
        return None if params is None else Point(params)


class Ours:
    """A proposer, and halving by the rungs themselves or by forecasts of the end of training."""

    def __init__(
        self, problem: Problem, proposer: Sampler, halving: Halving, forecaster: Forecaster | None = None
    ) -> None:
        self.problem = problem
        self.seconds: list[float] = []
        self._proposer, self._halving, self._forecaster = proposer, halving, forecaster
        self._trials: dict[int, _Trial] = {}
        self._stale = False

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The proposer's next point."""
        start = time.perf_counter()
        point = self._proposer.propose(list(self._seen().values()))
        if point is None:
            return None
        self.seconds.append(time.perf_counter() - start)
        number = len(self._trials)
        self._trials[number] = _Trial(point.params, point.memory)
        return number, dict(point.params)

    def report(self, trial: int, step: int, values: Array) -> str:
        """On, or wait for the trials to come."""
        known, end = self._trials[trial], self.problem.levels[-1]
        known.step, self._stale = step, True
        point = best_of(values, self.problem.reference)
        known.rungs.append(Rung(step / end, tuple(point.tolist())))
        if step == end:
            known.state = "completed"
            return "go"
        self._halving.reported(trial, step, RungResult(values))
        self._forecast()
        if self._halving.continues(trial, step):
            self._halving.continued(trial, step)
            return "go"
        known.state = "paused"
        return "pause"

    def resume(self) -> int | None:
        """The best of those that wait and may go on by now."""
        paused = {number: trial.step for number, trial in self._trials.items() if trial.state == "paused"}
        if not paused:
            return None
        self._forecast()
        number = self._halving.next(paused)
        if number is not None:
            self._halving.continued(number, paused[number])
            self._trials[number].state = "running"
        return number

    def _forecast(self) -> None:
        if self._forecaster and self._stale:
            self._halving.forecasts = self._forecaster.ends(self._seen())
            self._stale = False

    def _seen(self) -> dict[int, Observation]:
        return {
            number: Observation(trial.params, trial.state, tuple(trial.rungs), trial.memory)
            for number, trial in self._trials.items()
        }


def sampler(kind: str, problem: Problem, seed: int, trials: int) -> Ours:
    """Every trial is trained to its end."""
    return Ours(problem, make_sampler(kind, _space(problem, seed, trials)), _halving(problem, trials, ()))


def halved(kind: str, problem: Problem, seed: int, trials: int, forecast: bool = True) -> Ours:
    """With halving; ``kind`` "listed": of the common random configurations."""
    space = _space(problem, seed, trials)
    proposer = Listed(problem, seed) if kind == "listed" else make_sampler(kind, space)
    levels = tuple(problem.levels[:-1])
    return Ours(problem, proposer, _halving(problem, trials, levels), Forecaster(space) if forecast else None)


def _space(problem: Problem, seed: int, trials: int) -> SearchSpace:
    return SearchSpace(problem.search, problem.reference, trials, seed)


def _halving(problem: Problem, trials: int, levels: tuple[int, ...]) -> Halving:
    return Halving(levels, trials, np.array(problem.reference))
