"""Trials on a simulated clock, several at once: what a search has found, by cost and by trials."""

import heapq
import math
import time
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from platform.pareto.dominance import hypervolume, nondominated

import numpy as np

from tests.bench.contender import Array, Contender
from tests.bench.cube import Params
from tests.bench.problems import Problem

WORKERS = 4


@dataclass(frozen=True)
class Run:
    """What came of a search; the three lists have an entry for each trial that was trained to its end."""

    costs: list[float]
    """Steps trained by all workers until then, those of segments still under way in part."""
    times: list[float]
    """The clock, in steps of one worker."""
    volumes: list[float]
    """Hypervolume of the true values of all trials trained to their end until then."""
    cost: float
    """In all."""
    asked: int
    """How many trials were begun."""
    proposing: list[float]
    """Seconds of each proposal."""
    judging: list[float]
    """Seconds of each report."""

    def at(self, cost: float) -> float:
        """Hypervolume found by a cost."""
        return self._volume(bisect_right(self.costs, cost))

    def after(self, trials: int) -> float:
        """Hypervolume of the first so many trials."""
        return self._volume(min(trials, len(self.volumes)))

    def reached(self, volume: float) -> float:
        """Cost at which a hypervolume was first reached; infinite if it was not."""
        pairs = zip(self.costs, self.volumes, strict=True)
        return next((cost for cost, found in pairs if found >= volume), math.inf)

    def _volume(self, trials: int) -> float:
        return self.volumes[trials - 1] if trials else 0.0


@dataclass
class Simulation:
    """``workers`` train segments from level to level, each as long as its steps; decisions take no time.

    A free worker asks for a paused trial that may go on, then for a new one. What a worker is told is in the
    order of the clock, at one time in the order of the segments' begin.
    """

    problem: Problem
    contender: Contender
    seed: int
    trials: int
    """At most so many are begun."""
    workers: int = WORKERS
    budget: float = math.inf
    """Steps of all workers after which everything ends; what is then under way is lost."""
    now: float = 0.0
    cost: float = 0.0
    params: dict[int, Params] = field(default_factory=dict)
    level: dict[int, int] = field(default_factory=dict)
    """How many levels each trial has reached."""
    _segments: list[tuple[float, int, int]] = field(default_factory=list)
    """End, order of begin, trial."""
    _begun: int = 0

    def run(self) -> Run:
        """Until the budget is spent or nobody has anything to train."""
        found = Run([], [], [], 0.0, 0, self.contender.seconds, [])
        front: Array = np.empty((0, len(self.problem.reference)))
        self._fill()
        while self._segments:
            end, _, trial = heapq.heappop(self._segments)
            if self._spent(end) > self.budget:
                return replace(found, cost=self.budget, asked=len(self.params))
            self.cost, self.now = self._spent(end), end
            done, goes_on = self._report(trial, found.judging)
            if done:
                front = np.concatenate([front, self.problem.true(self.params[trial])])
                front = front[nondominated(front)]
                found.costs.append(self.cost)
                found.times.append(self.now)
                found.volumes.append(hypervolume(front, self.problem.reference))
            if goes_on:
                self._begin(trial)
            self._fill()
        return replace(found, cost=self.cost, asked=len(self.params))

    def _spent(self, end: float) -> float:
        """Cost by the end of the segment just taken from those under way."""
        return self.cost + (end - self.now) * (len(self._segments) + 1)

    def _fill(self) -> None:
        """Give every free worker something, as long as there is something."""
        while len(self._segments) < self.workers:
            trial = self.contender.resume()
            if trial is None:
                proposal = self.contender.ask() if len(self.params) < self.trials else None
                if proposal is None:
                    return
                trial, self.params[proposal[0]] = proposal
                self.level[trial] = 0
            self._begin(trial)

    def _begin(self, trial: int) -> None:
        """Train a trial on to its next level."""
        before, after = (0, *self.problem.levels)[self.level[trial] :][:2]
        heapq.heappush(self._segments, (self.now + after - before, self._begun, trial))
        self._begun += 1

    def _report(self, trial: int, seconds: list[float]) -> tuple[bool, bool]:
        """Tell of the level just reached; whether it was the last, and whether the trial trains on."""
        step = self.problem.levels[self.level[trial]]
        self.level[trial] += 1
        values = self.problem.measure(self.params[trial], step, self.seed)
        start = time.perf_counter()
        verdict = self.contender.report(trial, step, values)
        seconds.append(time.perf_counter() - start)
        done = self.level[trial] == len(self.problem.levels)
        return done, not done and verdict == "go"


def simulate(
    problem: Problem,
    contender: Contender,
    seed: int,
    trials: int,
    workers: int = WORKERS,
    budget: float = math.inf,
) -> Run:
    """A search from its begin to its end."""
    return Simulation(problem, contender, seed, trials, workers, budget).run()
