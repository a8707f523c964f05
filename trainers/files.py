"""Files of several processes: written atomically, told apart by content, made by one process at a time."""

import hashlib
import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a file completely or not at all, even if the process is killed; of several writers the last.

    ``mode``: its permissions before the process's umask.
    """
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """As :func:`write_text`."""
    fresh = path.with_name(f".{secrets.token_hex(8)}.new")  # not tempfile, whose files others may not read
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def unused(path: Path, start: str, end: str = "") -> Path:
    """The first name beside a file, numbered from 1 between ``start`` and ``end``, that nothing has."""
    names = (path.with_name(f"{start}{number}{end}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def one_at_a_time(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lock a file, made where it is missing, for the block; a process that is killed unlocks it.

    ``waiting`` is called once if another process has the lock, which is then waited for. What the block makes
    may exist by then: look again inside it. Across machines where their file system locks files, as NFS does.
    """
    from filelock import FileLock, Timeout  # late: it takes as long to import as all that most commands need

    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        waiting()
        held.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        held.release()
