"""Which trials of a study train on and which wait: halving over the ledger's trials."""

from collections.abc import Mapping, Sequence
from platform.pareto.observations import Judged, observation, result
from platform.schedulers.asha import Halving
from platform.storage.ledger import OVER, Trial
from platform.study.observation import Observation, SearchSpace
from platform.study.study import Study
from platform.surrogate.forecast import Forecaster

import numpy as np


def halving_of(study: Study, reference: Sequence[float]) -> Halving:
    """A study's halving before its first trial; ``reference`` [m] is minimised."""
    means, corner = study.scheduler, np.array(reference)
    return Halving(
        study.levels, study.budget.trials, corner, means.reduction, means.brackets, means.least_results
    )


class Triage:
    """Observations of the trials, and the scheduler's decisions on them."""

    def __init__(
        self, study: Study, space: SearchSpace, judged: Judged, known: Sequence[Observation] = ()
    ) -> None:
        """``known``: trials of an earlier study; they compete for no place, but forecasts learn from them."""
        self.levels = study.levels
        self._study, self._space, self._judged, self._known = study, space, judged, known
        self._forecaster = Forecaster(space, known)
        self._seen: dict[int, tuple[tuple[str, int], Observation]] = {}
        self._rungs, self._lost = 0, 0
        self._asked: tuple[tuple[int, int, int], int | None] = (-1, -1, -1), None
        self._halving = halving_of(study, space.reference)

    def restore(self, trials: Mapping[int, Trial]) -> None:
        """Take in what earlier drivers have heard and decided."""
        for number in sorted(trials):
            trial = trials[number]
            for step in sorted(trial.reports):
                self.reported(trial, step)
            if trial.passed:
                self._halving.went_on(number, trial.passed)
            self.ended(trial)

    def observations(self, trials: Mapping[int, Trial]) -> dict[int, Observation]:
        """Every trial, as samplers take it."""
        for number, trial in trials.items():
            key = (trial.status, len(trial.reports))
            if number not in self._seen or self._seen[number][0] != key:
                self._seen[number] = key, observation(trial, self.levels, self._judged)
        return {number: self._seen[number][1] for number in trials}

    def reported(self, trial: Trial, step: int) -> None:
        """A trial has reported; one that is at its end competes for no place among those that train on."""
        if step < trial.reports[step]["steps"]:
            self._halving.reported(trial.number, step, result(trial, step, self._judged))

    def undecided(self, trial: Trial, step: int) -> bool:
        """Whether a trial may have to wait at a step, until the scheduler has let it go on."""
        return step in self.levels and step > trial.passed and not self._halving.passes(trial.number, step)

    def goes_on(self, trial: Trial, step: int, trials: Mapping[int, Trial]) -> bool:
        """Whether a trial that has just reported trains on now; a deterministic study decides later."""
        if not self.undecided(trial, step) or self._study.deterministic:
            return not self.undecided(trial, step)
        self._foresee(trials)
        return self._halving.goes_on(trial.number, step)

    def resumable(self, trials: Mapping[int, Trial]) -> int | None:
        """The paused trial that is to go on now, if any: one that only the budget stopped before others."""
        paused = {t.number: max(t.reports) for t in trials.values() if t.status == "paused"}
        key = sum(len(trial.reports) for trial in trials.values()), len(paused), self._lost
        if key != self._asked[0]:  # asked again and again while nothing has changed
            free = (number for number in sorted(paused) if not self.undecided(trials[number], paused[number]))
            self._asked = key, next(free, None)
            if paused and self._asked[1] is None:
                self._foresee(trials)
                self._asked = key, self._halving.next(paused)
        return self._asked[1]

    def went_on(self, number: int, step: int) -> None:
        """A trial trains beyond its step."""
        self._halving.went_on(number, step)

    def ended(self, trial: Trial) -> None:
        """A trial is over; one that went wrong is no measure for others."""
        if trial.status in OVER and trial.status != "completed":
            self._halving.lost(trial.number)
            self._lost += 1

    def _foresee(self, trials: Mapping[int, Trial]) -> None:
        """Forecast anew; in a deterministic study from the trials alone, not from earlier fits."""
        rungs = sum(len(trial.reports) for trial in trials.values())
        if self.levels and rungs != self._rungs:
            self._rungs = rungs
            if self._study.deterministic:
                self._forecaster = Forecaster(self._space, self._known)
            self._halving.forecasts = self._forecaster.ends(self.observations(trials))
