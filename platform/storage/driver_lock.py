"""One driver at a time in a folder: a lock of the file system, or a lease where it locks no files.

A lease is a file of the highest number. Its holder writes it anew again and again; one that does not change
for :data:`PATIENCE` seconds has no holder any more. Whoever makes the file of the next number, which only
one can, has the folder from then on; a holder that was only slow finds it and stops. No clocks are compared.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers.errors import EnvironmentFault, InputError
from trainers.files import write_text

BEAT = 5.0
"""Seconds between two times that a lease is written."""
PATIENCE = 4 * BEAT
LOCKS_NOTHING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

log = logging.getLogger(__name__)


class FileLock:
    """A lock of the file system; a process that ends unlocks it."""

    def __init__(self, folder: Path) -> None:
        """Raises BlockingIOError where another process has it, OSError where nothing can be locked."""
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise

    def require(self) -> None:
        """It is never lost."""

    def close(self) -> None:
        """Unlock."""
        os.close(self._file)


class Lease:
    """A lease of a folder; raises BlockingIOError where another process has it, perhaps after a wait."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ended, self._count = folder, threading.Event(), 0
        newest = _newest(folder)
        if newest and not _is_free(newest):
            raise BlockingIOError(f"{newest} is written by another process")
        self._number = _number(newest) + 1
        self._path = folder / f"lease-{self._number:06d}"
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError as error:
            raise BlockingIOError(f"{self._path} was made by another process") from error
        self._write()
        for older in sorted(folder.glob("lease-*"))[:-1]:
            older.unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises EnvironmentFault where another process has taken it over."""
        if _number(_newest(self._folder)) > self._number:
            raise EnvironmentFault(
                f"{self._folder}: another process has taken it over, as this one was stopped"
            )

    def close(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join()
        self._write(released=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._write()
            except OSError as error:
                log.warning("%s: cannot be written: %s", self._path, error)

    def _write(self, released: bool = False) -> None:
        self._count += 1
        who = {"host": socket.gethostname(), "pid": os.getpid(), "count": self._count, "released": released}
        write_text(self._path, json.dumps(who), 0o600)


DriverLock = FileLock | Lease


def lock(folder: Path) -> DriverLock:
    """Lock ``folder`` until it is closed; raises InputError where another process has it."""
    try:
        try:
            return FileLock(folder)
        except OSError as error:
            if error.errno not in LOCKS_NOTHING:
                raise
            return Lease(folder)
    except BlockingIOError as error:
        raise InputError(f"{folder}: another process works on it; allowed: one at a time") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for the block; raises InputError where another process has it."""
    held = lock(folder)
    try:
        yield
    finally:
        held.close()


def _newest(folder: Path) -> Path | None:
    return max(folder.glob("lease-*"), default=None)


def _number(path: Path | None) -> int:
    return int(path.name.removeprefix("lease-")) if path else 0


def _is_free(lease: Path) -> bool:
    """Whether nobody holds a lease; waits for it to change, unless its holder is known to have ended."""
    before, since = _read(lease), time.monotonic()
    if before is None:
        return False
    who = json.loads(before) if before else {}  # empty: it was just made
    if who.get("released") or (who.get("host") == socket.gethostname() and not _runs(who["pid"])):
        return True
    log.warning("%s: waiting up to %.0f s to see whether its driver still runs", lease, PATIENCE)
    while time.monotonic() - since < PATIENCE:
        time.sleep(BEAT / 5)
        if _read(lease) != before:
            return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None  # the next lease has been made


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
