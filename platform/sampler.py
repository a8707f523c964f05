"""Optuna proposes: ask and tell over a durable journal, several objectives (HPO.md sections 1.3 and 6)."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.domains import Choice, Dimension, Int, IntLog, Log
from platform.study import Study
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from trainers.errors import InputError

ATTEMPTS = 1000
"""Proposals drawn in search of one that the method's Config takes."""


@dataclass(frozen=True)
class Proposal:
    """A point to train: Optuna's number and the searched parameters."""

    number: int
    params: Mapping[str, Any]


class Sampler:
    """The study's proposals, from ``optuna.log`` of its folder on."""

    def __init__(self, study: Study, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._study = study
        self._space = {dimension.name: distribution(dimension) for dimension in study.search}
        storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
        known = [s.study_name for s in optuna.get_all_study_summaries(storage)]
        self._optuna = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=[objective.direction for objective in study.objectives],
            load_if_exists=True,
        )
        if study.name not in known:
            for point in study.start:
                self._optuna.enqueue_trial(point)
        self._optuna.sampler = make_sampler(study, seed=study.seed + len(self._optuna.trials))

    def ask(self) -> Proposal:
        """The next point that Config takes; those it refuses are told failed, with the reason, and never trained."""
        for _ in range(ATTEMPTS):
            trial = self._optuna.ask(self._space)
            try:
                self._study.point(trial.params)
            except InputError as reason:
                trial.set_user_attr("infeasible", str(reason))
                self._optuna.tell(trial, state=TrialState.FAIL)
                continue
            return Proposal(trial.number, trial.params)
        raise InputError(f"{self._study.path}: search: {ATTEMPTS} proposals in a row were refused by {self._study.method}'s Config")

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """A trial's objective values, in the study's order; None: it failed. Telling twice changes nothing."""
        state = TrialState.COMPLETE if values is not None else TrialState.FAIL
        self._optuna.tell(number, values, state=state, skip_if_finished=True)

    def unfinished(self) -> list[Proposal]:
        """Proposals that were never told."""
        running = self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [Proposal(trial.number, trial.params) for trial in running]


def make_sampler(study: Study, seed: int) -> BaseSampler:
    """The sampler that the space names; ``auto`` is GP for <= 100 mostly numeric trials, else TPE (HPO.md 6.2)."""
    numeric = sum(not isinstance(dimension, Choice) for dimension in study.search)
    kind = study.sampler
    if kind == "auto":
        kind = "gp" if study.budget.trials <= 100 and 2 * numeric > len(study.search) else "tpe"
    startup = min(10, max(2, study.budget.trials // 3))
    match kind:
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=False)
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=startup)
        case _:
            return RandomSampler(seed=seed)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension in Optuna's terms."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Int):
        return IntDistribution(dimension.low, dimension.high, log=isinstance(dimension, IntLog))
    return FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, Log))
