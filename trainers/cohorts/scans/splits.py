"""The split into training, validation and test: by volunteer, never by session (DATA.md trap 10, D5)."""

import hashlib
from collections.abc import Mapping, Sequence

from trainers.cohorts.scans.visits import Visit
from trainers.data.store import PAIRED_SPLITS, SPLITS
from trainers.errors import InputError


def paired(visits: Sequence[Visit]) -> set[str]:
    """The volunteers with visits at both fields that are not refused."""
    sound = [v for v in visits if not v.problem]
    low, high = ({v.subject for v in sound if v.domain == domain} for domain in ("64mT", "3T"))
    return low & high


def assign(visits: Sequence[Visit], val: int, test: int, seed: int) -> dict[str, str]:
    """The split of every volunteer.

    Paired volunteers never train: ``val`` of them, drawn by ``seed``, validate and the others test. If
    nobody is paired, ``val`` and ``test`` volunteers with 64 mT scans alone are drawn. Splits that the source
    gives are kept. Raises InputError for a volunteer in two splits, paired and in training, or unpaired where
    pairs are needed. The draw depends on each volunteer's name, so that few change their split when others
    are added or removed. Refused visits count for nothing but the splits that the source gives.
    """
    splits, sound = _given_splits(visits), [v for v in visits if not v.problem]
    both = paired(sound)
    if leaked := sorted(subject for subject in both if splits.get(subject) == "train"):
        raise InputError(
            f"{leaked[0]}: was scanned at both fields and cannot train; allowed: {', '.join(PAIRED_SPLITS)}"
        )
    drawn = both or {v.subject for v in sound if v.domain == "64mT"}
    order = sorted(drawn - splits.keys(), key=lambda subject: _draw(subject, seed))
    val_count, test_count = (
        max(0, most - sum(splits.get(subject) == split for subject in drawn))
        for split, most in (("val", val), ("test", test))
    )
    drawn_count = len(order) if both else val_count + test_count
    for i, subject in enumerate(order[:drawn_count]):
        splits[subject] = "val" if i < val_count else "test"
    _require_comparable(sound, splits)
    return {visit.subject: splits.get(visit.subject, "train") for visit in visits}


def _require_comparable(visits: Sequence[Visit], splits: Mapping[str, str]) -> None:
    """Raises InputError for a split whose 64 mT and 3 T slices would not be of the same people."""
    both = paired(visits)
    for split in PAIRED_SPLITS:
        members = [v for v in visits if splits.get(v.subject) == split]
        pairs = any(v.subject in both for v in members)
        for visit in (v for v in members if v.subject not in both and (pairs or v.domain == "3T")):
            other = "3 T" if visit.domain == "64mT" else "64 mT"
            message = f"is in {split} and was not scanned at {other}, as pairs are"
            raise InputError(f"{visit.subject}: {message}; allowed: pairs, or none at 3 T")


def _given_splits(visits: Sequence[Visit]) -> dict[str, str]:
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
