"""Optuna proposes: ask and tell over a durable journal, several objectives (HPO.md sections 1.3 and 6)."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from platform.domains import Choice, Dimension, Int, IntLog, Log
from platform.lines import cut_torn_line
from platform.study import Study
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from trainers.errors import InputError

ATTEMPTS = 1000
"""Proposals drawn in search of one that the method's Config takes."""

POOL = 1024
"""Points among which the GP's proposal is chosen where its acquisition is highest at a refused one."""


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
            if not self._is_drawn(trial) or refusal(study, trial.params):
                self._abandon(trial)
        self._optuna.sampler = make_sampler(study, seed=study.seed + len(self._optuna.trials))

    def ask(self) -> Proposal:
        """The next point that Config takes; those it refuses are told failed, with the reason.

        They are told so late because TPE keeps away from trials that run, and learns nothing of failed ones:
        it would propose one refused corner for ever. Raises InputError where :data:`ATTEMPTS` are refused.
        """
        refused: list[optuna.Trial] = []
        reason = ""
        try:
            while len(refused) < ATTEMPTS:
                trial = self._optuna.ask(self._space)
                reason = refusal(self._study, trial.params)
                if not reason:
                    return Proposal(trial.number, trial.params)
                trial.set_user_attr("infeasible", reason)
                refused.append(trial)
        finally:
            for trial in refused:
                self._optuna.tell(trial, state=TrialState.FAIL)
        told = f"all of {ATTEMPTS} proposals were refused by {self._study.method}'s Config, the last one with"
        raise InputError(f"{self._study.path}: search: {told}: {reason}; allowed: wider domains")

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

    def _is_drawn(self, trial: FrozenTrial) -> bool:
        return set(trial.params) == set(self._space)

    def _abandon(self, trial: FrozenTrial) -> None:
        """Fail a proposal that a kill left half drawn, or refused but not told; a start point comes again."""
        point = trial.system_attrs.get("fixed_params")
        waiting = [other.system_attrs["fixed_params"] for other in self._of_state(TrialState.WAITING)]
        if point and not self._is_drawn(trial) and point not in waiting:
            self._optuna.enqueue_trial(point)
        self.tell(trial.number, None)


class FeasibleGP(GPSampler):  # type: ignore[misc]
    """GP that is told what Config takes: it learns nothing of failed trials and would repeat one for ever."""

    def __init__(self, refusal: Callable[[Mapping[str, Any]], str], **options: Any) -> None:
        super().__init__(**options)
        self._refusal = refusal

    def _optimize_acqf(self, acqf: Any, best_params: Any) -> Any:
        best, space = super()._optimize_acqf(acqf, best_params), acqf.search_space
        if not self._refusal(space.get_unnormalized_param(best)):
            return best
        pool = space.sample_normalized_params(POOL, rng=self._rng.rng)
        taken = pool[[not self._refusal(space.get_unnormalized_param(point)) for point in pool]]
        return taken[np.argmax(acqf.eval_acqf_no_grad(taken))] if len(taken) else best


def refusal(study: Study, params: Mapping[str, Any]) -> str:
    """Why the method's Config does not take the parameters; empty where it does."""
    try:
        study.point(params)
    except InputError as error:
        return str(error)
    return ""


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
            return FeasibleGP(partial(refusal, study), seed=seed, n_startup_trials=startup)
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
