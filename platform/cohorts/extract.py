"""Unpacking public archives: all members are checked before a byte is written, then written one by one."""

import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from platform.cohorts.archive_reader import ArchiveError, Chunks, Limits, Member, entries, naming, short
from platform.cohorts.download import require_space, writing

from trainers.errors import InputError

Wanted = Callable[[str], bool]
DEPTH = 12
LONGEST = 512
"""Most parts, and most bytes, of a member's name."""


def unpack(
    archives: Sequence[Path],
    folder: Path,
    wanted: Wanted = lambda name: True,
    limits: Limits | None = None,
) -> None:
    """Unpack files of all ``archives`` (tar, tar.gz, zip) whose names are ``wanted`` into a new ``folder``.

    They are written to a temporary sibling, which is renamed at the end. Raises InputError, one line, for an
    archive with any member that is no plain file or folder below ``folder``, or beyond ``limits``.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists; allowed: a new folder to unpack into")
    limits = limits or Limits()
    # Two passes: nothing is written of an archive whose last member is malicious.
    sizes = [member.size for _, member, _ in _checked(archives, wanted, limits)]
    if not sizes:
        names = ", ".join(str(path) for path in archives)
        raise InputError(f"{names}: has none of the required files; not unpacked")
    require_space(folder.parent, sum(sizes))
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, _, chunks in _checked(archives, wanted, limits):
            _write(temporary / name, chunks)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _checked(
    archives: Sequence[Path], wanted: Wanted, limits: Limits
) -> Iterator[tuple[str, Member, Chunks]]:
    """The wanted files under their clean names; all members before them have been checked."""
    checker = MemberChecker(limits)
    for archive in archives:
        for member, chunks in entries(archive, limits):
            with naming(archive):
                name = checker.clean_name(member)
            if not member.folder and wanted(name):
                yield name, member, chunks


def _write(path: Path, chunks: Chunks) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    with file:
        for chunk in chunks():
            with writing(path):
                file.write(chunk)


class MemberChecker:
    """Checks members of all archives that go into one folder."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.members = self.bytes = 0
        self._names: dict[str, tuple[str, bool]] = {}

    def clean_name(self, member: Member) -> str:
        """The member's relative name; raises ArchiveError for one that must not be unpacked."""
        self._count(member)
        if fault := name_fault(member.name):
            raise ArchiveError(f"member {short(member.name)} {fault}")
        parts = _parts(member.name)
        for depth in range(1, len(parts)):
            self._claim("/".join(parts[:depth]), folder=True)
        if parts:
            self._claim("/".join(parts), folder=member.folder)
        elif not member.folder:
            raise ArchiveError(f"member {short(member.name)} has no name")
        return "/".join(parts)

    def _count(self, member: Member) -> None:
        self.members += 1
        self.bytes += member.size
        if self.members > self.limits.members:
            raise ArchiveError(f"holds more than {self.limits.members} members")
        if member.size > self.limits.member_bytes:
            size = f"holds {member.size} bytes; allowed: {self.limits.member_bytes}"
            raise ArchiveError(f"member {short(member.name)} {size}")
        if self.bytes > self.limits.total_bytes:
            raise ArchiveError(f"holds {self.bytes} bytes or more; allowed: {self.limits.total_bytes}")

    def _claim(self, name: str, *, folder: bool) -> None:
        """Names must differ on file systems too that ignore case and the form of accents."""
        key = unicodedata.normalize("NFKC", name).casefold()
        earlier = self._names.get(key)
        if earlier is not None and (earlier != (name, folder) or not folder):
            raise ArchiveError(f"member {short(name)} collides with {short(earlier[0])}")
        self._names[key] = (name, folder)


def name_fault(name: str) -> str:
    """Why a member's name is not allowed; empty: it is."""
    parts = name.split("/")
    faults = {
        "has an absolute name": name.startswith("/"),
        "leads out of the folder": ".." in parts,
        "has control characters or a backslash in its name": not name.isprintable() or "\\" in name,
        "has a drive letter in its name": any(part[1:2] == ":" for part in parts),
        "has too long a name": len(name.encode()) > LONGEST or len(parts) > DEPTH,
        "has too long a part in its name": any(len(part.encode()) > 255 for part in parts),
    }
    return next((fault for fault, present in faults.items() if present), "")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]
