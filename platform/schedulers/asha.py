"""Multi-objective asynchronous successive halving (Li et al. 2020), by non-dominated rank and hypervolume.

Levels are optimiser steps, each ``reduction`` times the one before. At a level a trial waits until it is
among the survivors of all results so far: the best non-dominated ranks, and of equal ranks those that add
most hypervolume to the ones chosen before them, which spreads them over the front (Schmucker et al. 2021 use
an epsilon-net there). A trial whose end of training is forecast is ranked by the forecast.

All decisions follow from the results and from which trials continued: there is no other state to lose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.pareto.dominance import Values
from platform.pareto.observations import RungResult
from platform.schedulers.ranking import ranked

import numpy as np
from numpy.typing import NDArray

KEPT = 0.44
"""A level keeps 1 / reduction^KEPT of its trials, more than for a single objective: a front has many good
trials. Four levels, each three times the one before, then cost a third of training everything."""
PATIENCE = 80
"""Trials after which a level keeps its whole share; less before, as few results are not reliable."""


@dataclass
class Halving:
    """Which trials continue."""

    levels: tuple[int, ...]
    """Steps at which trials wait, ascending, all before the end of training."""
    trials: int
    """How many trials are expected in all."""
    reference: Values
    """The study's reference point [m], minimised."""
    reduction: int = 3
    brackets: int = 1
    """Trials of bracket b pass the first b levels without waiting."""
    min_results: int = 3
    """At a level with fewer results every trial continues."""
    results: dict[int, dict[int, RungResult]] = field(default_factory=dict)
    """By level, by trial."""
    passed: dict[int, set[int]] = field(default_factory=dict)
    """By level, the trials that continued beyond it."""
    forecasts: Mapping[int, Values] = field(default_factory=dict)
    """Points [k, m] that trials are expected to reach at the end of their training."""

    def level_at(self, step: int) -> int | None:
        """The highest level that a trial at this step has reached."""
        return max((level for level in self.levels if level <= step), default=None)

    def reported(self, trial: int, step: int, result: RungResult) -> None:
        """Add a result to the highest level reached; the first result of a trial at a level stays."""
        level = self.level_at(step)
        if level is not None:
            if not self.passes_freely(trial, level):
                self.results.setdefault(level, {}).setdefault(trial, result)
            for below in self.levels[: self.levels.index(level)]:
                self.passed.setdefault(below, set()).add(trial)

    def continued(self, trial: int, step: int) -> None:
        """A trial trains beyond its step."""
        for level in self.levels:
            if level <= step:
                self.passed.setdefault(level, set()).add(trial)

    def failed(self, trial: int) -> None:
        """Remove a failed trial: no other is compared with it, and it occupies no place."""
        for level in self.levels:
            self.results.get(level, {}).pop(trial, None)
            self.passed.get(level, set()).discard(trial)

    def continues(self, trial: int, step: int) -> bool:
        """Whether a trial that has reported at this step is to train on now."""
        level = self.level_at(step)
        if level is None or trial in self.passed.get(level, ()):
            return True
        return self.passes_freely(trial, level) or trial in self.survivors(level)

    def passes_freely(self, trial: int, level: int) -> bool:
        """Whether a trial's bracket lets it pass a level without waiting, out of competition there."""
        return self.levels.index(level) < self.bracket(trial)

    def next_to_resume(self, paused: Mapping[int, int]) -> int | None:
        """Of paused trials, with their steps, the one to resume: of the highest level, its best first."""
        for level in reversed(self.levels):
            waiting = {trial for trial, step in paused.items() if self.level_at(step) == level}
            for trial in self.survivors(level) if waiting else ():
                if trial in waiting:
                    return trial
        return None

    def survivors(self, level: int) -> list[int]:
        """The trials that may continue by a level's results and have not continued yet, best first."""
        results = self.results.get(level, {})
        trials, passed = sorted(results), self.passed.get(level, set()) & results.keys()
        if len(trials) < self.min_results:
            return [trial for trial in trials if trial not in passed]
        keep = self.quota(level, len(trials))
        if keep <= len(passed):
            return []
        chosen = self._best([self._by_forecast(trial, results[trial]) for trial in trials], trials, keep)
        return [trial for trial in chosen if trial not in passed][: keep - len(passed)]

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

    def _by_forecast(self, trial: int, result: RungResult) -> RungResult:
        return RungResult(self.forecasts[trial], result.violation) if trial in self.forecasts else result

    def _best(self, results: Sequence[RungResult], names: Sequence[int], keep: int) -> list[int]:
        """The ``keep`` best, best first; feasible ones first, then by the least violation."""
        feasible = [i for i, result in enumerate(results) if result.violation <= 0]
        rest = sorted(set(range(len(results))) - set(feasible), key=lambda i: (results[i].violation, i))
        chosen = ranked([results[i].points for i in feasible], keep, self.reference, bool(self.forecasts))
        return [names[i] for i in [*(feasible[j] for j in chosen), *rest][:keep]]


def expected_share(halving: Halving, steps: int) -> float:
    """Share of all training that will be done, if all trials start at once and none ends by itself."""
    brackets = halving.brackets_of(np.arange(halving.trials))
    joining: list[int] = np.bincount(brackets, minlength=1 + len(halving.levels)).tolist()
    trained, before, competing = 0, 0, 0
    for place, level in enumerate(halving.levels):
        free = sum(joining[place + 1 :])
        competing += joining[place]
        trained += (competing + free) * (level - before)
        before = level
        if competing >= halving.min_results:
            competing = halving.quota(level, competing)
    free = sum(joining[len(halving.levels) :])
    return (trained + (competing + free) * (steps - before)) / (halving.trials * steps)
