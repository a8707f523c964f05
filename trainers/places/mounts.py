"""Folders that are this machine's copies of an object store; a path below one is also a place in its store.

A folder is published whole: its files as ``<folder>/<hash16>/<file>``, named by content, then
``.index.json``, which lists them. A reader finds the folder as it was published last, or as before, or not
at all. Files are brought one by one, when they are first needed, and checked. Below no mount nothing of this
happens: every machine sees the folder itself.
"""

import json
import logging
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trainers.errors import EnvironmentFault, InputError
from trainers.files import file_sha256, one_at_a_time, write_text
from trainers.places import cache
from trainers.places.cache import INDEX
from trainers.places.objects import Objects, open_objects
from trainers.seal import opened, sealed

ATTEMPTS = 5
"""To read a folder that is replaced meanwhile."""

log = logging.getLogger(__name__)

Index = Mapping[str, tuple[str, int]]
"""sha256 and bytes of each file of a folder."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine that is a copy of a store; the same path on every machine."""

    root: Path
    url: str
    limit: int = 0
    """Bytes that the copy may have; 0: any number."""
    single_driver: bool = field(default=False, compare=False)
    """Whether the user sees to it that each study has one driver at a time."""

    @cached_property
    def objects(self) -> Objects:
        """The store."""
        return open_objects(self.url)

    def key(self, path: Path) -> str:
        """Where a path is in the store."""
        return path.relative_to(self.root).as_posix()


_mounts: dict[Path, Mount] = {}


def add(mount: Mount) -> Mount:
    """From now on, in this process, a folder is a copy of a store; returns the mount that it has.

    Nobody else may enter it. Raises EnvironmentFault where this machine cannot have it.
    """
    if mount.root not in _mounts:
        try:
            mount.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            reason = "" if mount.root.stat().st_uid == os.getuid() else "it belongs to another user"
        except OSError as error:
            reason = str(error.strerror)
        if reason:
            raise EnvironmentFault(f"{mount.root}: cannot hold this machine's copy of {mount.url} ({reason})")
    return _mounts.setdefault(mount.root, mount)


def of(path: Path) -> Mount | None:
    """The mount that a path is below."""
    if not _mounts:
        return None
    return next((_mounts[parent] for parent in (path, *path.parents) if parent in _mounts), None)


def shown(path: Path) -> str:
    """A path for people: as a URL where it is below a mount."""
    return str(path) if (mount := of(path)) is None else f"{mount.url}/{mount.key(path)}"


def described() -> list[list[Any]]:
    """The mounts of this process for another one, on any machine."""
    return [[str(mount.root), mount.url, mount.limit] for mount in _mounts.values()]


def restore(mounts: Iterable[Sequence[Any]]) -> None:
    """Have the mounts of another process."""
    for root, url, limit in mounts:
        add(Mount(Path(root), url, limit))


def publish(folder: Path) -> None:
    """Let other machines see a complete folder; raises EnvironmentFault where the store does not take it."""
    if (mount := of(folder)) is None or (folder / INDEX).exists():
        return
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {p.relative_to(folder).as_posix(): (file_sha256(p), p.stat().st_size) for p in paths}
    key, objects = mount.key(folder), mount.objects
    there = {stored.key: stored.size for stored in objects.listed(key)}
    before: Index = {}
    if f"{key}/{INDEX}" in there:
        with suppress(InputError):  # a damaged one is replaced
            before = _read_index(mount, folder) or {}
    for name, (sha256, size) in sums.items():
        if there.get(place := _place(key, name, sha256)) != size:
            objects.put(place, folder / name)
    objects.put(f"{key}/{INDEX}", _text(sums).encode())
    write_text(folder / INDEX, _text(sums))
    kept = {_place(key, name, sha256) for name, (sha256, _) in sums.items()}
    for name, (sha256, _) in before.items():
        if (place := _place(key, name, sha256)) not in kept:
            objects.delete(place)


def bring(folder: Path, *names: str) -> None:
    """Have files of a published folder here, by default all; nothing where it is not published.

    Raises EnvironmentFault where the store does not answer, InputError where what it gives is damaged.
    """
    if (mount := of(folder)) is None or _is_own(folder):
        return
    index = _local_index(folder)
    if index is not None and not _missing(folder, index, names):
        with suppress(OSError):
            os.utime(folder / INDEX)  # by which the cache knows what was used last
        return
    lock = mount.root / ".locks" / mount.key(folder).replace("/", "~")
    with one_at_a_time(lock, lambda: log.info("waiting for another process that brings %s", folder)):
        for _ in range(ATTEMPTS):
            index = _opened(mount, folder)
            if index is None:
                return
            missing = _missing(folder, index, names)
            cache.make_room(mount.root, sum(index[name][1] for name in missing), mount.limit)
            if all(_download(mount, folder, name, *index[name]) for name in missing):
                return
            cache.discard(folder)  # it was published anew since
    raise EnvironmentFault(f"{mount.url}: {mount.key(folder)} changes while it is read")


def drop(folder: Path) -> bool:
    """Remove this machine's copy of a published folder; returns whether there was one."""
    index = folder / INDEX
    if of(folder) is None or not index.exists():
        return False
    cache.discard(folder)
    return True


def below(folder: Path, start: str) -> dict[Path, float | None]:
    """The folders directly below one whose names start so, by name, with their times as :func:`published`.

    None for those that are here alone.
    """
    there = {name: time for name, time in published(folder).items() if name.startswith(start)}
    here = {path.name for path in folder.glob(f"{start}*") if path.is_dir()}
    return {folder / name: there.get(name) for name in sorted(here | there.keys())}


def published(folder: Path) -> dict[str, float]:
    """The folders directly below one that its store has, with the time of each; none below no mount."""
    if (mount := of(folder)) is None:
        return {}
    key = mount.key(folder)
    found = {}
    for stored in mount.objects.listed(key):
        name, _, rest = stored.key.removeprefix(f"{key}/").partition("/")
        if rest == INDEX:
            found[name] = stored.modified
    return found


def remove(folder: Path) -> None:
    """Remove a published folder from its store, its index first."""
    if (mount := of(folder)) is None:
        return
    key = mount.key(folder)
    mount.objects.delete(f"{key}/{INDEX}")
    for stored in list(mount.objects.listed(key)):
        mount.objects.delete(stored.key)


def _is_own(folder: Path) -> bool:
    """Whether a folder was made here and is not published."""
    return folder.exists() and not (folder / INDEX).exists()


def _missing(folder: Path, index: Index, names: Sequence[str]) -> list[str]:
    return [name for name in names or index if name in index and not (folder / name).exists()]


def _opened(mount: Mount, folder: Path) -> Index | None:
    """The index of a folder here, which is made where it is only in the store; None: it is nowhere."""
    if (index := _local_index(folder)) is not None:
        return index
    if (index := _read_index(mount, folder)) is not None:
        work = _incoming(mount)
        work.mkdir()
        write_text(work / INDEX, _text(index))
        folder.parent.mkdir(parents=True, exist_ok=True)
        cache.discard(folder)  # its index was damaged
        work.rename(folder)
    return index


def _local_index(folder: Path) -> Index | None:
    try:
        return _parsed((folder / INDEX).read_bytes(), str(folder))
    except (FileNotFoundError, InputError):
        return None


def _read_index(mount: Mount, folder: Path) -> Index | None:
    content = mount.objects.get(f"{mount.key(folder)}/{INDEX}")
    return None if content is None else _parsed(content, shown(folder))


def _parsed(content: bytes, where: str) -> Index:
    listed = opened(content, f"{where}/{INDEX}")["files"]
    files = {name: (str(sha256), int(size)) for name, (sha256, size) in listed.items()}
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise InputError(f"{where}/{INDEX}: names a file outside its folder")
    return files


def _text(index: Index) -> str:
    return json.dumps(sealed({"files": index}))


def _place(key: str, name: str, sha256: str) -> str:
    return f"{key}/{sha256[:16]}/{name}"


def _incoming(mount: Mount) -> Path:
    """A name for what is not complete yet."""
    folder = mount.root / ".incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / secrets.token_hex(8)


def _download(mount: Mount, folder: Path, name: str, sha256: str, size: int) -> bool:
    """Bring a file; False where the store no longer has it."""
    work, place = _incoming(mount), _place(mount.key(folder), name, sha256)
    try:
        for _ in range(ATTEMPTS):
            if not mount.objects.download(place, work, size):
                return False
            if file_sha256(work) == sha256:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                work.replace(folder / name)
                return True
            work.unlink()
    finally:
        work.unlink(missing_ok=True)
    raise InputError(f"{mount.url}/{place}: is damaged (its sha256 differs)")
