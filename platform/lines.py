"""An append-only file of JSON lines that survives the death of its writer."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.errors import InputError

log = logging.getLogger(__name__)


class Lines:
    """One writer, any threads. A line handed to the kernel outlives the process; a torn last line is cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.end = path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._file, self.end)

    def append(self, entry: dict[str, Any]) -> int:
        """Write one entry; returns the offset after it.

        Raises InputError if the disk is full; the file is then as it was before.
        """
        line = json.dumps(entry, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(f"only {written} bytes were taken")
            except OSError as error:
                os.ftruncate(self._file, self.end)
                raise InputError(f"{self.path}: cannot append {len(line)} bytes: {error}") from error
            self.end += len(line)
            return self.end

    def read(self, start: int = 0) -> Iterator[tuple[dict[str, Any] | None, int]]:
        """Entries from an offset on, each with the offset after it; None for a line that is no JSON."""
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                start += len(line)
                yield self._parse(line), start

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        try:
            return dict(json.loads(line))
        except ValueError:
            log.warning("%s: passing over an unreadable line: %r", self.path, line[:80])
            return None
