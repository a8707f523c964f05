"""A visit: one person scanned in one session at one field strength."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts.scans.choice import Left


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


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, sorted; links to folders are followed, once each, hidden folders are not."""
    files, visited = [], set()
    for current, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(current)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(current, name) for name in names]
    return sorted(files)
