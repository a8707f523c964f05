"""A lease: one driver at a time where no file can be locked, on a file system or in an object store.

It is the entry of the highest number on a board. Its holder writes it anew again and again; one that does
not change for :data:`PATIENCE` seconds has no holder any more. Whoever makes the entry of the next number,
which only one can, has it from then on; a holder that was only slow finds it and stops. No clocks are
compared.
"""

import json
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Protocol

from trainers.errors import EnvironmentFault
from trainers.files import write_text
from trainers.places.mounts import Mount

BEAT = 5.0
"""Seconds between two times that a lease is written."""
PATIENCE = 4 * BEAT

log = logging.getLogger(__name__)


class Board(Protocol):
    """Where the leases of a folder are written, by number."""

    def numbers(self) -> list[int]:
        """Those that exist, in order."""

    def create(self, number: int, text: str) -> bool:
        """Write one that does not exist; False where another process has made it."""

    def write(self, number: int, text: str) -> None:
        """Write one anew."""

    def read(self, number: int) -> str | None:
        """What one says; None where it no longer exists."""

    def remove(self, number: int) -> None:
        """Remove one, if it exists."""


class FolderBoard:
    """Files in the folder itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        """For messages."""
        return str(self._folder)

    def numbers(self) -> list[int]:
        """Of the files."""
        return sorted(int(path.name.removeprefix("lease-")) for path in self._folder.glob("lease-*"))

    def create(self, number: int, text: str) -> bool:
        """Empty at first; then with its text."""
        try:
            os.close(os.open(self._path(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        self.write(number, text)
        return True

    def write(self, number: int, text: str) -> None:
        """Atomically."""
        write_text(self._path(number), text, 0o600)

    def read(self, number: int) -> str | None:
        """A file's text."""
        try:
            return self._path(number).read_text()
        except FileNotFoundError:
            return None

    def remove(self, number: int) -> None:
        """Unlink the file."""
        self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"lease-{number:06d}"


class StoreBoard:
    """Objects in the store of a folder that is its copy."""

    def __init__(self, mount: Mount, folder: Path) -> None:
        self._objects, self._prefix = mount.objects, f"{mount.key(folder)}/.leases"

    def __str__(self) -> str:
        """For messages."""
        return f"{self._objects.url}/{self._prefix.removesuffix('/.leases')}"

    def numbers(self) -> list[int]:
        """Of the objects."""
        return sorted(map(int, self._objects.names(self._prefix)))

    def create(self, number: int, text: str) -> bool:
        """By a conditional put."""
        return self._objects.create(self._key(number), text.encode())

    def write(self, number: int, text: str) -> None:
        """Put it."""
        self._objects.put(self._key(number), text.encode())

    def read(self, number: int) -> str | None:
        """Get it."""
        content = self._objects.get(self._key(number))
        return None if content is None else content.decode()

    def remove(self, number: int) -> None:
        """Delete it."""
        self._objects.delete(self._key(number))

    def _key(self, number: int) -> str:
        return f"{self._prefix}/{number:06d}"


class Lease:
    """A lease of a board; raises BlockingIOError where another process has it, perhaps after a wait."""

    def __init__(self, board: Board) -> None:
        self._board, self._ended, self._count = board, threading.Event(), 0
        newest = max(board.numbers(), default=0)
        if newest and not _is_free(board, newest):
            raise BlockingIOError(f"{board}: lease {newest} is written by another process")
        self.number = newest + 1
        """Higher than those of all earlier holders."""
        if not board.create(self.number, self._text()):
            raise BlockingIOError(f"{board}: lease {self.number} was made by another process")
        for older in board.numbers():
            if older < self.number:
                board.remove(older)
        self._sure = time.monotonic()
        """When it was last known that nobody can have taken it over."""
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises EnvironmentFault where another process has taken it over.

        The board is read by the beat; here only where that is so late that another may have.
        """
        if (now := time.monotonic()) - self._sure > PATIENCE:
            self._look(now)
        if self._ended.is_set():
            raise EnvironmentFault(
                f"{self._board}: another process has taken it over, as this one was stopped"
            )

    def close(self) -> None:
        """Give it back."""
        lost = self._ended.is_set()
        self._ended.set()
        self._thread.join()
        if not lost:
            self._board.write(self.number, self._text(released=True))

    def _look(self, now: float) -> None:
        if max(self._board.numbers(), default=0) > self.number:
            self._ended.set()
        self._sure = now

    def _beat(self) -> None:
        warned = False
        while not self._ended.wait(BEAT):
            try:
                now = time.monotonic()
                self._board.write(self.number, self._text())
                self._look(now)
                warned = False
            except (OSError, EnvironmentFault) as error:
                if not warned:
                    log.warning("%s: its lease cannot be written: %s", self._board, error)
                warned = True

    def _text(self, released: bool = False) -> str:
        self._count += 1
        who = {"host": socket.gethostname(), "pid": os.getpid(), "count": self._count, "released": released}
        return json.dumps(who)


def _is_free(board: Board, newest: int) -> bool:
    """Whether nobody holds a lease; waits for it to change, unless its holder is known to have ended."""
    before, since = board.read(newest), time.monotonic()
    if before is None:  # the next lease has been made
        return False
    who = json.loads(before) if before else {}  # empty: it was just made
    if who.get("released") or (who.get("host") == socket.gethostname() and not _runs(who["pid"])):
        return True
    log.warning("%s: waiting up to %.0f s to see whether its driver still runs", board, PATIENCE)
    while time.monotonic() - since < PATIENCE:
        time.sleep(BEAT / 5)
        if board.read(newest) != before:
            return False
    return True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
