"""Parallel trials on a simulated clock: the hypervolume that a search has found by cost and by trials."""

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
    """Results of a search; the first three lists have an entry for each trial that was trained to its end."""

    costs: list[float]
    """Steps trained by all workers until then, the finished part of running segments included."""
    times: list[float]
    """The clock, in steps of one worker."""
    volumes: list[float]
    """Hypervolume of the true values of all trials trained to their end until then."""
    cost: float
    """In all."""
    started: int
    """How many trials were started."""
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

    A free worker takes a paused trial that may continue, else a new one. Reports are in the order of the
    clock, those of the same time in the order in which their segments started.
    """

    problem: Problem
    contender: Contender
    seed: int
    trials: int
    """At most so many are started."""
    workers: int = WORKERS
    budget: float = math.inf
    """Steps of all workers after which everything ends; segments that still run are lost."""
    now: float = 0.0
    cost: float = 0.0
    params: dict[int, Params] = field(default_factory=dict)
    level: dict[int, int] = field(default_factory=dict)
    """How many levels each trial has reached."""
    _segments: list[tuple[float, int, int]] = field(default_factory=list)
    """End, order of start, trial."""
    _segments_started: int = 0

    def run(self) -> Run:
        """Until the budget is spent or no worker has anything to train."""
        run = Run([], [], [], 0.0, 0, self.contender.seconds, [])
        front: Array = np.empty((0, len(self.problem.reference)))
        self._fill()
        while self._segments:
            end, _, trial = heapq.heappop(self._segments)
            if self._spent(end) > self.budget:
                return replace(run, cost=self.budget, started=len(self.params))
            self.cost, self.now = self._spent(end), end
            done, continues = self._report(trial, run.judging)
            if done:
                front = np.concatenate([front, self.problem.true(self.params[trial])])
                front = front[nondominated(front)]
                run.costs.append(self.cost)
                run.times.append(self.now)
                run.volumes.append(hypervolume(front, self.problem.reference))
            if continues:
                self._start(trial)
            self._fill()
        return replace(run, cost=self.cost, started=len(self.params))

    def _spent(self, end: float) -> float:
        """Cost by the end of the segment that was just removed from the running ones."""
        return self.cost + (end - self.now) * (len(self._segments) + 1)

    def _fill(self) -> None:
        """Give every free worker a trial, as long as there is one."""
        while len(self._segments) < self.workers:
            trial = self.contender.resume()
            if trial is None:
                proposal = self.contender.ask() if len(self.params) < self.trials else None
                if proposal is None:
                    return
                trial, self.params[proposal[0]] = proposal
                self.level[trial] = 0
            self._start(trial)

    def _start(self, trial: int) -> None:
        """Train a trial to its next level."""
        before, after = (0, *self.problem.levels)[self.level[trial] :][:2]
        heapq.heappush(self._segments, (self.now + after - before, self._segments_started, trial))
        self._segments_started += 1

    def _report(self, trial: int, seconds: list[float]) -> tuple[bool, bool]:
        """Report the level just reached; whether it was the last, and whether the trial continues."""
        step = self.problem.levels[self.level[trial]]
        self.level[trial] += 1
        values = self.problem.measure(self.params[trial], step, self.seed)
        start = time.perf_counter()
        decision = self.contender.report(trial, step, values)
        seconds.append(time.perf_counter() - start)
        done = self.level[trial] == len(self.problem.levels)
        return done, not done and decision == "go"


def simulate(
    problem: Problem,
    contender: Contender,
    seed: int,
    trials: int,
    workers: int = WORKERS,
    budget: float = math.inf,
) -> Run:
    """A search from its start to its end."""
    return Simulation(problem, contender, seed, trials, workers, budget).run()
