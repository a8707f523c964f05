"""Which brain mask is a scan's: that of the scan all of whose entities it shares, the nearest of several."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from trainers.cohorts.scans import names
from trainers.cohorts.scans.choice import Candidate
from trainers.cohorts.scans.eligibility import OUTSIDE, Left
from trainers.cohorts.scans.visits import Visit
from trainers.cohorts.scans.wording import shown

_PROCESSED = ("desc", "label", "space", names.OF)


def nearest(masks: Iterable[Candidate], scan: Candidate) -> Candidate | None:
    """Beside the scan, then elsewhere among the raw scans, then in derivatives, by name."""

    def distance(mask: Candidate) -> tuple[bool, bool, str]:
        derived = OUTSIDE[0] in PurePosixPath(mask.place.lower()).parts
        return mask.path.parent != scan.path.parent, derived, mask.place

    return min((mask for mask in masks if _belongs(mask.name, scan.name)), key=distance, default=None)


def unused(mask: Candidate, visits: Iterable[Visit]) -> Left:
    """Why none of the visits of its session uses a mask."""
    for visit in visits:
        scan = visit.t1 or visit.t2
        parsed = names.parse(scan.name) if scan else None
        if visit.mask and parsed and _belongs(mask.name, parsed):
            return Left(mask.path, "another mask", f"used is {shown(visit.mask)}")
    return Left(mask.path, "a mask of no scan that is used")


def _belongs(mask: names.Name, scan: names.Name) -> bool:
    shared = {key: value for key, value in mask.entities.items() if key not in _PROCESSED}
    suffix = scan.suffix.lower()
    return shared == dict(scan.entities) and mask.entities.get(names.OF, suffix).lower() == suffix
