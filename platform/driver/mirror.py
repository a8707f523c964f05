"""What a driver writes in a folder, kept in the store that the folder is a copy of.

<folder>/<file>                     as it is here
<folder>/<name>.jsonl/<n>-<hash16>  a file that only grows, in blocks, the last one short
<folder>/.mirror/<number>.json      what belongs together, by the number of its driver's lease

The list of the highest number counts: what a driver writes after another has taken over is never read.
Folders that are published by themselves, and trials, are no part of it.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainers.errors import EnvironmentFault
from trainers.files import file_sha256, unused, write_bytes, write_text
from trainers.places import mounts
from trainers.places.cache import INDEX
from trainers.places.mounts import Mount
from trainers.seal import opened, sealed
from trainers.weights import MANIFEST

BLOCK = 2**18
"""Bytes of a block of a log."""
EVERY = 2.0
"""Seconds between two looks for files that have changed."""
LISTS, OWN, LOG = ".mirror", ".mirror.json", ".jsonl"
APART = ("trials", "tune", "visits")
"""Folders that are no part of a mirror: what is kept of them is published."""
LOCAL = ("lock", "lease-")
"""How names start that mean something on this machine alone."""

log = logging.getLogger(__name__)

Block = tuple[str, int]
"""Hex sha256 and bytes."""


@dataclass
class Contents:
    """What a mirror has: of each file its sha256, of each log its blocks."""

    files: dict[str, str] = field(default_factory=dict)
    logs: dict[str, list[Block]] = field(default_factory=dict)

    @classmethod
    def read(cls, content: bytes, where: str) -> "Contents":
        """A list as it was written; raises InputError where it is damaged."""
        values = opened(content, where)
        logs = {name: [(sha256, size) for sha256, size in log] for name, log in values["logs"].items()}
        return cls(values["files"], logs)

    def text(self) -> str:
        """As a list is written."""
        return json.dumps(sealed({"files": self.files, "logs": self.logs}))


class Mirror:
    """The mirror of one driver's folder, kept up to date by a thread from :meth:`start` on."""

    def __init__(self, mount: Mount, folder: Path, number: int, require: Callable[[], None]) -> None:
        """``number``: higher than those of all before; ``require`` raises where there is a later driver."""
        self._require, self._listed = require, True
        self._objects, self._folder, self._key = mount.objects, folder, mount.key(folder)
        self._number, self._contents = number, Contents()
        self._seen: dict[str, tuple[int, ...]] = {}
        self._replaced: list[str] = []
        """Objects that no list needs once the next is written."""
        self._lock, self._ended, self._due = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)

    def start(self) -> None:
        """Bring what earlier drivers have left, say whose the folder is now, and follow what changes."""
        earlier, self._contents = pull(self._folder)
        self._write_list()
        write_text(self._folder / OWN, json.dumps({"number": self._number}))
        if earlier:
            self._objects.delete(_list(self._key, earlier))
        self.push()
        self._thread.start()

    def hurry(self) -> None:
        """Store what has changed soon, and do not wait for it."""
        self._due.set()

    def push(self) -> None:
        """Store everything as it is now; raises EnvironmentFault where the store does not take it."""
        with self._lock:
            self._require()
            for path in _files(self._folder):
                name, state = path.relative_to(self._folder).as_posix(), _state(path)
                before = self._seen.get(name, ())
                if not state or before == state:
                    continue
                grown = before[:1] == state[:1]
                if self._push_log(name, grown) if path.suffix == LOG else self._push_file(name):
                    self._listed = False
                self._seen[name] = state
            if not self._listed:
                self._write_list()

    def close(self) -> None:
        """Store the last changes and stop; where that fails, this machine's next driver does it."""
        self._ended.set()
        self.hurry()
        self._thread.join()
        try:
            self.push()
        except EnvironmentFault as fault:
            log.warning("%s has changes that its store does not have yet: %s", self._folder, fault)

    def _follow(self) -> None:
        warned = False
        while not self._ended.is_set():
            self._due.wait(EVERY)
            self._due.clear()
            try:
                self.push()
                warned = False
            except (OSError, EnvironmentFault) as error:
                if not warned:
                    log.warning("%s is not mirrored at the moment: %s", self._folder, error)
                warned = True

    def _push_file(self, name: str) -> bool:
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return False
        sha256 = hashlib.sha256(content).hexdigest()
        if self._contents.files.get(name) == sha256:
            return False
        self._objects.put(f"{self._key}/{name}", content)
        self._contents.files[name] = sha256
        return True

    def _push_log(self, name: str, grown: bool) -> bool:
        """Store the blocks that are new; ``grown``: those that were full are as they were."""
        before = self._contents.logs.get(name, [])
        blocks = [block for block in before if block[1] == BLOCK] if grown else []
        with (self._folder / name).open("rb") as file:
            file.seek(len(blocks) * BLOCK)
            while content := file.read(BLOCK):
                block = hashlib.sha256(content).hexdigest(), len(content)
                if block not in before[len(blocks) : len(blocks) + 1]:
                    self._objects.put(_place(self._key, name, len(blocks), block), content)
                blocks.append(block)
        stale = set(enumerate(before)) - set(enumerate(blocks))
        self._replaced += [_place(self._key, name, number, block) for number, block in stale]
        self._contents.logs[name] = blocks
        return blocks != before

    def _write_list(self) -> None:
        self._objects.put(_list(self._key, self._number), self._contents.text().encode())
        self._listed = True
        while self._replaced:
            self._objects.delete(self._replaced[-1])
            self._replaced.pop()


def pull(folder: Path) -> tuple[int, Contents]:
    """Bring a mirrored folder as its last driver left it; returns that one's number, and what it has.

    On the machine of the last driver the folder itself is newer than its mirror: only what it lacks is
    brought. A log that goes on here, and not there, stays. 0 and nothing where it was never mirrored.
    """
    mount = mounts.of(folder)
    assert mount is not None
    key, objects = mount.key(folder), mount.objects
    lists = [name for name in objects.names(f"{key}/{LISTS}") if name.endswith(".json")]
    if not lists or (content := objects.get(f"{key}/{LISTS}/{lists[-1]}")) is None:
        return 0, Contents()
    number, contents = int(lists[-1].removesuffix(".json")), Contents.read(content, f"{objects.url}/{key}")
    own = _own_number(folder) == number
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in contents.files.items():
        path = folder / name
        if path.exists() and (own or file_sha256(path) == sha256):
            continue
        if (found := objects.get(f"{key}/{name}")) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, found, 0o600)
    for name, blocks in contents.logs.items():
        _pull_log(mount, folder / name, blocks, own)
    return number, contents


def pull_all(folder: Path) -> None:
    """:func:`pull` a folder, and those of its folders that have mirrors of their own."""
    mount = mounts.of(folder)
    assert mount is not None
    pull(folder)
    for name in mount.objects.names(mount.key(folder)):
        if name not in (*APART, LISTS):
            pull(folder / name)


def _pull_log(mount: Mount, path: Path, blocks: list[Block], own: bool) -> None:
    """Let a log here have what its mirror has, and what it has beyond it.

    Where they differ, that of this machine counts if it is its ``own`` last driver's; else it is set aside.
    """
    here, found = path.read_bytes() if path.exists() else b"", b""
    for number, (sha256, size) in enumerate(blocks):
        content: bytes | None = here[len(found) : len(found) + size]
        if hashlib.sha256(content or b"").hexdigest() != sha256:
            key = _place(mount.key(path.parent), path.name, number, (sha256, size))
            content = mount.objects.get(key)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            log.warning("%s: block %d is missing or damaged in its store", mounts.shown(path), number)
        found += content or b""
    if here.startswith(found) or (own and not found.startswith(here)):
        return
    if not found.startswith(here):
        aside = unused(path, f".{path.name}.aside-")
        write_bytes(aside, here, 0o600)
        log.warning("%s differs from what a driver elsewhere wrote since; it was kept as %s", path, aside)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, found, 0o600)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a mirror."""
    for root, folders, names in os.walk(folder):
        place = Path(root)
        folders[:] = [name for name in folders if not _is_apart(place / name)]
        for name in names:
            if not name.startswith((".", *LOCAL)) and not name.endswith((".lock", ".tmp")):
                yield place / name


def _is_apart(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in APART:
        return True
    return any((folder / name).exists() for name in (OWN, INDEX, MANIFEST))


def _list(key: str, number: int) -> str:
    return f"{key}/{LISTS}/{number:06d}.json"


def _place(key: str, name: str, number: int, block: Block) -> str:
    return f"{key}/{name}/{number:06d}-{block[0][:16]}"


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a file does, its inode first; empty where it is gone."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _own_number(folder: Path) -> int:
    """The number of this machine's last driver of a folder; 0 without one."""
    try:
        return int(json.loads((folder / OWN).read_text())["number"])
    except (OSError, ValueError, KeyError):
        return 0
