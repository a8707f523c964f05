"""The split of each subject by ``participants.tsv``, column ``split``."""

from collections.abc import Collection
from pathlib import Path

from trainers.cohorts.scans import tables
from trainers.data.store import SPLITS
from trainers.errors import InputError

FILE = "participants.tsv"
ID, SPLIT = "participant_id", "split"
SHOWN = 5


def splits(path: Path, subjects: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """By subject, as ``sub-01``, the split of those that have one; and what to say of the table.

    Named are rows of nobody and subjects without a row. Raises InputError where rows contradict each other,
    a split is not known, or no row is of anybody.
    """
    if not path.is_file():
        return {}, []
    table = tables.read(path, "\t")
    if SPLIT not in table.columns:
        return {}, []
    if ID not in table.columns:
        raise InputError(f"{path}: has no column {ID}; allowed: {ID} and {SPLIT}")
    found: dict[str, tuple[str, int]] = {}
    for line, row in table.rows:
        subject, split = row[ID] if row[ID].startswith("sub-") else f"sub-{row[ID]}", row[SPLIT]
        split = "" if split == "n/a" else split
        if split not in ("", *SPLITS):
            allowed = f"{', '.join(SPLITS)}, n/a or empty"
            raise InputError(f"{path}: line {line}: {SPLIT}: {split!r} is not allowed; allowed: {allowed}")
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


def _notes(path: Path, found: dict[str, tuple[str, int]], subjects: Collection[str]) -> list[str]:
    if not found:
        return [f"{path}: has no row below its header"]
    nobody = sorted(found.keys() - set(subjects))
    if len(nobody) == len(found):
        raise InputError(
            f"{path}: {ID}: none of {_some(nobody)} has scans here; allowed: {_some(sorted(subjects))}"
        )
    without = sorted(set(subjects) - found.keys())
    notes = [f"{path}: rows of nobody who has scans here: {', '.join(nobody)}"] if nobody else []
    return notes + ([f"{path}: without a row: {', '.join(without)}"] if without else [])


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
