"""The machine that a simulated study runs on: a clock, a disk and workers, all with faults from one seed."""

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from trainers.loop import Task
from trainers.report import Report

SAVE = 2
"""Steps between two checkpoints of a worker: what a fault costs it at most."""


class Killed(BaseException):
    """The driver dies here."""


class Clock:
    """Replaces the module ``time``: nothing waits, the time of day jumps, the other one never."""

    def __init__(self) -> None:
        self.now, self.day = 1000.0, 1e9

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    perf_counter = monotonic

    def time(self) -> float:
        return self.day + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Disk:
    """Replaces the module ``os`` where the ledger is written."""

    def __init__(self, draws: Random) -> None:
        self.draws, self.full = draws, 0
        self.dies_at: int | None = None
        """Bytes until the driver dies; None: it lives."""
        self.synced: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, file: int, line: bytes) -> int:
        if self.full:
            self.full -= 1
            if not self.draws.randrange(2):
                return os.write(file, line[: self.draws.randrange(len(line))])
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.dies_at is not None:
            self.dies_at -= len(line)
            if self.dies_at < 0:
                os.write(file, line[: self.dies_at])
                raise Killed
        return os.write(file, line)

    def fsync(self, file: int) -> None:
        self.synced[os.readlink(f"/proc/self/fd/{file}")] = os.fstat(file).st_size

    def lose_unsynced(self, path: Path) -> None:
        """The machine itself crashes: of what was not synced any part from the end on is lost."""
        size, kept = path.stat().st_size, self.synced.get(str(path), 0)
        os.truncate(path, self.draws.randint(min(kept, size), size))


@dataclass
class Workers:
    """Trainings that cost nothing: their checkpoints outlive them, and the driver."""

    rungs: tuple[int, ...]
    scores: Any
    saved: dict[int, int] = field(default_factory=dict)
    """Step of each trial's newest checkpoint."""
    reports: dict[int, Report] = field(default_factory=dict)
    """Each trial's newest report, as its checkpoint has it."""
    trained: dict[int, int] = field(default_factory=dict)
    """Steps that each trial has trained, those done again included."""
    running: dict[int, Iterator[Report | None]] = field(default_factory=dict)

    def start(self, number: int, task: Task) -> None:
        """A worker takes a trial."""
        self.running[number] = self._work(number, task)

    def _work(self, number: int, task: Task) -> Iterator[Report | None]:
        """Its newest report again, then steps and reports; None: it has trained a while."""
        step = self.saved.get(number, 0)
        if number in self.reports:
            yield self.reports[number]
        for target in sorted({*self.rungs, *task.milestones}):
            while step < target:
                step += 1
                self.trained[number] = self.trained.get(number, 0) + 1
                if step == target:
                    self.reports[number] = self._report(number, step, task.config)
                if step == target or step % SAVE == 0:
                    self.saved[number] = step
                    yield self.reports[number] if step == target else None

    def _report(self, number: int, step: int, config: Any) -> Report:
        scores: Mapping[int, Mapping[str, float]] = self.scores(step, self.rungs[-1], config)
        return Report(step, self.rungs[-1], scores, {}, 1.5, f"trials/{number:05d}/step-{step:09d}")
