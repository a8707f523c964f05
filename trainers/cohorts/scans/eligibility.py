"""Which images below a BIDS folder may be scans or masks of its visits (the rule is in docs/scans.md)."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts.scans import names
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.wording import shown

OUTSIDE = ("derivatives", "sourcedata", "code", "stimuli", "phenotype")
"""Folders that hold no raw scans; brain masks are taken from the first."""
SUFFIXES = {"t1w": "T1", "t2w": "T2"}
MASK = "mask"
DERIVED = ("desc", "space", "res", "den", "label", "hemi", names.OF)
"""Entities of processed images."""
NATIVE = ("", "t1w", "t2w", "orig", "native", "scanner")
"""Spaces of a mask that is on its scan's grid."""
PARTS = ("phase", "real", "imag")
OTHER = "neither T1w nor T2w"
WRONG_NAME = "a wrong name"
_LOCALIZER = re.compile(r"locali[sz]|scout|survey|^mrsloc", re.IGNORECASE)
_SHORT_LOCALIZER = {"loc", "plan"}


@dataclass(frozen=True)
class Left:
    """A file that is not used."""

    path: Path
    kind: str
    """As ``localizer``; counted."""
    reason: str = ""
    """In more words, where there are any."""


def misplaced(path: Path, root: Path, others: Collection[Path], name: names.Name | None) -> Left | None:
    """Why an image below ``root`` belongs to no visit by its place or its name.

    ``others``: folders below the root that are data sets of their own.
    """
    folders, mask = path.relative_to(root).parts[:-1], name is not None and name.suffix.lower() == MASK
    allowed = OUTSIDE[:1] if mask else ()
    for part in (each.lower() for each in folders):
        if part in OUTSIDE and part not in allowed:
            return Left(path, "outside the raw scans", f"in {part}")
    other = next((each for each in reversed(path.parents) if each in others), root).relative_to(root)
    if other.parts and not (mask and OUTSIDE[0] in (part.lower() for part in other.parts)):
        return Left(path, "of another data set", f"{shown(other)} has its own description")
    if name is None or not name.entities.get("sub") or not str(path.relative_to(root)).isprintable():
        return Left(path, WRONG_NAME, "is not as sub-01_T1w.nii.gz")
    return _contradiction(path, folders, name)


def _contradiction(path: Path, folders: tuple[str, ...], name: names.Name) -> Left | None:
    if name.fault:
        return Left(path, WRONG_NAME, name.fault)
    for part in folders:
        key, _, label = names.composed(part).partition("-")
        if key.lower() in ("sub", "ses") and label and name.entities.get(key.lower()) != label:
            return Left(path, WRONG_NAME, f"is in {part}")
    return None


def unlike_a_scan(path: Path, name: names.Name, contrast: str, filters: Filters) -> Left | None:
    """Why a T1w or T2w image is no candidate: filtered, a localizer, processed, no magnitude."""
    if unmet := filters.unmet(contrast, name.entities):
        return Left(path, "filtered", f"not {unmet}")
    derived = [key for key in DERIVED if key in name.entities and not filters.names(contrast, key)]
    if derived:
        return Left(path, "processed", f"has {derived[0]}-")
    if name.entities.get("part", "").lower() in PARTS and not filters.names(contrast, "part"):
        return Left(path, "not a magnitude image", f"part-{name.entities['part']}")
    if is_localizer(name.entities.get("acq", "")) and not filters.names(contrast, "acq"):
        return Left(path, "a localizer", f"acq-{name.entities['acq']}")
    return None


def unlike_a_mask(path: Path, name: names.Name) -> Left | None:
    """Why an image that is neither T1w nor T2w is no mask of a brain on the grid of a scan."""
    if name.suffix.lower() != MASK:
        return Left(path, OTHER, f"_{name.suffix}")
    entities = {key: value.lower() for key, value in name.entities.items()}
    if "brain" not in (entities.get("desc"), entities.get("label")):
        return Left(path, "not a brain mask")
    if entities.get("space", "") not in NATIVE:
        return Left(path, "a mask in another space", f"space-{name.entities['space']}")
    return None


def is_localizer(label: str) -> bool:
    """Whether an acquisition's label says so, as ``mrsLocAx``, ``scout`` or ``3planeLocalizer``."""
    return bool(_LOCALIZER.search(label)) or bool(_SHORT_LOCALIZER & set(names.words(label)))
