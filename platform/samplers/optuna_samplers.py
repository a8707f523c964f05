"""Optuna's TPE and NSGA-III; for each proposal a study is rebuilt in memory from the observations."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from platform.samplers.base import Proposal
from platform.samplers.designs import Sobol
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform, exact, is_active
from platform.study.observation import Observation, SearchSpace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIIISampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

ATTEMPTS = 200
"""Proposals requested until the space accepts one: half a second with TPE."""
POPULATION = 16
GENERATION = NSGAIIISampler._get_generation_key()
"""Where NSGA-III keeps a trial's generation (it has no public name); other trials are of the first one."""

_STATES = {
    "running": TrialState.RUNNING,
    "paused": TrialState.PRUNED,
    "completed": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
}


class OptunaSampler:
    """TPE (Ozaki et al. 2022) or NSGA-III (Deb & Jain 2014).

    For both, a trial that was not trained to its end has no result; TPE avoids its surroundings.
    """

    def __init__(self, space: SearchSpace, name: str) -> None:
        """``name``: tpe or nsga3."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._space, self._name, self._design = space, name, Sobol(space)

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """The sampler's point, or a quasi-random one where the space accepts none of :data:`ATTEMPTS`.

        A refused point stays in the study as a running trial, which TPE avoids.
        """
        directions = ["minimize"] * len(self._space.reference)
        study = optuna.create_study(directions=directions, sampler=self._sampler(len(observed)))
        study.add_trials([self._frozen(o) for o in observed])
        for _ in range(ATTEMPTS):
            trial = study.ask()
            params: dict[str, Any] = {}
            for dimension in self._space.dimensions:
                if is_active(dimension, params):
                    params[dimension.name] = exact(dimension, suggest(trial, dimension))
            if not self._space.refusal(params):
                return Proposal(params, dict(study.get_trials(deepcopy=False)[-1].system_attrs))
        return self._design.propose(observed)

    def _sampler(self, observed: int) -> BaseSampler:
        seed, startup = (self._space.seed + observed) % 2**32, min(10, max(2, self._space.trials // 3))
        if self._name == "tpe":
            return TPESampler(seed=seed, n_startup_trials=startup)
        return NSGAIIISampler(seed=seed, population_size=POPULATION)

    def _frozen(self, o: Observation) -> FrozenTrial:
        known = {d.name: distribution(d) for d in self._space.dimensions if d.name in o.params}
        completed = o.state == "completed" and o.last is not None
        return create_trial(
            state=_STATES[o.state],
            params=dict(o.params),
            distributions=known,
            values=list(o.last.values) if completed and o.last else None,
            system_attrs={GENERATION: 0, **o.memory},
            constraints=_constraints(o),
        )


def _constraints(o: Observation) -> Mapping[str, float]:
    return {str(i): v for i, v in enumerate(o.last.violations)} if o.last else {}


def suggest(trial: Trial, dimension: Dimension) -> Any:
    """A trial's value of a dimension."""
    name, domain = dimension.name, distribution(dimension)
    match domain:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, domain.choices)
        case IntDistribution():
            return trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
        case FloatDistribution():
            return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as a distribution of Optuna; ``high`` is the last value that its step reaches."""
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
