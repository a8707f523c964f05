"""JSON lines that prove themselves: each has its number and ends with a checksum of all that is before it.

The first line names the format. Files of format 1 have neither; they are written anew when a driver opens
them, and so is a file with damaged lines. The file as it was is kept beside it.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.storage.jsonl import JsonLines, JsonObject, as_object

from trainers.errors import InputError
from trainers.files import unused, write_bytes
from trainers.seal import FORMAT, checksum

log = logging.getLogger(__name__)

HEADER = {"format": FORMAT}
SUM = b',"sum":"'


@dataclass(frozen=True)
class Log:
    """What a file says."""

    format: int
    entries: list[JsonObject]
    """In order, each with the number of its line, the header's being 0, as ``seq``."""
    following: int
    """Number of the next line."""
    damaged: tuple[int, ...] = ()
    """Lines, counted from 1, that are no entries any more, or not at their place."""
    lost: int = 0
    """How many lines cannot be read, or are missing."""


Kept = Callable[[JsonObject], JsonObject]


def _all(entry: JsonObject) -> JsonObject:
    return entry


class SealedLines:
    """Appends to a file; one writing process and thread."""

    def __init__(self, path: Path, following: int, patience: float = 0.0) -> None:
        """``following``: number of the first line that is appended."""
        self._lines, self._following = JsonLines(path, patience), following
        if following == 0:
            self.append(HEADER)

    def append(self, entry: JsonObject, durable: bool = False) -> int:
        """Write one entry, as :meth:`JsonLines.append_line` does; returns its number.

        A ``durable`` one outlives a crash of the machine, and so does all before it.
        """
        number = self._following
        self._lines.append_line(seal(entry, number))
        if durable:
            self._lines.sync()
        self._following += 1
        return number

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def seal(entry: JsonObject, number: int) -> bytes:
    """An entry as a line without its newline."""
    text = json.dumps({**entry, "seq": number}, separators=(",", ":"), allow_nan=False).encode()
    return text[:-1] + SUM + checksum(text).encode() + b'"}'


def unseal(line: bytes) -> JsonObject | None:
    """The entry of a line, with its number as ``seq``; None if a bit of it is not as it was."""
    start, found, end = line.rpartition(SUM)
    text = start + b"}"
    return as_object(text) if found and end == checksum(text).encode() + b'"}' else None


def open_log(
    path: Path, patience: float = 0.0, kept: Kept = _all, repaired: Callable[[Log], JsonObject] | None = None
) -> tuple[Log, SealedLines]:
    """What a file says and its writer; made where it is missing, written anew where it is not all sealed.

    ``repaired``: the last entry of a file that is written anew without lines that are lost.
    """
    found = read_log(path, kept)
    if found.lost or found.format < FORMAT:
        whole = _parsed(path, _all)
        if whole.lost and repaired:
            whole.entries.append(repaired(whole))
        _keep_aside(path, "damaged" if found.lost else f"format-{found.format}")
        entries = [{**entry, "seq": number} for number, entry in enumerate(whole.entries, 1)]
        lines = [seal(entry, number) + b"\n" for number, entry in enumerate([HEADER, *entries])]
        write_bytes(path, b"".join(lines), 0o600)
        found = Log(FORMAT, list(map(kept, entries)), len(lines), found.damaged, found.lost)
    return found, SealedLines(path, found.following, patience)


def read_log(path: Path, kept: Kept = _all) -> Log:
    """What a file says as it is now, whether or not another process writes it; nothing is changed.

    An incomplete last line is as if never written. Raises InputError for a format of a newer version.
    ``kept``: what is returned of an entry, so that a long file takes little memory.
    """
    found = _parsed(path, kept)
    for place in found.damaged:
        log.warning("%s: line %d is damaged and not used", path, place)
    if found.lost > len(found.damaged):
        log.warning("%s: %d lines are missing", path, found.lost - len(found.damaged))
    return found


def _parsed(path: Path, kept: Kept) -> Log:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    opened = [None if (entry := unseal(line)) is None else kept(entry) for line in lines]
    if lines and not any(opened):
        return _unsealed(lines)
    _require_known(path, [entry for entry in opened if entry])
    good: list[JsonObject] = []
    damaged: list[int] = []
    following = 0
    for place, entry in enumerate(opened, 1):
        if entry is None or entry["seq"] < following:
            damaged.append(place)
        else:
            good.append(entry)
            following = entry["seq"] + 1
    lost = max(len(damaged), following - len(good))
    entries = [entry for entry in good if "format" not in entry]
    return Log(FORMAT, entries, following, tuple(damaged), lost)


def _unsealed(lines: Sequence[bytes]) -> Log:
    """A file of format 1, or one of which no line is intact."""
    parsed = [as_object(line) for line in lines]
    kept = {
        place: each for place, each in enumerate(parsed, 1) if each and "event" in each and "sum" not in each
    }
    damaged = [place for place in range(1, 1 + len(lines)) if place not in kept]
    entries = [{**each, "seq": place} for place, each in kept.items()]
    return Log(1, entries, 1 + len(lines), tuple(damaged), len(damaged))


def _require_known(path: Path, entries: Sequence[JsonObject]) -> None:
    newest = max((entry.get("format", 0) for entry in entries), default=0)
    if newest > FORMAT:
        reason = f"is of format {newest}, of a newer version of this program; allowed: up to {FORMAT}"
        raise InputError(f"{path}: {reason}")


def _keep_aside(path: Path, end: str) -> None:
    """Give the file another name as well, a new one."""
    shutil.copy2(path, unused(path, f"{path.stem}.{end}-", path.suffix))
