"""Who trains, who validates, who tests: by volunteer, never by scanning session (DATA.md trap 10, D5)."""

import hashlib
from collections.abc import Sequence

from trainers.cohorts.store import PAIRED_SPLITS, SPLITS
from trainers.cohorts.visits import Visit
from trainers.errors import InputError


def paired(visits: Sequence[Visit]) -> set[str]:
    """The volunteers who were scanned at both fields."""
    low, high = ({v.subject for v in visits if v.domain == domain} for domain in ("64mT", "3T"))
    return low & high


def assign(visits: Sequence[Visit], val: int, test: int, seed: int) -> dict[str, str]:
    """The split of every volunteer.

    Paired volunteers never train: ``val`` of them, drawn by ``seed``, validate and the others test. Where
    nobody is paired, ``val`` and ``test`` volunteers with 64 mT scans alone stand in. What the source
    decides is kept; a volunteer in two splits, or paired and in training, raises InputError. A draw depends
    on a volunteer's own name, so that it stays when others come and go.
    """
    splits = _decided(visits)
    both = paired(visits)
    if leaked := sorted(subject for subject in both if splits.get(subject) == "train"):
        raise InputError(
            f"{leaked[0]}: was scanned at both fields and cannot train; allowed: {', '.join(PAIRED_SPLITS)}"
        )
    drawn = both or {v.subject for v in visits if v.domain == "64mT"}
    order = sorted(drawn - splits.keys(), key=lambda subject: _draw(subject, seed))
    wanted = max(0, val - sum(splits.get(subject) == "val" for subject in drawn))
    held = len(order) if both else wanted + test
    for i, subject in enumerate(order[:held]):
        splits[subject] = "val" if i < wanted else "test"
    return {visit.subject: splits.get(visit.subject, "train") for visit in visits}


def _decided(visits: Sequence[Visit]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for visit in visits:
        if visit.split and visit.split not in SPLITS:
            raise InputError(
                f"{visit.id}: split {visit.split!r} is not allowed; allowed: {', '.join(SPLITS)}"
            )
        if visit.split and splits.setdefault(visit.subject, visit.split) != visit.split:
            both = f"{splits[visit.subject]} and {visit.split}"
            raise InputError(
                f"{visit.subject}: is in {both}; allowed: all visits of a volunteer in one split"
            )
    return splits


def _draw(subject: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{subject}".encode()).hexdigest()
