"""A user's own scans: a BIDS tree, or a CSV table of (subject, domain, contrast, path, split).

In a BIDS tree a scan's field strength is in its name (``acq-64mT``, ``acq-3T``, ``ses-64mT``, ``ses-3T``) or
in its JSON sidecar (``MagneticFieldStrength``, tesla); its mask is ``*_desc-brain_mask.nii.gz`` in the same
folder or in ``derivatives``; its split is in the column ``split`` of ``participants.tsv``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainers.cohorts.base import CohortSource, Mapper
from trainers.cohorts.scans import pipeline, tables
from trainers.cohorts.scans.visits import Visit, files_below
from trainers.errors import InputError

REQUIRED = ("subject", "domain", "contrast", "path")
OPTIONAL = ("split", "session")
KINDS = ("T1", "T2", "mask")
"""Kinds of files; in the table, the column ``contrast``."""
LOW, HIGH = (0.01, 0.2), (2.5, 3.5)
"""Ranges of field strength (tesla) that count as 64 mT and as 3 T."""
_SCAN = re.compile(r"^(?P<entities>.+)_(?P<contrast>T[12])w\.nii(\.gz)?$")
_MASK = re.compile(r"_desc-brain_mask\.nii(\.gz)?$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a volunteer or a session; also used as a folder's name."""
_FIELD = re.compile(
    r"(?:^|_)(?:acq|ses)-\w*?(?<![0-9.])(?<![0-9]p)(?P<field>64mT|3T)(?![0-9A-Za-z])", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class FolderConfig(pipeline.ScansConfig):
    """Settings of a cohort of the user's own scans: ``root`` is a BIDS folder or a CSV table."""


def prepare(config: FolderConfig, root: Path, mapper: Mapper = map) -> Path:
    """Build the cohort under the storage ``root``, or find it there; returns its folder."""
    return pipeline.prepare("folder", config, visits(Path(config.root).resolve()), root, mapper)


def visits(path: Path, default_domain: str = "") -> list[Visit]:
    """Every visit of a BIDS folder or a table; raises InputError where there is none or one is ambiguous.

    ``default_domain`` is that of scans in a folder whose name and sidecar give none; with it, scans of other
    field strengths are skipped.
    """
    if path.is_dir():
        return _of_tree(path, default_domain)
    if path.suffix.lower() == ".csv" and path.is_file():
        return _of_table(path)
    raise InputError(f"root: {path} is neither a folder nor a .csv file; allowed: a BIDS folder or a table")


@dataclass(frozen=True)
class _File:
    subject: str
    session: str
    domain: str
    kind: str
    path: Path
    split: str


def _of_table(path: Path) -> list[Visit]:
    rows = tables.rows(path)
    columns = list(rows.fieldnames or [])
    wrong = [c for c in REQUIRED if c not in columns] + [c for c in columns if c not in REQUIRED + OPTIONAL]
    if wrong:
        allowed = f"{', '.join(REQUIRED)} and perhaps {', '.join(OPTIONAL)}"
        raise InputError(f"{path}: columns {', '.join(columns) or 'none'}: {wrong[0]!r}; allowed: {allowed}")
    return _grouped((_row(path, rows.line_num, row) for row in rows), path)


def _row(path: Path, line: int, row: Mapping[str, str | None]) -> _File:
    cells = {key: (value or "").strip() for key, value in row.items() if key}
    allowed = {"domain": ("64mT", "3T"), "contrast": KINDS, "split": ("", "train", "val", "test")}
    for column, values in allowed.items():
        if (cell := cells.get(column, "")) not in values:
            choices = ", ".join(value or "empty" for value in values)
            raise InputError(f"{path}: line {line}: {column}: {cell!r} is not allowed; allowed: {choices}")
    if not cells["subject"] or not cells["path"]:
        raise InputError(f"{path}: line {line}: subject or path is empty; allowed: both in every row")
    file = path.parent / cells["path"]
    split, session = cells.get("split", ""), cells.get("session", "")
    for column, name in (("subject", cells["subject"]), ("session", session)):
        if name and not _NAME.fullmatch(name):
            message = f"{name!r} is not allowed; allowed: letters, digits, . _ and -"
            raise InputError(f"{path}: line {line}: {column}: {message}")
    return _File(cells["subject"], session, cells["domain"], cells["contrast"], file, split)


def _of_tree(root: Path, default_domain: str) -> list[Visit]:
    splits = _participants(root / "participants.tsv")
    named = [path for path in files_below(root) if path.name.startswith("sub-")]
    masks = [path for path in named if _MASK.search(path.name)]
    return _grouped(_files(root, named, masks, splits, default_domain), root)


def _files(
    root: Path, named: list[Path], masks: list[Path], splits: Mapping[str, str], default_domain: str
) -> Iterator[_File]:
    for path in named:
        found = _SCAN.match(path.name)
        if not found or "derivatives" in path.relative_to(root).parts:
            continue
        entities = dict(part.split("-", 1) for part in found["entities"].split("_") if "-" in part)
        subject = f"sub-{entities['sub']}"
        session = f"ses-{entities['ses']}" if "ses" in entities else ""
        domain = _domain(path, default_domain)
        if not domain:
            continue
        yield _File(subject, session, domain, found["contrast"], path, splits.get(subject, ""))
        if found["contrast"] == "T1":
            stems = (found["entities"], f"{found['entities']}_T1w")
            for mask in (m for m in masks if _MASK.sub("", m.name) in stems):
                yield _File(subject, session, domain, "mask", mask, splits.get(subject, ""))


def tesla(path: Path) -> float | None:
    """``MagneticFieldStrength`` of a scan's JSON sidecar; None where it is not given."""
    sidecar = path.with_name(re.sub(r"\.nii(\.gz)?$", ".json", path.name))
    try:
        return float(json.loads(sidecar.read_text())["MagneticFieldStrength"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _domain(path: Path, default_domain: str) -> str:
    if found := _FIELD.search(path.name):
        return "64mT" if found["field"].lower() == "64mt" else "3T"
    strength = tesla(path)
    if strength is not None and LOW[0] <= strength <= LOW[1]:
        return "64mT"
    if strength is not None and HIGH[0] <= strength <= HIGH[1]:
        return "3T"
    if default_domain:
        return default_domain if strength is None else ""
    given = "no strength" if strength is None else f"{strength:g} tesla"
    problem = f"has no acq-64mT or acq-3T in its name and {given} in a sidecar"
    strengths = f"MagneticFieldStrength in [{LOW[0]}, {LOW[1]}] or [{HIGH[0]}, {HIGH[1]}]"
    raise InputError(f"{path}: {problem}; allowed: one of these names, or {strengths}")


def _participants(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    assigned = [row for row in tables.rows(path, "\t") if row.get("split") not in (None, "", "n/a")]
    if any(not row.get("participant_id") for row in assigned):
        raise InputError(f"{path}: a split has no participant_id; allowed: participant_id and split")
    return {row["participant_id"]: row["split"] for row in assigned}


def _run(path: Path) -> int:
    """Number of the run; a scan is repeated after a failure, so the highest run is taken."""
    found = re.search(r"_run-(\d+)", path.name)
    return int(found[1]) if found else 0


def _grouped(files: Iterator[_File], source: Path) -> list[Visit]:
    """One visit a person, session and field; raises InputError for two files of one kind, or two splits."""
    visits: dict[tuple[str, str, str], Visit] = {}
    for file in files:
        key = (file.subject, file.session, file.domain)
        visit = visits.get(key, Visit(file.subject, file.session, file.domain, None, None))
        before = getattr(visit, file.kind.lower())
        if before is not None and _run(before) != _run(file.path):
            file = replace(file, path=max(before, file.path, key=_run))
        elif before is not None:
            raise InputError(f"{file.path}: {visit.id} has {before} for {file.kind} already; allowed: one")
        if file.split and visit.split and file.split != visit.split:
            message = f"{visit.id} is in {visit.split} and {file.split}"
            raise InputError(f"{file.path}: {message}; allowed: all scans of a volunteer in one split")
        changes: dict[str, Any] = {file.kind.lower(): file.path, "split": file.split or visit.split}
        visits[key] = replace(visit, **changes)
    found = [visit for visit in visits.values() if visit.scans]
    if not found:
        raise InputError(f"{source}: holds no scan; allowed: sub-*_T1w.nii(.gz) and sub-*_T2w.nii(.gz)")
    if twice := [name for name, n in Counter(visit.id for visit in found).items() if n > 1]:
        raise InputError(f"{source}: {twice[0]} is the name of two visits; allowed: names that differ")
    return found


SOURCE = CohortSource("folder", FolderConfig, prepare)
