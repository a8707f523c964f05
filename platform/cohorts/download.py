"""Files from public archives: resumed, retried, and given their name only when their sum is right."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from platform.cohorts.http_client import (
    Passing,
    Patience,
    Stopped,
    WebError,
    answer,
    body,
    persist,
    require_web,
    shown,
)
from platform.reporting.console import download_bar
from threading import Event

import requests
from rich.console import Console
from rich.progress import Progress

from trainers.errors import InputError

ALGORITHMS = ("md5", "sha256", "sha512")


@dataclass(frozen=True)
class Remote:
    """A file elsewhere and what it must be; raises InputError for what is no plain file of the web."""

    url: str
    name: str
    algorithm: str
    checksum: str
    size: int | None = None

    def __post_init__(self) -> None:
        require_web(self.url)
        if not re.fullmatch(r"(?!\.)[^/\\]+", self.name) or not self.name.isprintable():
            raise InputError(f"{shown(self.url)}: file name {self.name!r}; allowed: a plain file name")
        if self.algorithm not in ALGORITHMS:
            allowed = ", ".join(ALGORITHMS)
            raise InputError(f"{shown(self.url)}: checksum {self.algorithm!r}; allowed: {allowed}")


def download(
    remotes: Sequence[Remote], folder: Path, console: Console, patience: Patience | None = None
) -> list[Path]:
    """Paths of all files in ``folder``, those that were there already (by their sum) not fetched.

    What arrived of an interrupted download stays as ``NAME.part`` and is resumed. Raises InputError for a
    server that fails for good, a sum that stays wrong, a full disk, a file of that name with another sum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with console.status("checking the archives that are there"):
        missing = [remote for remote in remotes if not is_there(remote, folder)]
    transfers = [Transfer(remote, folder, patience or Patience()) for remote in missing]
    require_space(folder, sum(transfer.expected() for transfer in transfers))
    if transfers:
        with download_bar(console) as bar:
            _in_threads(transfers, bar)
    return [folder / remote.name for remote in remotes]


def is_there(remote: Remote, folder: Path) -> bool:
    """Whether the file is in ``folder``; raises InputError where it is, but with another sum."""
    path = folder / remote.name
    if not path.exists():
        return False
    found = digest(path, remote.algorithm)
    if found != remote.checksum:
        what = f"{remote.algorithm} {found}, expected {remote.checksum}"
        raise InputError(f"{path}: {what}; delete it, and it is fetched from {shown(remote.url)}")
    return True


class Transfer:
    """One file on its way: ``NAME.part``, and beside it the server's tag of what it is a part of."""

    def __init__(self, remote: Remote, folder: Path, patience: Patience) -> None:
        self.remote, self.patience = remote, patience
        self.path = folder / remote.name
        self.part = folder / f"{remote.name}.part"
        self.tag = folder / f"{remote.name}.part.etag"
        self.stop = Event()
        self.show: Callable[[int], None] = lambda size: None

    def run(self) -> Path:
        """Fetch, verify, name; a wrong sum is tried once more from scratch."""
        remote = self.remote
        for last in (False, True):
            if not self._whole():
                persist(remote.url, self.patience, self._attempt, self.stop, self._size)
            found = digest(self.part, remote.algorithm)
            if found == remote.checksum:
                os.replace(self.part, self.path)
                self.tag.unlink(missing_ok=True)
                return self.path
            self._discard()
            if last:
                break
        what = f"{remote.algorithm} {found}, expected {remote.checksum}"
        raise WebError(f"{shown(remote.url)}: {what}, twice; tell its publisher, or try again later")

    def expected(self) -> int:
        """Bytes still to come, 0 where that is unknown."""
        return max((self.remote.size or 0) - self._size(), 0)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _whole(self) -> bool:
        return self.remote.size is not None and self._size() >= self.remote.size

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)

    def _attempt(self) -> None:
        """One request for what is missing; raises Passing where it does not bring all of it."""
        start = self._size()
        with answer(self.remote.url, self._range(start), self.patience) as response:
            if response.status_code == 416 and self.remote.size is None:
                return  # nothing lies beyond what is here: the sum decides
            if response.status_code == 416 or not _continues(response, start):
                self._discard()
                raise Passing("answered another range than asked for")
            self._take(response)
        if self.remote.size is not None and not self._whole():
            raise Passing(f"ended after {self._size()} of {self.remote.size} bytes")

    def _range(self, start: int) -> dict[str, str]:
        if not start:
            return {}
        tag = {"If-Range": self.tag.read_text()} if self.tag.exists() else {}
        return {"Range": f"bytes={start}-"} | tag

    def _take(self, response: requests.Response) -> None:
        """Append a 206's body; a 200's, of a server that ignores ranges or has a new file, replaces."""
        added = response.status_code == 206
        start = self._size() if added else 0
        limit = None if self.remote.size is None else self.remote.size - start
        self._require_length(response.headers.get("Content-Length", ""), limit, self._size() - start)
        # Strong tags only: a weak one may not be sent in If-Range (RFC 9110, 13.1.5).
        tag = response.headers.get("ETag", "")
        with writing(self.part):
            if not added:
                self.tag.unlink(missing_ok=True)
            with self.part.open("ab" if added else "wb") as file:
                if tag.startswith('"') and not added:
                    self.tag.write_text(tag)
                for chunk in body(response, limit):
                    file.write(chunk)
                    self.show(file.tell())
                    if self.stop.is_set():
                        raise Stopped

    def _require_length(self, announced: str, expected: int | None, freed: int) -> None:
        """Before the part is touched: an error page of status 200 must not take its place."""
        if announced.isdigit():
            if expected is not None and int(announced) != expected:
                raise Passing(f"offers {announced} bytes, expected {expected}")
            require_space(self.part.parent, int(announced) - freed)


def digest(path: Path, algorithm: str) -> str:
    """The file's sum in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Raises InputError where ``folder``'s disk has less than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(f"{folder}: {needed} bytes are needed, {free} are free; make room there")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failed write (a full disk) into an InputError that names the file and its bytes."""
    try:
        yield
    except OSError as error:
        size = path.stat().st_size if path.exists() else 0
        raise InputError(f"{path}: cannot be written after {size} bytes ({error.strerror})") from error


def _continues(response: requests.Response, start: int) -> bool:
    """Whether the body is the whole file or begins where the part ends."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 200 or (found is not None and int(found[1]) == start)


def _in_threads(transfers: Sequence[Transfer], bar: Progress) -> None:
    """Run all; the first failure or Ctrl-C stops the others, whose parts stay."""
    stop = Event()
    pool = ThreadPoolExecutor(transfers[0].patience.threads)
    for transfer in transfers:
        task = bar.add_task(transfer.remote.name, total=transfer.remote.size)
        transfer.stop = stop
        transfer.show = lambda size, task=task: bar.update(task, completed=size)  # type: ignore[misc]
    running = [pool.submit(transfer.run) for transfer in transfers]
    try:
        for done in as_completed(running):
            done.result()
    except Exception:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        # After Ctrl-C nobody waits for a stalled server.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
