"""Ends a process that makes no progress, after writing the stacks of its threads.

The timer is C's: it acts even where Python itself hangs, in a collective operation or a file system. What is
stopped altogether cannot end itself: for the driver to see it, a file says that there is progress.
"""

import contextlib
import faulthandler
import time
from pathlib import Path

LOG, PROGRESS = "hang.log", "progress"
LEAST = 600.0
"""Seconds before which no process is ended that sets its own limit."""
PATIENCE = 20
"""How many times the longest wait so far is too long."""
EVERY = 2.0
"""Seconds between two writes that there is progress."""


class Watchdog:
    """One at a time in a process; it watches from the first :meth:`beat` to :meth:`pause`."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        """``seconds``: how long is too long; 0: by the process's own pace."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._progress = (folder / LOG).open("a"), folder / PROGRESS
        self._fixed, self._longest, self._last, self._written = seconds, 0.0, 0.0, 0.0

    def beat(self) -> None:
        """There is progress."""
        now = time.monotonic()
        if self._last:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        faulthandler.dump_traceback_later(self.limit, exit=True, file=self._log)
        if now - self._written >= EVERY:
            self._written = now
            self._write(self.limit)

    def pause(self) -> None:
        """Do not watch until the next beat."""
        faulthandler.cancel_dump_traceback_later()
        self._last = self._written = 0.0
        self._write(0.0)

    @property
    def limit(self) -> float:
        """Seconds without a beat after which the process ends."""
        return self._fixed or max(LEAST, PATIENCE * self._longest)

    def _write(self, limit: float) -> None:
        with contextlib.suppress(OSError):  # a full disk is found by those who lose something
            self._progress.write_text(f"{limit:.1f}")


def limit_of(folder: Path) -> tuple[float, int] | None:
    """The limit that a trial's process has set itself, and when (ns); None where it is not watched."""
    path = folder / PROGRESS
    try:
        limit, written = float(path.read_text() or 0), path.stat().st_mtime_ns
    except (OSError, ValueError):
        return None
    return (limit, written) if limit else None
