"""An append-only file of JSON lines that survives a kill of its writer."""

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.errors import EnvironmentFault
from trainers.faults import NO_ROOM

PAUSE = 0.5
"""Seconds between two attempts to write on a full disk."""

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]


class JsonLines:
    """One writing process with any number of threads. A line that is written outlives the process.

    Only a crash of the machine can lose the newest lines. A last line that a kill has left incomplete is
    cut off: no :meth:`append` has returned from it.
    """

    def __init__(self, path: Path, patience: float = 0.0) -> None:
        """``patience``: seconds that a call waits for room on a full disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._patience = path, patience
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.end = cut_incomplete_line(path)

    def append(self, entry: JsonObject) -> int:
        """Write one entry; returns the offset after it.

        Raises EnvironmentFault if the disk is full for too long; the file is then as it was before.
        """
        return self.append_line(json.dumps(entry, separators=(",", ":"), allow_nan=False).encode())

    def append_line(self, line: bytes) -> int:
        """As :meth:`append`, of an entry's line without its newline."""
        line += b"\n"
        with self._lock:
            since, warned = time.monotonic(), False
            while (fault := self._written(line)) is not None:
                if not fault.size or time.monotonic() - since >= self._patience:
                    raise fault
                if not warned:
                    log.warning("%s; waiting for room (at most %.0f minutes)", fault, self._patience / 60)
                warned = True
                time.sleep(PAUSE)
            self.end += len(line)
            return self.end

    def read(self, start: int = 0) -> Iterator[tuple[JsonObject | None, int]]:
        """As :func:`read_lines`."""
        return read_lines(self.path, start)

    def hurry(self) -> None:
        """From now on no call waits for room."""
        self._patience = 0.0

    def sync(self) -> None:
        """Wait until what is written outlives a crash of the machine."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _written(self, line: bytes) -> EnvironmentFault | None:
        """Write a line at the end; what hinders it, with the file as it was before."""
        try:
            written = os.write(self._file, line)
            if written == len(line):
                return None
            error = OSError(errno.ENOSPC, f"only {written} bytes were written")
        except OSError as raised:
            error = raised
        os.ftruncate(self._file, self.end)
        size = len(line) if error.errno in NO_ROOM else 0
        reason = f"{self.path}: cannot append {len(line)} bytes: {error.strerror}"
        return EnvironmentFault(reason, str(self.path.parent), size)


def read_lines(path: Path, start: int = 0) -> Iterator[tuple[JsonObject | None, int]]:
    """Entries from an offset on, each with the offset after it; None for a line that is no JSON object.

    Changes nothing, so a file may be read while another process writes it.
    """
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            entry = as_object(line)
            if entry is None:
                log.warning("%s: skipping an unreadable line: %r", path, line[:80])
            yield entry, start


def cut_incomplete_line(path: Path) -> int:
    """Truncate a file after its last newline; returns its size then."""
    end = path.read_bytes().rfind(b"\n") + 1
    os.truncate(path, end)
    return end


def as_object(line: bytes) -> JsonObject | None:
    """A line's JSON object; None if it is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
