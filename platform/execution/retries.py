"""Trials that a fault has interrupted: when each starts again, and when to give up.

A fault of the environment counts against no trial. It is waited for, longer each time, and every new
checkpoint starts the count again. Only where a trial's worker dies again and again without progress, while
other trials make some, the trial itself is the likely cause.
"""

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from platform.study.settings import Recovery

from trainers.errors import EnvironmentFault

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two looks for room on a full disk."""
DEATHS = 8
"""Interruptions without progress, while others make some, after which a trial has failed."""
LONGEST = 60.0
"""Seconds between two attempts, at most; the first comes after one."""


@dataclass
class Interrupted:
    """A trial since its first interruption without progress."""

    since: float
    step: int
    count: int = 0
    exceptions: int = 0
    """Of its own code."""
    ready: float = 0.0
    """When it may start again."""
    waits: bool = True


class Retries:
    """The interrupted trials of a driver; times are of a monotonic clock."""

    def __init__(self, recovery: Recovery, newest_step: Callable[[int], int]) -> None:
        """``newest_step``: the step of a trial's newest checkpoint, 0 without one."""
        self._recovery, self._newest_step = recovery, newest_step
        self._trials: dict[int, Interrupted] = {}
        self._progress: dict[int, float] = {}
        """When each trial has last reported something new."""
        self._full: tuple[EnvironmentFault, float] | None = None
        self._looked = -EVERY

    @property
    def waiting(self) -> int:
        """How many trials wait for their next start."""
        return sum(trial.waits for trial in self._trials.values())

    def progressed(self, number: int) -> None:
        """A trial has reported what it had not before."""
        self._progress[number] = time.monotonic()

    def interrupted(self, number: int, fault: EnvironmentFault) -> str:
        """A trial has stopped by a fault of its environment; why it has failed after all, empty if it waits.

        Raises the fault where it has lasted too long.
        """
        trial, now = self._known(number), time.monotonic()
        trial.count += 1
        others_progress = any(t > trial.since for n, t in self._progress.items() if n != number)
        if trial.count >= DEATHS and others_progress and not fault.size:
            return f"stopped {trial.count} times at step {trial.step}, where others went on: {fault}"
        since = max([trial.since, *self._progress.values()])
        if now - since > self._recovery.patience:
            raise self._given_up(fault, now - since)
        trial.ready, trial.waits = now + min(LONGEST, 2.0 ** (trial.count - 1)), True
        if fault.size and self._full is None:
            self._full = fault, now
            log.warning("%s; trials wait, at most %g minutes", fault, self._recovery.give_up_minutes)
        return ""

    def raised(self, number: int) -> bool:
        """An exception of a trial's own code: whether it is tried once more, from its newest checkpoint."""
        trial = self._known(number)
        trial.exceptions += 1
        trial.ready, trial.waits = time.monotonic(), trial.exceptions <= self._recovery.retries
        return trial.waits

    def due(self) -> int | None:
        """A trial to start again now, if any."""
        if not self.has_room():
            return None
        now = time.monotonic()
        ready = [n for n, trial in self._trials.items() if trial.waits and trial.ready <= now]
        if not ready:
            return None
        self._trials[ready[0]].waits = False
        return ready[0]

    def has_room(self) -> bool:
        """Whether there is room again where there was none; looks every few seconds.

        Raises EnvironmentFault where it has lasted too long.
        """
        if self._full is None:
            return True
        fault, since = self._full
        if time.monotonic() - self._looked < EVERY:
            return False
        self._looked = time.monotonic()
        if not _fits(Path(fault.folder), fault.size):
            if time.monotonic() - since > self._recovery.patience:
                raise self._given_up(fault, time.monotonic() - since)
            return False
        self._full = None
        log.warning("%s: there is room again; trials go on", fault.folder)
        return True

    def _known(self, number: int) -> Interrupted:
        """A trial's interruptions since its newest checkpoint."""
        step, trial = self._newest_step(number), self._trials.get(number)
        if trial is None or trial.step != step:
            trial = self._trials[number] = Interrupted(time.monotonic(), step)
        return trial

    @staticmethod
    def _given_up(fault: EnvironmentFault, seconds: float) -> EnvironmentFault:
        message = f"{fault}; given up after {seconds / 60:.0f} minutes, everything is kept"
        return EnvironmentFault(message, fault.folder, fault.size)


def _fits(folder: Path, size: int) -> bool:
    """Whether so many bytes can be written to a folder, which may still have to be made."""
    folder = next(each for each in (folder, *folder.parents) if each.is_dir())
    path = folder / f".{secrets.token_hex(8)}.room"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
