"""A visit: one person scanned in one session at one field strength."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts.scans.eligibility import Left
from trainers.errors import InputError


@dataclass(frozen=True, order=True)
class Visit:
    """The scans of one visit."""

    subject: str
    """The volunteer, as ``sub-0011``: all visits of one are in one split."""
    session: str
    """As ``ses-01``; empty where the source has no sessions."""
    domain: str
    """``64mT`` or ``3T``."""
    t1: Path | None
    t2: Path | None
    mask: Path | None = None
    """A brain mask on the grid of T1 (of T2 where there is no T1)."""
    split: str = ""
    """``train``, ``val`` or ``test`` where the source decides it, else empty."""
    problem: str = ""
    """Why the visit is refused, before any scan is read."""
    views: tuple[tuple[str, Path], ...] = ()
    """Contrast and path of scans in other planes that agree with those above in all else."""

    @property
    def scans(self) -> dict[str, Path]:
        """The existing scans, by contrast."""
        found = {"T1": self.t1, "T2": self.t2}
        return {contrast: path for contrast, path in found.items() if path}

    @property
    def id(self) -> str:
        """As ``sub-0011_ses-01_64mT``."""
        return "_".join(part for part in (self.subject, self.session, self.domain) if part)


@dataclass(frozen=True)
class Selection:
    """The visits of a source, the files that are not used, and what else to say of them."""

    visits: Sequence[Visit]
    left: Sequence[Left] = ()
    notes: Sequence[str] = ()


def files_below(folder: Path, unread: Callable[[OSError], None] | None = None) -> list[Path]:
    """Every file below a folder, sorted; those and folders whose names start with a dot are not read.

    Links to folders are followed after all real ones, once each, and not to a folder that holds them.
    ``unread`` is called for a folder that cannot be read; without it InputError is raised.
    """
    files, visited, waiting = list[Path](), set[str](), deque([folder])
    while waiting:
        for current, folders, names in os.walk(waiting.popleft(), onerror=unread or _refuse):
            real = os.path.realpath(current)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            seen = [Path(current, name) for name in sorted(folders) if not name.startswith(".")]
            folders[:] = [each.name for each in seen if not each.is_symlink()]
            waiting += [each for each in seen if each.is_symlink() and not _holds(each, real)]
            files += [Path(current, name) for name in names if not name.startswith(".")]
    return sorted(files)


def identity(path: Path) -> tuple[int, int] | str:
    """The same for all names of one file."""
    try:
        found = path.stat()
        return found.st_dev, found.st_ino
    except OSError:
        return os.path.realpath(path)


def _holds(link: Path, folder: str) -> bool:
    return Path(folder).is_relative_to(os.path.realpath(link))


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # no folder holds no files
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); allowed: one that can be")
