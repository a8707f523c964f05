"""Multi-objective asynchronous successive halving (Li et al. 2020), by non-dominated rank and hypervolume.

Levels are optimiser steps, each ``reduction`` times the one before. At a level a trial waits until it is
among the survivors of all results so far: the best non-dominated ranks, and of equal ranks those that add
most hypervolume to the ones chosen before them, which spreads them over the front (Schmucker et al. 2021 use
an epsilon-net there). A trial whose end of training is forecast is ranked by the forecast.
"""

from platform.pareto.observations import RungResult
from platform.schedulers.base import Results, RungScheduler

import numpy as np
from numpy.typing import NDArray

KEPT = 0.44
"""A level keeps 1 / reduction^KEPT of its trials, more than for a single objective: a front has many good
trials. Four levels, each three times the one before, then cost a third of training everything."""
PATIENCE = 80
"""Trials after which a level keeps its whole share; less before, as few results are not reliable."""


class Halving(RungScheduler):
    """Of a level's trials the best 1 / reduction^:data:`KEPT` continue.

    Trials of bracket b pass the first b levels without waiting.
    """

    def survivors(self, level: int) -> list[int]:
        """The trials that may continue by a level's results and have not continued yet, best first."""
        results = self.results.get(level, Results())
        passed = self.passed.get(level, set()) & results.keys()
        if len(results) < self.min_results:
            return sorted(results.keys() - passed)
        keep = self.quota(level, len(results))
        if keep <= len(passed):
            return []
        if self.forecasts:
            results = Results({trial: self._by_forecast(trial, result) for trial, result in results.items()})
        return results.best(keep, keep - len(passed), passed, self.reference, bool(self.forecasts))

    def passes_freely(self, trial: int, level: int) -> bool:
        """Whether a trial's bracket lets it pass a level without waiting; it is not compared there."""
        return self.brackets > 1 and self.levels.index(level) < self.bracket(trial)

    def quota(self, level: int, count: int) -> int:
        """How many of ``count`` trials at a level continue in all; at least one."""
        share: float = self.reduction**-KEPT
        expected = min(self.trials, PATIENCE) * share ** self.levels.index(level)
        return max(1, round(count * share * min(1.0, count / expected)))

    def bracket(self, trial: int) -> int:
        """A trial's bracket; a bracket has 1 / reduction as many trials as the one below."""
        return int(self.brackets_of(np.array([trial]))[0])

    def brackets_of(self, trials: NDArray[np.int64]) -> NDArray[np.int64]:
        """The trials' brackets [n], by the golden ratio sequence."""
        weights = [self.reduction ** -float(b) for b in range(self.brackets)]
        places = (trials * 0.6180339887498949) % 1 * sum(weights)
        return np.asarray(np.searchsorted(np.cumsum(weights), places, side="right"))

    def expected_share(self, steps: int) -> float:
        """Share of all training that will be done, if all trials start at once and none ends by itself."""
        brackets = self.brackets_of(np.arange(self.trials))
        joining: list[int] = np.bincount(brackets, minlength=1 + len(self.levels)).tolist()
        trained, before, competing = 0, 0, 0
        for place, level in enumerate(self.levels):
            free = sum(joining[place + 1 :])
            competing += joining[place]
            trained += (competing + free) * (level - before)
            before = level
            if competing >= self.min_results:
                competing = self.quota(level, competing)
        free = sum(joining[len(self.levels) :])
        return (trained + (competing + free) * (steps - before)) / (self.trials * steps)

    def _by_forecast(self, trial: int, result: RungResult) -> RungResult:
        return RungResult(self.forecasts[trial], result.violation) if trial in self.forecasts else result
