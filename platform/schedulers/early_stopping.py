"""Which trials of a study train on and which wait: the scheduler over the ledger's trials."""

from collections.abc import Sequence
from platform.pareto.front import MakeFront
from platform.pareto.observations import STATES, observation, rung_result
from platform.schedulers.factory import make_scheduler
from platform.storage.trials import ENDED, Trial, Trials
from platform.study.observation import Observation, Observed, SearchSpace
from platform.study.study import Study
from platform.surrogate.forecast import MOST_RUNGS, Forecaster


class EarlyStopping:
    """Observations of a study's trials, and the scheduler's decisions on them."""

    def __init__(
        self, study: Study, space: SearchSpace, make_front: MakeFront, known: Sequence[Observation] = ()
    ) -> None:
        """``known``: trials of an earlier study; they do not compete, but forecasts learn from them."""
        self.levels = study.levels
        self._study, self._space, self._make_front, self._known = study, space, make_front, known
        self._forecaster = Forecaster(space, known)
        self._observed = Observed()
        self._reports: dict[int, int] = {}
        """How many reports each trial had when it was last looked at."""
        self._waiting: dict[int, set[int]] = {level: set() for level in self.levels}
        """Paused trials by the level at which they wait."""
        self._free: set[int] = set()
        """Paused trials that need not wait: the budget has stopped them."""
        self._read, self._rungs, self._forecast_at = 0, 0, 0
        self._resumable: tuple[int, int | None] = -1, None
        self._scheduler = make_scheduler(study, space.reference)

    def restore(self, trials: Trials) -> None:
        """Take in the reports and decisions of earlier drivers."""
        for number in sorted(trials):
            trial = trials[number]
            for step in sorted(trial.reports):
                self.reported(trial, step)
            if trial.continued_past:
                self._scheduler.continued(number, trial.continued_past)
            self.ended(trial)

    def observations(self, trials: Trials) -> Observed:
        """Every trial as samplers read it."""
        self._follow(trials)
        return self._observed

    def reported(self, trial: Trial, step: int) -> None:
        """A trial has reported; at its end it no longer competes with those that train on."""
        if not trial.reports[step].done:
            self._scheduler.reported(trial.number, step, rung_result(trial, step, self._make_front))

    def undecided(self, trial: Trial, step: int) -> bool:
        """Whether a trial may have to wait at a step, until the scheduler lets it continue."""
        scheduler = self._scheduler
        return (
            step in self.levels
            and step > trial.continued_past
            and not scheduler.passes_freely(trial.number, step)
        )

    def continues(self, trial: Trial, step: int, trials: Trials) -> bool:
        """Whether a trial that has just reported trains on now; a deterministic study decides later."""
        if not self.undecided(trial, step) or self._study.deterministic:
            return not self.undecided(trial, step)
        self._update_forecasts(trials)
        return self._scheduler.continues(trial.number, step)

    def resumable(self, trials: Trials) -> int | None:
        """The paused trial to resume now, if any: one that only the budget has stopped before others."""
        if len(trials.changed) != self._resumable[0]:  # called again and again while nothing has changed
            self._follow(trials)
            found = min(self._free, default=None)
            if found is None and any(self._waiting.values()):
                self._update_forecasts(trials)
                found = self._scheduler.next_to_resume(self._waiting)
            self._resumable = len(trials.changed), found
        return self._resumable[1]

    def continued(self, number: int, step: int) -> None:
        """A trial trains beyond its step."""
        self._scheduler.continued(number, step)

    def ended(self, trial: Trial) -> None:
        """A trial has ended; others are not compared with one that failed."""
        if trial.status in ENDED and trial.status != "completed":
            self._scheduler.failed(trial.number)

    def _follow(self, trials: Trials) -> None:
        """Look at the trials that have changed since the last time."""
        for number in dict.fromkeys(trials.changed[self._read :]):
            trial, before = trials[number], self._observed.get(number)
            reports = len(trial.reports)
            self._rungs += reports - self._reports.get(number, 0)
            state = STATES[trial.status]
            if before is None or before.state != state or self._reports[number] != reports:
                self._observed[number] = observation(trial, self.levels, self._make_front)
            self._reports[number] = reports
            for group in (*self._waiting.values(), self._free):
                group.discard(number)
            if trial.status == "paused":
                step = max(trial.reports)
                (self._waiting[step] if self.undecided(trial, step) else self._free).add(number)
        self._read = len(trials.changed)

    def _update_forecasts(self, trials: Trials) -> None:
        """Forecast again; in a deterministic study from the trials alone, not from earlier fits."""
        self._follow(trials)
        if self.levels and self._rungs != self._forecast_at:
            self._forecast_at = self._rungs
            if self._rungs > MOST_RUNGS and not self._scheduler.forecasts:
                return
            if self._study.deterministic:
                self._forecaster = Forecaster(self._space, self._known)
            self._scheduler.forecasts = self._forecaster.ends(self.observations(trials))
