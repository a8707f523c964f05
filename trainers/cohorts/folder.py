"""A user's own scans: a BIDS tree, or a CSV table of (subject, domain, contrast, path, split).

What is taken of a BIDS tree is in :mod:`trainers.cohorts.scans.bids`.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from trainers.cohorts.base import CohortSource, Mapper
from trainers.cohorts.scans import bids, participants, pipeline, tables
from trainers.cohorts.scans.field_strength import Sidecars, data_set_of
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit, identity
from trainers.cohorts.scans.wording import short, some
from trainers.data.store import SPLITS
from trainers.errors import InputError

REQUIRED = ("subject", "domain", "contrast", "path")
OPTIONAL = ("split", "session")
KINDS = ("T1", "T2", "mask")
"""Kinds of files; in the table, the column ``contrast``."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a volunteer or a session; also used as a folder's name."""
LONGEST, LONGEST_PATH = 255, 4095
"""Bytes of a file's name and of a path, as Linux has it."""
NO_FILTERS = Filters.of()


@dataclass(frozen=True, kw_only=True)
class FolderConfig(pipeline.ScansConfig):
    """Settings of a cohort of the user's own scans: ``root`` is a BIDS folder or a CSV table."""

    filter: str = ""
    """Which scans of a BIDS folder are wanted, as ``acq=AXI,run=2`` (:class:`Filters`)."""
    filters: str = ""
    """Path of a JSON file that says so for each contrast."""

    EARLIER: ClassVar[dict[str, Any]] = {"filter": "", "filters": ""}


def prepare(config: FolderConfig, root: Path, mapper: Mapper = map) -> Path:
    """Build the cohort under the storage ``root``, or find it there; returns its folder."""
    place = located(config.root)
    selection = select(place, "", Filters.of(config.filter, config.filters))
    if place.is_dir():
        selection = with_splits(selection, place)
    return pipeline.prepare("folder", config, selection, root, mapper)


def located(root: str) -> Path:
    """The path of scans, links resolved; raises InputError for text that is none."""
    try:
        return Path(os.path.realpath(root))
    except ValueError:
        raise InputError(f"root: {short(root)} is no path; allowed: a BIDS folder or a table") from None


def with_splits(selection: Selection, root: Path) -> Selection:
    """The visits of a BIDS folder with the splits of its ``participants.tsv``."""
    splits, notes = participants.splits(root / participants.FILE, {v.subject for v in selection.visits})
    visits = [replace(visit, split=splits.get(visit.subject, "")) for visit in selection.visits]
    return replace(selection, visits=visits, notes=[*selection.notes, *notes])


def select(path: Path, default_domain: str = "", filters: Filters = NO_FILTERS) -> Selection:
    """The visits of a BIDS folder or a table; raises InputError where there is none or a table is wrong.

    ``default_domain`` is that of scans in a folder whose name and sidecar give none. Filters are of folders.
    """
    if os.path.isdir(path):
        return bids.visits(path, default_domain, filters)
    if path.suffix.lower() == ".csv" and os.path.isfile(path):
        if filters != NO_FILTERS:
            raise InputError(f"filter: {path} is a table, which names its scans; allowed: with a BIDS folder")
        return Selection(_of_table(path))
    raise InputError(f"root: {path} is neither a folder nor a .csv file; allowed: a BIDS folder or a table")


@dataclass(frozen=True)
class _File:
    subject: str
    session: str
    domain: str
    kind: str
    path: Path
    split: str
    line: int


def _of_table(path: Path) -> list[Visit]:
    table = tables.read(path)
    columns = list(table.columns)
    wrong = [c for c in REQUIRED if c not in columns] + [c for c in columns if c not in REQUIRED + OPTIONAL]
    if wrong:
        allowed = f"{', '.join(REQUIRED)} and perhaps {', '.join(OPTIONAL)}"
        raise InputError(f"{path}: columns {some(columns) or 'none'}: {short(wrong[0])}; allowed: {allowed}")
    if not table.rows:
        raise InputError(f"{path}: has no row below its header; allowed: a row for each file")
    files = [_row(path, line, row) for line, row in table.rows]
    _require_one_use(path, files)
    sidecars: dict[Path, Sidecars] = {}
    return [_checked(visit, sidecars) for visit in _grouped(files, path)]


def _require_one_use(source: Path, files: Sequence[_File]) -> None:
    """Raises InputError for a scan that is there twice, by any of its names; a mask may be of two scans."""
    users: dict[object, _File] = {}
    for file in sorted(files, key=lambda each: each.kind == "mask"):
        first = users.setdefault(identity(file.path), file)
        if first is not file and (first.kind != "mask" or file.kind != "mask"):
            twice = f"path: {file.path} is that of line {first.line} too"
            raise InputError(f"{source}: line {file.line}: {twice}; allowed: each scan once")


def _checked(visit: Visit, sidecars: dict[Path, Sidecars]) -> Visit:
    """The visit, refused where a scan's sidecar or name has another field strength than the table.

    ``sidecars``: of the data sets that were met.
    """
    for path in visit.scans.values():
        try:
            data_set = data_set_of(path)
            said = sidecars.setdefault(data_set, Sidecars(data_set)).strength(path)
        except InputError as error:
            return replace(visit, problem=str(error))
        if said and said.domain != visit.domain:
            both = f"is {visit.domain} in the table and {said.tesla:g} T by {said.by}"
            return replace(visit, problem=f"{path}: {both}; allowed: one field strength")
    return visit


def _row(path: Path, line: int, cells: Mapping[str, str]) -> _File:
    allowed = {"domain": ("64mT", "3T"), "contrast": KINDS, "split": ("", *SPLITS)}
    for column, values in allowed.items():
        if (cell := cells.get(column, "")) not in values:
            choices = ", ".join(value or "empty" for value in values)
            raise InputError(
                f"{path}: line {line}: {column}: {short(cell)} is not allowed; allowed: {choices}"
            )
    if not cells["subject"] or not cells["path"]:
        raise InputError(f"{path}: line {line}: subject or path is empty; allowed: both in every row")
    file = _file(path, line, cells["path"])
    split, session = cells.get("split", ""), cells.get("session", "")
    for column, name in (("subject", cells["subject"]), ("session", session)):
        if name and not _NAME.fullmatch(name):
            message = f"{short(name)} is not allowed; allowed: letters, digits, . _ and -"
            raise InputError(f"{path}: line {line}: {column}: {message}")
    return _File(cells["subject"], session, cells["domain"], cells["contrast"], file, split, line)


def _file(table: Path, line: int, given: str) -> Path:
    """Raises InputError for a path that no file can have, or of Windows; a file may be missing."""
    path = table.parent / given
    if max(len(os.fsencode(part)) for part in path.parts) > LONGEST or len(os.fsencode(path)) > LONGEST_PATH:
        why = f"path: {short(given)} is too long for a file's"
        raise InputError(f"{table}: line {line}: {why}; allowed: that of a NIfTI file")
    if "\\" in given and not os.path.exists(path):
        raise InputError(f"{table}: line {line}: path: {short(given)} has backslashes; allowed: /")
    return path


def _grouped(files: Sequence[_File], source: Path) -> list[Visit]:
    """One visit a person, session and field; raises InputError for two files of one kind, or two splits."""
    visits: dict[tuple[str, str, str], Visit] = {}
    for file in files:
        key = (file.subject, file.session, file.domain)
        visit = visits.get(key, Visit(file.subject, file.session, file.domain, None, None))
        before = getattr(visit, file.kind.lower())
        if before is not None:
            raise InputError(f"{file.path}: {visit.id} has {before} for {file.kind} already; allowed: one")
        if file.split and visit.split and file.split != visit.split:
            message = f"{visit.id} is in {visit.split} and {file.split}"
            raise InputError(f"{file.path}: {message}; allowed: all scans of a volunteer in one split")
        changes: dict[str, Any] = {file.kind.lower(): file.path, "split": file.split or visit.split}
        visits[key] = replace(visit, **changes)
    found = [visit for visit in visits.values() if visit.scans]
    if not found:
        raise InputError(f"{source}: holds no scan; allowed: rows of T1 or T2")
    if twice := [name for name, n in Counter(visit.id for visit in found).items() if n > 1]:
        raise InputError(f"{source}: {twice[0]} is the name of two visits; allowed: names that differ")
    return found


SOURCE = CohortSource("folder", FolderConfig, prepare)
