"""The split of each subject by ``participants.tsv``, column ``split``."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from trainers.cohorts.scans import names, tables
from trainers.cohorts.scans.wording import short, some
from trainers.data.store import SPLITS
from trainers.errors import InputError

FILE = "participants.tsv"
ID, SPLIT = "participant_id", "split"
SIMILAR = r"(?<![a-z])splits?(?![a-z])"
"""In the name of a column that may be meant."""
OTHERS = ("participants.csv", "participants.txt")
"""Names in any case that are not read."""


def splits(path: Path, subjects: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """By subject, as ``sub-01``, the split of those that have one; and what to say of the table.

    Named are rows of nobody and subjects without a row. Raises InputError where rows contradict each other,
    a split or the column of splits is not known, or no row is of anybody.
    """
    if not os.path.lexists(path):
        others = [each.name for each in sorted(path.parent.iterdir()) if _is_other(each.name)]
        return {}, [f"{path.parent / name}: is not read; allowed: {FILE}" for name in others]
    columns, rows = _table(path)
    if SPLIT not in columns:
        return {}, [f"{path}: has no column {SPLIT}, so splits are drawn"]
    if ID not in columns:
        raise InputError(f"{path}: has no column {ID}; allowed: {ID} and {SPLIT}")
    found: dict[str, tuple[str, int]] = {}
    for line, row in rows:
        subject, split = _subject(row[ID]), row[SPLIT]
        split = "" if split == "n/a" else split
        if split not in ("", *SPLITS):
            allowed = f"{', '.join(SPLITS)}, n/a or empty"
            raise InputError(
                f"{path}: line {line}: {SPLIT}: {short(split)} is not allowed; allowed: {allowed}"
            )
        if not row[ID] and split:
            raise InputError(f"{path}: line {line}: {ID} is empty; allowed: a subject")
        if not row[ID]:
            continue
        before, at = found.get(subject, (split, line))
        if before and split and before != split:
            both = f"{subject} is in {before} (line {at}) and in {split}"
            raise InputError(f"{path}: line {line}: {both}; allowed: one split")
        found[subject] = (before or split, at)
    return {s: split for s, (split, _) in found.items() if split}, _notes(path, found, subjects)


def _table(path: Path) -> tuple[Collection[str], list[tuple[int, dict[str, str]]]]:
    """Columns, the two that are used in lower case; raises InputError for others that may mean the split."""
    table = tables.read(path, "\t")
    if len(table.columns) == 1 and (mark := next((m for m in ",;|" if m in table.columns[0]), "")):
        raise InputError(f"{path}: has cells separated by {mark!r}; allowed: tabs")
    own = {name: name.lower() if name.lower() in (ID, SPLIT) else name for name in table.columns}
    for name in own.values():
        if name != SPLIT and re.search(SIMILAR, name, re.IGNORECASE):
            raise InputError(f"{path}: column {short(name)} is not known; allowed: {SPLIT}")
    if len({*own.values()}) < len(own):
        raise InputError(f"{path}: has {ID} or {SPLIT} twice, in two cases; allowed: once")
    return {*own.values()}, [(at, {own[k]: v for k, v in row.items()}) for at, row in table.rows]


def _is_other(name: str) -> bool:
    return name.lower() in OTHERS or (name.lower() == FILE and name != FILE)


def _subject(given: str) -> str:
    """As ``sub-01``, given with the prefix, in any case, or without."""
    return f"sub-{names.composed(re.sub('^sub-', '', given, flags=re.IGNORECASE))}"


def _notes(path: Path, found: dict[str, tuple[str, int]], subjects: Collection[str]) -> list[str]:
    if not found:
        return [f"{path}: has no row below its header"]
    nobody = sorted(found.keys() - set(subjects))
    if len(nobody) == len(found):
        raise InputError(
            f"{path}: {ID}: none of {some(nobody)} has scans here; allowed: {some(sorted(subjects))}"
        )
    without = sorted(set(subjects) - found.keys())
    notes = [f"{path}: rows of nobody who has scans here: {some(nobody)}"] if nobody else []
    return notes + ([f"{path}: without a row: {some(without)}"] if without else [])
