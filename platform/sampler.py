"""Optuna proposes: ask and tell over a durable journal, several objectives (HPO.md sections 1.3 and 6)."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.domains import Choice, Dimension, Int, IntLog, Log
from platform.lines import cut_torn_line
from platform.study import Study
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from trainers.errors import InputError

ATTEMPTS = 1000
"""Proposals drawn in search of one that the method's Config takes."""


@dataclass(frozen=True)
class Proposal:
    """A point to train: Optuna's number and the searched parameters."""

    number: int
    params: Mapping[str, Any]


class Sampler:
    """The study's proposals, from ``optuna.log`` of its folder on; opened under the ledger's lock alone."""

    def __init__(self, study: Study, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._study = study
        self._space = {dimension.name: distribution(dimension) for dimension in study.search}
        self._optuna = optuna.create_study(
            storage=open_storage(folder / "optuna.log"),
            study_name=study.name,
            directions=[objective.direction for objective in study.objectives],
            load_if_exists=True,
        )
        for point in study.start:
            self._optuna.enqueue_trial(point, skip_if_exists=True)
        for trial in self._of_state(TrialState.RUNNING):
            if not self._complete(trial):
                self._abandon(trial)
        self._optuna.sampler = make_sampler(study, seed=study.seed + len(self._optuna.trials))

    def ask(self) -> Proposal:
        """The next point that Config takes; those it refuses are told failed, with the reason.

        Raises InputError where it refuses all of :data:`ATTEMPTS`.
        """
        reason = ""
        for _ in range(ATTEMPTS):
            trial = self._optuna.ask(self._space)
            try:
                self._study.point(trial.params)
            except InputError as error:
                reason = str(error)
                trial.set_user_attr("infeasible", reason)
                self._optuna.tell(trial, state=TrialState.FAIL)
                continue
            return Proposal(trial.number, trial.params)
        refused = f"all of {ATTEMPTS} proposals were refused by {self._study.method}'s Config"
        raise InputError(
            f"{self._study.path}: search: {refused}, the last one with: {reason}; allowed: wider domains"
        )

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """A trial's objective values in the study's order; None: it failed. Telling twice changes nothing."""
        state = TrialState.COMPLETE if values is not None else TrialState.FAIL
        self._optuna.tell(number, values, state=state, skip_if_finished=True)

    def unfinished(self) -> list[Proposal]:
        """Proposals that were never told."""
        return [Proposal(trial.number, trial.params) for trial in self._of_state(TrialState.RUNNING)]

    def _of_state(self, state: TrialState) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self._optuna.get_trials(deepcopy=False, states=(state,))
        return found

    def _complete(self, trial: FrozenTrial) -> bool:
        """Whether the proposal was drawn to its end and Config takes it."""
        try:
            self._study.point(trial.params)
        except InputError:
            return False
        return self._is_drawn(trial)

    def _is_drawn(self, trial: FrozenTrial) -> bool:
        return set(trial.params) == set(self._space)

    def _abandon(self, trial: FrozenTrial) -> None:
        """Fail a proposal that a kill left half drawn, or refused but not told; a start point comes again."""
        point = trial.system_attrs.get("fixed_params")
        waiting = [other.system_attrs["fixed_params"] for other in self._of_state(TrialState.WAITING)]
        if point and not self._is_drawn(trial) and point not in waiting:
            self._optuna.enqueue_trial(point)
        self.tell(trial.number, None)


def open_storage(path: Path) -> JournalStorage:
    """Optuna's journal, without the lock and the half line that a driver killed while writing has left."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        cut_torn_line(path)
    return JournalStorage(JournalFileBackend(str(path)))


def make_sampler(study: Study, seed: int) -> BaseSampler:
    """The sampler the space names; ``auto``: GP for <= 100 mostly numeric trials, else TPE (HPO.md 6.2)."""
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
