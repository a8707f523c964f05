"""Downloads from public archives: resumed, retried, and named only once their checksum is right."""

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
    RetryPolicy,
    Stopped,
    TransientError,
    WebError,
    chunks,
    get,
    require_web,
    retry,
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
class RemoteFile:
    """A file on the web and its checksum; raises InputError for another kind of name or address."""

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
    remotes: Sequence[RemoteFile], folder: Path, console: Console, policy: RetryPolicy | None = None
) -> list[Path]:
    """Paths of all files in ``folder``; those that exist with the right checksum are not fetched again.

    Bytes of an interrupted download stay in ``NAME.part``, and it is resumed. Raises InputError for a server
    that fails in every try, a wrong checksum, a full disk, an existing file with another checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with console.status("checking the existing archives"):
        missing = [remote for remote in remotes if not exists(remote, folder)]
    transfers = [Transfer(remote, folder, policy or RetryPolicy()) for remote in missing]
    require_space(folder, sum(transfer.expected() for transfer in transfers))
    if transfers:
        with download_bar(console) as bar:
            _in_threads(transfers, bar)
    return [folder / remote.name for remote in remotes]


def exists(remote: RemoteFile, folder: Path) -> bool:
    """Whether the file is in ``folder``; raises InputError for one with another checksum."""
    path = folder / remote.name
    if not path.exists():
        return False
    checksum = digest(path, remote.algorithm)
    if checksum != remote.checksum:
        differs = f"{remote.algorithm} {checksum}, expected {remote.checksum}"
        raise InputError(f"{path}: {differs}; delete it, and it is fetched from {shown(remote.url)}")
    return True


class Transfer:
    """One download: ``NAME.part``, and beside it the ETag of the file that it is a part of."""

    def __init__(self, remote: RemoteFile, folder: Path, policy: RetryPolicy) -> None:
        self.remote, self.policy = remote, policy
        self.path = folder / remote.name
        self.part = folder / f"{remote.name}.part"
        self.tag = folder / f"{remote.name}.part.etag"
        self.stop = Event()
        self.show: Callable[[int], None] = lambda size: None

    def run(self) -> Path:
        """Fetch, verify, name; after a wrong checksum once more from the start."""
        remote = self.remote
        for last in (False, True):
            if not self._complete():
                retry(remote.url, self.policy, self._attempt, self.stop, self._size)
            checksum = digest(self.part, remote.algorithm)
            if checksum == remote.checksum:
                os.replace(self.part, self.path)
                self.tag.unlink(missing_ok=True)
                return self.path
            self._discard()
            if last:
                break
        differs = f"{remote.algorithm} {checksum}, expected {remote.checksum}"
        raise WebError(f"{shown(remote.url)}: {differs}, twice; inform its publisher, or try again later")

    def expected(self) -> int:
        """Missing bytes, 0 where that is unknown."""
        return max((self.remote.size or 0) - self._size(), 0)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _complete(self) -> bool:
        return self.remote.size is not None and self._size() >= self.remote.size

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)

    def _attempt(self) -> None:
        """One request for the missing bytes; raises TransientError unless all of them arrive."""
        start = self._size()
        with get(self.remote.url, self._range(start), self.policy) as response:
            if response.status_code == 416 and self.remote.size is None:
                return  # the part may be complete: the checksum decides
            if response.status_code == 416 or not _continues(response, start):
                self._discard()
                raise TransientError("sent another range than requested")
            self._write(response)
        if self.remote.size is not None and not self._complete():
            raise TransientError(f"ended after {self._size()} of {self.remote.size} bytes")

    def _range(self, start: int) -> dict[str, str]:
        if not start:
            return {}
        tag = {"If-Range": self.tag.read_text()} if self.tag.exists() else {}
        return {"Range": f"bytes={start}-"} | tag

    def _write(self, response: requests.Response) -> None:
        """Append a 206's body; a 200's replaces the part: the server ignores ranges or has a new file."""
        appends = response.status_code == 206
        start = self._size() if appends else 0
        limit = None if self.remote.size is None else self.remote.size - start
        self._require_length(response.headers.get("Content-Length", ""), limit, self._size() - start)
        # Strong tags only: a weak one may not be sent in If-Range (RFC 9110, 13.1.5).
        tag = response.headers.get("ETag", "")
        with writing(self.part):
            if not appends:
                self.tag.unlink(missing_ok=True)
            with self.part.open("ab" if appends else "wb") as file:
                if tag.startswith('"') and not appends:
                    self.tag.write_text(tag)
                for chunk in chunks(response, limit):
                    file.write(chunk)
                    self.show(file.tell())
                    if self.stop.is_set():
                        raise Stopped

    def _require_length(self, announced: str, expected: int | None, freed: int) -> None:
        """Check it before the part is changed: an error page of status 200 must not replace it."""
        if announced.isdigit():
            if expected is not None and int(announced) != expected:
                raise TransientError(f"offers {announced} bytes, expected {expected}")
            require_space(self.part.parent, int(announced) - freed)


def digest(path: Path, algorithm: str) -> str:
    """The file's checksum in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Raises InputError where ``folder``'s disk has less than ``needed`` bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(f"{folder}: {needed} bytes are needed, {free} are free; make room there")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write (a full disk) into an InputError that names the file and its bytes."""
    try:
        yield
    except OSError as error:
        size = path.stat().st_size if path.exists() else 0
        raise InputError(f"{path}: cannot be written after {size} bytes ({error.strerror})") from error


def _continues(response: requests.Response, start: int) -> bool:
    """Whether the body is the whole file or starts where the part ends."""
    first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 200 or (first is not None and int(first[1]) == start)


def _in_threads(transfers: Sequence[Transfer], bar: Progress) -> None:
    """Run all; the first failure or Ctrl-C stops the others and keeps their parts."""
    stop = Event()
    pool = ThreadPoolExecutor(transfers[0].policy.threads)
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
        # After Ctrl-C a stalled server is not waited for.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
