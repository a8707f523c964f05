"""A journal on disk: append-only JSON lines, and how far they have been delivered."""

import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.errors import InputError

log = logging.getLogger(__name__)

Event = dict[str, Any]


@dataclass(frozen=True)
class Stretch:
    """Consecutive ``events`` of a journal and the byte offset of their ``end``."""

    events: list[Event]
    end: int


class Journal:
    """``journal.jsonl`` and ``journal.offset`` in ``folder``; one writer, one reader, any threads.

    An event handed to the kernel survives the death of the process; only a death of the machine can
    lose the newest ones. A last line torn by a kill was never acknowledged to anyone and is cut off.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "journal.jsonl"
        self._offset_path = folder / "journal.offset"
        self._lock = threading.Lock()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.end = _whole_lines(self.path)
        os.ftruncate(self._file, self.end)
        self.delivered = self._read_offset()

    def append(self, event: Event) -> int:
        """Write one event; returns the offset after it.

        Raises :class:`InputError` if the disk is full; the journal is then as it was before.
        """
        line = json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n"
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

    def pending(self, limit: int) -> Stretch:
        """The next undelivered events, at most ``limit`` lines; an unreadable line is passed over."""
        events: list[Event] = []
        end = self.delivered
        with self.path.open("rb") as file:
            file.seek(end)
            for line in file:
                if not line.endswith(b"\n") or len(events) == limit:
                    break
                end += len(line)
                events += _parse(line)
        return Stretch(events, end)

    def acknowledge(self, end: int) -> None:
        """Remember, atomically, that everything before ``end`` was delivered."""
        fresh = self._offset_path.with_suffix(".new")
        fresh.write_text(str(end))
        os.replace(fresh, self._offset_path)
        self.delivered = end

    def unsent(self) -> int:
        """How many events are not yet delivered."""
        with self.path.open("rb") as file:
            file.seek(self.delivered)
            return sum(line.endswith(b"\n") for line in file)

    def close(self) -> None:
        """Let go of the file; what is undelivered stays for the next start."""
        os.close(self._file)

    def _read_offset(self) -> int:
        try:
            offset = int(self._offset_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return offset if offset <= self.end else 0


def _whole_lines(path: Path) -> int:
    """Bytes up to and including the last newline."""
    content = path.read_bytes()
    return content.rfind(b"\n") + 1


def _parse(line: bytes) -> list[Event]:
    try:
        return [json.loads(line)]
    except ValueError:
        log.warning("passing over an unreadable line of the MLflow journal: %r", line[:80])
        return []
