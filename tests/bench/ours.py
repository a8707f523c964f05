"""Our own searches, driven as a study drives them: the platform's samplers, halving and forecasts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.pareto.observations import RungResult
from platform.samplers.base import Proposal, Sampler
from platform.samplers.factory import make_sampler
from platform.schedulers.asha import Halving
from platform.study.observation import Observation, Params, Rung, SearchSpace, State
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
    """Proposes the common random configurations, whatever their results."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._configurations = configurations(problem, seed)

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """The next configuration; None: a pool has no more."""
        params = next(self._configurations, None)
        return None if params is None else Proposal(params)


class Ours:
    """A sampler, and halving by the rungs themselves or by forecasts of the end of training."""

    def __init__(
        self, problem: Problem, sampler: Sampler, halving: Halving, forecaster: Forecaster | None = None
    ) -> None:
        self.problem = problem
        self.seconds: list[float] = []
        self._sampler, self._halving, self._forecaster = sampler, halving, forecaster
        self._trials: dict[int, _Trial] = {}
        self._outdated = False

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The sampler's next proposal."""
        start = time.perf_counter()
        proposal = self._sampler.propose(list(self._observed().values()))
        if proposal is None:
            return None
        self.seconds.append(time.perf_counter() - start)
        number = len(self._trials)
        self._trials[number] = _Trial(proposal.params, proposal.memory)
        return number, dict(proposal.params)

    def report(self, trial: int, step: int, values: Array) -> str:
        """Continue, or pause until other trials have reported."""
        known, end = self._trials[trial], self.problem.levels[-1]
        known.step, self._outdated = step, True
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
        """The best of the paused trials that may continue by now."""
        paused: dict[int, set[int]] = {}
        for number, trial in self._trials.items():
            if trial.state == "paused":
                paused.setdefault(trial.step, set()).add(number)
        if not paused:
            return None
        self._forecast()
        number = self._halving.next_to_resume(paused)
        if number is not None:
            self._halving.continued(number, self._trials[number].step)
            self._trials[number].state = "running"
        return number

    def _forecast(self) -> None:
        if self._forecaster and self._outdated:
            self._halving.forecasts = self._forecaster.ends(self._observed())
            self._outdated = False

    def _observed(self) -> dict[int, Observation]:
        return {
            number: Observation(trial.params, trial.state, tuple(trial.rungs), trial.memory)
            for number, trial in self._trials.items()
        }


def sampler(name: str, problem: Problem, seed: int, trials: int) -> Ours:
    """Every trial is trained to its end."""
    return Ours(problem, make_sampler(name, _space(problem, seed, trials)), _halving(problem, trials, ()))


def halved(name: str, problem: Problem, seed: int, trials: int, forecast: bool = True) -> Ours:
    """With halving; ``name`` "listed": of the common random configurations."""
    space = _space(problem, seed, trials)
    made = Listed(problem, seed) if name == "listed" else make_sampler(name, space)
    halving = _halving(problem, trials, tuple(problem.levels[:-1]))
    return Ours(problem, made, halving, Forecaster(space) if forecast else None)


def _space(problem: Problem, seed: int, trials: int) -> SearchSpace:
    return SearchSpace(problem.search, problem.reference, trials, seed)


def _halving(problem: Problem, trials: int, levels: tuple[int, ...]) -> Halving:
    return Halving(levels, trials, np.array(problem.reference))
