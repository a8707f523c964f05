"""Which trials of a study train on and which wait: successive halving over the ledger's trials."""

from collections.abc import Mapping, Sequence
from platform.pareto.front import MakeFront
from platform.pareto.observations import observation, rung_result
from platform.schedulers.asha import Halving
from platform.storage.ledger import ENDED, Trial
from platform.study.observation import Observation, SearchSpace
from platform.study.study import Study
from platform.surrogate.forecast import Forecaster

import numpy as np


def halving_of(study: Study, reference: Sequence[float]) -> Halving:
    """A study's halving before its first trial; ``reference`` [m] is minimised."""
    settings, corner = study.scheduler, np.array(reference)
    return Halving(
        *(study.levels, study.budget.trials, corner),
        *(settings.reduction, settings.brackets, settings.least_results),
    )


class EarlyStopping:
    """Observations of a study's trials, and the scheduler's decisions on them."""

    def __init__(
        self, study: Study, space: SearchSpace, make_front: MakeFront, known: Sequence[Observation] = ()
    ) -> None:
        """``known``: trials of an earlier study; they do not compete, but forecasts learn from them."""
        self.levels = study.levels
        self._study, self._space, self._make_front, self._known = study, space, make_front, known
        self._forecaster = Forecaster(space, known)
        self._observed: dict[int, tuple[tuple[str, int], Observation]] = {}
        self._rungs, self._failures = 0, 0
        self._resumable: tuple[tuple[int, int, int], int | None] = (-1, -1, -1), None
        self._halving = halving_of(study, space.reference)

    def restore(self, trials: Mapping[int, Trial]) -> None:
        """Take in the reports and decisions of earlier drivers."""
        for number in sorted(trials):
            trial = trials[number]
            for step in sorted(trial.reports):
                self.reported(trial, step)
            if trial.continued_past:
                self._halving.continued(number, trial.continued_past)
            self.ended(trial)

    def observations(self, trials: Mapping[int, Trial]) -> dict[int, Observation]:
        """Every trial as samplers read it."""
        for number, trial in trials.items():
            key = (trial.status, len(trial.reports))
            if number not in self._observed or self._observed[number][0] != key:
                self._observed[number] = key, observation(trial, self.levels, self._make_front)
        return {number: self._observed[number][1] for number in trials}

    def reported(self, trial: Trial, step: int) -> None:
        """A trial has reported; at its end it no longer competes with those that train on."""
        if not trial.reports[step].done:
            self._halving.reported(trial.number, step, rung_result(trial, step, self._make_front))

    def undecided(self, trial: Trial, step: int) -> bool:
        """Whether a trial may have to wait at a step, until the scheduler lets it continue."""
        halving = self._halving
        return (
            step in self.levels
            and step > trial.continued_past
            and not halving.passes_freely(trial.number, step)
        )

    def continues(self, trial: Trial, step: int, trials: Mapping[int, Trial]) -> bool:
        """Whether a trial that has just reported trains on now; a deterministic study decides later."""
        if not self.undecided(trial, step) or self._study.deterministic:
            return not self.undecided(trial, step)
        self._update_forecasts(trials)
        return self._halving.continues(trial.number, step)

    def resumable(self, trials: Mapping[int, Trial]) -> int | None:
        """The paused trial to resume now, if any: one that only the budget has stopped before others."""
        paused = {t.number: max(t.reports) for t in trials.values() if t.status == "paused"}
        key = sum(len(trial.reports) for trial in trials.values()), len(paused), self._failures
        if key != self._resumable[0]:  # called again and again while nothing has changed
            free = (number for number in sorted(paused) if not self.undecided(trials[number], paused[number]))
            self._resumable = key, next(free, None)
            if paused and self._resumable[1] is None:
                self._update_forecasts(trials)
                self._resumable = key, self._halving.next_to_resume(paused)
        return self._resumable[1]

    def continued(self, number: int, step: int) -> None:
        """A trial trains beyond its step."""
        self._halving.continued(number, step)

    def ended(self, trial: Trial) -> None:
        """A trial has ended; others are not compared with one that failed."""
        if trial.status in ENDED and trial.status != "completed":
            self._halving.failed(trial.number)
            self._failures += 1

    def _update_forecasts(self, trials: Mapping[int, Trial]) -> None:
        """Forecast again; in a deterministic study from the trials alone, not from earlier fits."""
        rungs = sum(len(trial.reports) for trial in trials.values())
        if self.levels and rungs != self._rungs:
            self._rungs = rungs
            if self._study.deterministic:
                self._forecaster = Forecaster(self._space, self._known)
            self._halving.forecasts = self._forecaster.ends(self.observations(trials))
