"""One driver at a time in a folder: a lock of the file system, or a lease where it locks no files.

The folder of a storage that is an object store has both: a lock on this machine, a lease in the store.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform.driver.lease import FolderBoard, Lease, StoreBoard
from platform.driver.mirror import Mirror
from typing import Protocol

from trainers.errors import EnvironmentFault, InputError
from trainers.places import mounts
from trainers.places.mounts import Mount
from trainers.places.objects import Refused

LOCKS_NOTHING = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
LONGEST = 30.0
"""Seconds between two attempts to reach a store, at most."""
ORPHANED = 3600.0
"""Age of an unfinished upload that no process still works on."""

log = logging.getLogger(__name__)


class DriverLock(Protocol):
    """What a driver holds of its folder."""

    def require(self) -> None:
        """Raises EnvironmentFault where another process has taken the folder over."""

    def changed(self) -> None:
        """Let what is written outlive this machine soon, where the storage is made for that."""

    def saved(self, patience: float) -> None:
        """As :meth:`changed`, and wait until it is so."""

    def close(self) -> None:
        """Give the folder back."""


class _KeptByFileSystem:
    """Of a folder that is the storage itself: the file system lets what is written outlive the process."""

    def changed(self) -> None:
        """Nothing is left to do."""

    def saved(self, patience: float) -> None:
        """Nothing is left to do."""


class FileLock(_KeptByFileSystem):
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


class FolderLease(_KeptByFileSystem, Lease):
    """A lease in the folder itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FolderBoard(folder))


class StoreLock:
    """A lock here, a lease in the store, and the folder's mirror there; everything is brought first."""

    def __init__(self, mount: Mount, folder: Path) -> None:
        _require_conditions(mount)
        self._here = _of_folder(folder)
        try:
            self._lease = Lease(StoreBoard(mount, folder))
        except BaseException:
            self._here.close()
            raise
        try:
            mount.objects.sweep(mount.key(folder), ORPHANED)
            self._mirror = Mirror(mount, folder, self._lease.number, self._lease.require)
            self._mirror.start()
        except BaseException:
            self._lease.close()
            self._here.close()
            raise

    def require(self) -> None:
        """Of the lease."""
        self._lease.require()

    def changed(self) -> None:
        """Mirror it."""
        self._mirror.hurry()

    def saved(self, patience: float) -> None:
        """Mirror it now; a store that does not answer is asked again for so many seconds."""
        since, pause = time.monotonic(), 1.0
        while True:
            try:
                self._mirror.push()
                return
            except EnvironmentFault as fault:
                if isinstance(fault, Refused) or time.monotonic() - since > patience:
                    raise
                if pause == 1.0:
                    log.warning("%s; waiting for it, at most %.0f minutes", fault, patience / 60)
            time.sleep(pause)
            pause = min(LONGEST, 2 * pause)

    def close(self) -> None:
        """Mirror the last changes, and give everything back."""
        self._mirror.close()
        try:
            self._lease.close()
        except EnvironmentFault as fault:
            log.warning("the lease was not given back: %s", fault)
        self._here.close()


def lock(folder: Path) -> DriverLock:
    """Lock ``folder`` until it is closed; raises InputError where another process has it."""
    try:
        mount = mounts.of(folder)
        return _of_folder(folder) if mount is None else StoreLock(mount, folder)
    except BlockingIOError as error:
        reason = "another process works on it; allowed: one at a time"
        raise InputError(f"{mounts.shown(folder)}: {reason}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for the block; raises InputError where another process has it."""
    held = lock(folder)
    try:
        yield
    finally:
        held.close()


def _of_folder(folder: Path) -> FileLock | FolderLease:
    try:
        return FileLock(folder)
    except OSError as error:
        if error.errno not in LOCKS_NOTHING:
            raise
        return FolderLease(folder)


def _require_conditions(mount: Mount) -> None:
    """Raises InputError where a store cannot see to it that there is one driver, and the user does not."""
    if not mount.single_driver and not mount.objects.creates_once():
        reason = "its server takes a conditional put for any other, so two drivers could start at once"
        raise InputError(f"--storage: {mount.url}: {reason}; allowed: with --single-driver")
