"""An object store: named contents, of which a reader finds the whole or nothing.

No more is taken for granted than every S3 server gives: an object that was put is read by all from then on.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from trainers.errors import EnvironmentFault, InputError

ALLOWED = "a folder, s3://bucket/prefix or file:///folder"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Refused(EnvironmentFault):
    """The store answers, and does not let this user in, or has no such bucket: waiting does not help."""


@dataclass(frozen=True)
class Stored:
    """An object as a listing has it."""

    key: str
    size: int
    modified: float
    """Seconds since 1970, by the store's clock."""


class Objects(Protocol):
    """A store of one prefix; keys are relative to it, with ``/`` between their parts.

    Every method raises EnvironmentFault where the store does not answer after several attempts, and
    :class:`Refused` where it lets nobody in.
    """

    url: str

    def put(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or a file, in place of what the key had."""

    def create(self, key: str, content: bytes) -> bool:
        """Store bytes where the key has nothing; returns whether it was so. See :meth:`creates_once`."""

    def creates_once(self) -> bool:
        """Whether of several :meth:`create` at a time only one succeeds: not every server sees to it."""

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None where there is none."""

    def download(self, key: str, path: Path, size: int) -> bool:
        """Write an object of ``size`` bytes to a new file; False where there is none."""

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All objects below ``prefix/``, by key."""

    def names(self, prefix: str) -> list[str]:
        """The next part of the keys below ``prefix/``, each once."""

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""

    def sweep(self, prefix: str, seconds: float) -> int:
        """Remove uploads below a prefix that were begun so long ago and not finished; returns how many."""


def gives_back(objects: Objects, size: int) -> bool:
    """Whether a store gives back so many bytes as they were written; nothing is left in it."""
    key, content = f".probe-{secrets.token_hex(8)}", secrets.token_bytes(size)
    objects.put(key, content)
    found = objects.get(key)
    objects.delete(key)
    return found == content


def is_url(text: str) -> bool:
    """Whether a storage is named by a URL, and not by a folder."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text) is not None


def address(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and prefix of an object store; raises InputError for another URL."""
    parts = urlsplit(url)
    prefix = unquote(parts.path).strip("/")
    if parts.query or parts.fragment or ".." in prefix.split("/"):
        raise InputError(f"--storage: {url!r} is not allowed; allowed: {ALLOWED}")
    if parts.scheme == "s3" and BUCKET.fullmatch(parts.netloc):
        return "s3", parts.netloc, prefix
    if parts.scheme == "file" and not parts.netloc and prefix:
        return "file", "", prefix
    raise InputError(f"--storage: {url!r} is not allowed; allowed: {ALLOWED}")


def open_objects(url: str) -> Objects:
    """The store at a URL; nothing is connected yet. Raises InputError for a wrong one."""
    scheme, bucket, prefix = address(url)
    if scheme == "file":
        from trainers.places.local_objects import LocalObjects

        return LocalObjects(url, Path("/", prefix))
    from trainers.places.s3_objects import S3Objects  # late: boto3 takes a third of a second

    return S3Objects(url, bucket, prefix)
