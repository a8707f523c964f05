"""Optuna's TPE and NSGA-III, asked in a study in memory that is made anew from what was seen."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from platform.samplers.designs import Sobol
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform, exact, is_active
from platform.study.observation import Observation, Point, SearchSpace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

ATTEMPTS = 200
"""Proposals drawn in search of one that the space takes: half a second of TPE's."""
POPULATION = 16
GENERATION = NSGAIIISampler._get_generation_key()
"""What NSGA-III remembers of a proposal; points of other hands are of its first generation."""

_STATES = {
    "running": TrialState.RUNNING,
    "paused": TrialState.PRUNED,
    "completed": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
}


class Evolutionary:
    """TPE (Ozaki et al. 2022) or NSGA-III (Deb & Jain 2014): a trial that was not trained to its end is no
    result to them, and TPE keeps away from it.
    """

    def __init__(self, space: SearchSpace, kind: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._space, self._kind, self._design = space, kind, Sobol(space)

    def propose(self, seen: Sequence[Observation]) -> Point | None:
        """The sampler's point, or a quasi-random one where the space takes none of :data:`ATTEMPTS`.

        Points that the space refuses count as running meanwhile: TPE keeps away from those alone.
        """
        study = optuna.create_study(
            directions=["minimize"] * len(self._space.reference), sampler=self._sampler(len(seen))
        )
        study.add_trials([self._frozen(o) for o in seen])
        for _ in range(ATTEMPTS):
            trial = study.ask()
            params: dict[str, Any] = {}
            for dimension in self._space.dimensions:
                if is_active(dimension, params):
                    value = trial._suggest(dimension.name, distribution(dimension))
                    params[dimension.name] = exact(dimension, value)
            if not self._space.refusal(params):
                return Point(params, dict(study.get_trials(deepcopy=False)[-1].system_attrs))
        return self._design.propose(seen)

    def _sampler(self, seen: int) -> BaseSampler:
        seed, startup = (self._space.seed + seen) % 2**32, min(10, max(2, self._space.trials // 3))
        if self._kind == "tpe":
            return TPESampler(seed=seed, n_startup_trials=startup)
        return NSGAIIISampler(seed=seed, population_size=POPULATION)

    def _frozen(self, o: Observation) -> FrozenTrial:
        known = {d.name: distribution(d) for d in self._space.dimensions if d.name in o.params}
        done = o.state == "completed" and o.last is not None
        return create_trial(
            state=_STATES[o.state],
            params=dict(o.params),
            distributions=known,
            values=list(o.last.values) if done and o.last else None,
            system_attrs={GENERATION: 0, **o.memory},
            constraints=_constraints(o),
        )


def _constraints(o: Observation) -> Mapping[str, float]:
    return {str(i): v for i, v in enumerate(o.last.violations)} if o.last else {}


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension in Optuna's terms; its last value is its high."""
    match dimension:
        case Choice():
            return CategoricalDistribution(dimension.values)
        case Int():
            high = int(dimension.at(1.0))
            return IntDistribution(
                dimension.low, high, log=isinstance(dimension, IntLog), step=dimension.step or 1
            )
        case Uniform():
            return FloatDistribution(dimension.low, dimension.at(1.0), step=dimension.step)
        case Log():
            return FloatDistribution(dimension.low, dimension.high, log=True)
