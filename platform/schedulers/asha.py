"""Multi-objective asynchronous successive halving (Li et al. 2020), on non-dominated rank and hypervolume.

Levels are optimiser steps, each ``reduction`` times the one before. At a level a trial waits until it is
among the survivors of all that have come so far: the best non-dominated ranks, and of equal ranks those that
add most hypervolume to the ones chosen before them, so that they spread over the front (Schmucker et al. 2021
take an epsilon-net there). Where a forecast of the end of training is known, a trial is ranked by it.

Everything here follows from the results and from which trials went on: there is no other state to lose.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.pareto.dominance import Values, added, hypervolume, nondominated_sort

import numpy as np
from numpy.typing import NDArray

KEPT = 0.44
"""A level keeps 1 / reduction^KEPT of its trials: a front of several objectives has more to lose than one
best trial has. Four levels a third apart then cost a third of training everything."""
PATIENCE = 80
"""Trials after which a level keeps its whole share; before, less, as few results tell little."""
SLACK = 0.1
"""Of the range, by which the corner of a level's hypervolume lies beyond its worst values."""
DIGITS = 12
"""Of a volume, to which two sets may add the same."""


@dataclass(frozen=True)
class Result:
    """A trial's standing at a level."""

    points: Values
    """Objective values [k, m], minimised, of its candidates."""
    violation: float = 0.0
    """The least total violation of outcome constraints among the candidates; feasible at 0."""


@dataclass
class Halving:
    """Which trials go on."""

    levels: tuple[int, ...]
    """Steps at which trials wait, ascending, all before the end of training."""
    trials: int
    """How many are to come in all."""
    reference: Values
    """The study's reference point [m], minimised."""
    reduction: int = 3
    brackets: int = 1
    """Trials of bracket b pass the first b levels without waiting."""
    min_results: int = 3
    """On a level with fewer results nobody waits."""
    results: dict[int, dict[int, Result]] = field(default_factory=dict)
    """By level, by trial."""
    passed: dict[int, set[int]] = field(default_factory=dict)
    """By level, the trials that went beyond it."""
    forecasts: Mapping[int, Values] = field(default_factory=dict)
    """Points [k, m] that trials are expected to reach at the end of their training."""

    def level_at(self, step: int) -> int | None:
        """The highest level that a trial at this step has reached."""
        return max((level for level in self.levels if level <= step), default=None)

    def reported(self, trial: int, step: int, result: Result) -> None:
        """A result; it counts for the highest level reached, where the first one stands."""
        level = self.level_at(step)
        if level is not None:
            if not self.passes(trial, level):
                self.results.setdefault(level, {}).setdefault(trial, result)
            for below in self.levels[: self.levels.index(level)]:
                self.passed.setdefault(below, set()).add(trial)

    def went_on(self, trial: int, step: int) -> None:
        """A trial trains beyond its step."""
        for level in self.levels:
            if level <= step:
                self.passed.setdefault(level, set()).add(trial)

    def lost(self, trial: int) -> None:
        """A trial failed: nobody is measured by it any more, and it takes nobody's place."""
        for level in self.levels:
            self.results.get(level, {}).pop(trial, None)
            self.passed.get(level, set()).discard(trial)

    def goes_on(self, trial: int, step: int) -> bool:
        """Whether a trial that has reported at this step is to train on now."""
        level = self.level_at(step)
        if level is None or trial in self.passed.get(level, ()):
            return True
        return self.passes(trial, level) or trial in self.survivors(level)

    def passes(self, trial: int, level: int) -> bool:
        """Whether a trial's bracket lets it beyond a level without waiting, out of competition there."""
        return self.levels.index(level) < self.bracket(trial)

    def next(self, paused: Mapping[int, int]) -> int | None:
        """Of paused trials, with their steps, the one to go on: of the highest level, its best first."""
        for level in reversed(self.levels):
            waiting = {trial for trial, step in paused.items() if self.level_at(step) == level}
            for trial in self.survivors(level) if waiting else ():
                if trial in waiting:
                    return trial
        return None

    def survivors(self, level: int) -> list[int]:
        """The trials that a level's results let go on and that have not gone on yet, best first."""
        results = self.results.get(level, {})
        trials, passed = sorted(results), self.passed.get(level, set()) & results.keys()
        if len(trials) < self.min_results:
            return [trial for trial in trials if trial not in passed]
        keep = self.quota(level, len(trials))
        if keep <= len(passed):
            return []
        chosen = self._best([self._standing(trial, results[trial]) for trial in trials], trials, keep)
        return [trial for trial in chosen if trial not in passed][: keep - len(passed)]

    def quota(self, level: int, count: int) -> int:
        """How many of ``count`` trials at a level go on in all; at least one."""
        share: float = self.reduction**-KEPT
        expected = min(self.trials, PATIENCE) * share ** self.levels.index(level)
        return max(1, round(count * share * min(1.0, count / expected)))

    def bracket(self, trial: int) -> int:
        """A trial's bracket; a bracket has 1 / reduction as many trials as the one below."""
        return int(self.dealt(np.array([trial]))[0])

    def dealt(self, trials: NDArray[np.int64]) -> NDArray[np.int64]:
        """The trials' brackets [n]."""
        weights = [self.reduction ** -float(b) for b in range(self.brackets)]
        places = (trials * 0.6180339887498949) % 1 * sum(weights)
        return np.asarray(np.searchsorted(np.cumsum(weights), places, side="right"))

    def _standing(self, trial: int, result: Result) -> Result:
        return Result(self.forecasts[trial], result.violation) if trial in self.forecasts else result

    def _best(self, results: Sequence[Result], names: Sequence[int], keep: int) -> list[int]:
        """The ``keep`` best, best first; feasible ones first, then by how little they break constraints."""
        feasible = [i for i, result in enumerate(results) if result.violation <= 0]
        broken = sorted(set(range(len(results))) - set(feasible), key=lambda i: (results[i].violation, i))
        chosen = ranked([results[i].points for i in feasible], keep, self.reference, bool(self.forecasts))
        return [names[i] for i in [*(feasible[j] for j in chosen), *broken][:keep]]


def expected_share(halving: Halving, steps: int) -> float:
    """Share of all training that will be done, if all trials come at once and none ends by itself."""
    brackets = halving.dealt(np.arange(halving.trials))
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


def ranked(sets: Sequence[Values], keep: int, reference: Values, forecast: bool) -> list[int]:
    """Indices of ``keep`` point sets [k, m], front by front, each front by greedy hypervolume.

    A set's rank is its best point's. Rank and volume are taken on values scaled by :func:`scaled`.
    """
    if not sets:
        return []
    owners = np.repeat(np.arange(len(sets)), [len(points) for points in sets])
    values = scaled(np.concatenate(sets), reference, forecast)
    ranks = nondominated_sort(np.concatenate(sets))
    rank_of = np.array([ranks[owners == i].min() for i in range(len(sets))])
    chosen: list[int] = []
    for rank in range(int(rank_of.max()) + 1):
        members = np.flatnonzero(rank_of == rank).tolist()
        if members and len(chosen) < keep:
            chosen += greedy({i: values[owners == i] for i in members}, keep - len(chosen))
    return chosen


def greedy(sets: Mapping[int, Values], keep: int) -> list[int]:
    """Keys of ``keep`` point sets, each the one that adds most to the volume below 1 of those before it.

    The volume of the whole is within 1 - 1/e of the best choice's (Nemhauser et al. 1978). Of sets that add
    nothing the one nearest to the ideal is first.
    """
    corner = np.ones(next(iter(sets.values())).shape[1])
    chosen: list[int] = []
    covered, volume = np.empty((0, len(corner))), 0.0
    queue = [(-hypervolume(points, corner), points.max(1).min(), key, 0) for key, points in sets.items()]
    heapq.heapify(queue)
    while queue and len(chosen) < keep:
        gain, nearest, key, since = heapq.heappop(queue)
        if since == len(chosen):
            chosen.append(key)
            covered, volume = np.concatenate([covered, sets[key]]), volume - gain
        else:  # what a set adds only shrinks: those behind need no new look unless it falls behind them
            gain = round(_gain(sets[key], covered, volume), DIGITS)
            heapq.heappush(queue, (-gain, nearest, key, len(chosen)))
    return chosen


def _gain(points: Values, covered: Values, volume: float) -> float:
    """What points add to the ``volume`` below 1 that others cover, in the way that is quicker."""
    corner = np.ones(points.shape[1])
    if len(corner) > 3:
        return added(points, covered, corner)
    return hypervolume(np.concatenate([covered, points]), corner) - volume


def scaled(values: Values, reference: Values, forecast: bool) -> Values:
    """Values [n, m] on a scale from their ideal (0) to a little beyond the study's reference point (1).

    Values of an early level, before the end of training is forecast, lie anywhere: theirs is the scale of
    their own lower nine tenths, as outliers set no scale. So it is where none is better than the reference.
    """
    low, high = values.min(0), np.quantile(values, 0.9, axis=0)
    if forecast:
        high = np.where(low < reference, reference, high)
    return np.asarray((values - low) / np.where(high > low, (1 + SLACK) * (high - low), 1))
