"""A journal on disk: append-only JSON lines, and how far they have been delivered."""

from dataclasses import dataclass
from pathlib import Path
from platform.storage.jsonl import JsonLines, JsonObject
from typing import TypeAlias

from trainers.files import write_text

Event: TypeAlias = JsonObject


@dataclass(frozen=True)
class Batch:
    """Consecutive events of a journal."""

    events: list[Event]
    end: int
    """Byte offset after the last."""


class Journal(JsonLines):
    """``journal.jsonl`` and ``journal.offset`` in ``folder``; one writer, one reader, any threads."""

    def __init__(self, folder: Path, patience: float = 0.0) -> None:
        super().__init__(folder / "journal.jsonl", patience)
        self._offset_path = folder / "journal.offset"
        self.delivered = self._read_offset()

    def pending(self, limit: int) -> Batch:
        """The next undelivered events, at most ``limit``; an unreadable line is skipped."""
        events: list[Event] = []
        end = self.delivered
        for event, after in self.read(end):
            if len(events) == limit:
                break
            events += [] if event is None else [event]
            end = after
        return Batch(events, end)

    def acknowledge(self, end: int) -> None:
        """Save, atomically, that everything before ``end`` was delivered."""
        write_text(self._offset_path, str(end))
        self.delivered = end

    def unsent(self) -> int:
        """How many events are not yet delivered."""
        return sum(1 for _ in self.read(self.delivered))

    def _read_offset(self) -> int:
        try:
            offset = int(self._offset_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return offset if offset <= self.end else 0
