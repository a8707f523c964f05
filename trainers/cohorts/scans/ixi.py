"""IXI: T1 and T2 of healthy adults; only those of Hammersmith Hospital are of 3 T (DATA.md A1)."""

import re
from collections import defaultdict
from pathlib import Path

from trainers.cohorts.scans.visits import Visit, files_below
from trainers.errors import InputError

SCAN = re.compile(r"IXI[-_ ]?(\d+)[-_ ]HH[-_ ](\d+)[-_ ](T[12])\.nii(?:\.gz)?", re.IGNORECASE)
"""As ``IXI012-HH-1211-T1.nii.gz``: person, site, number of the visit, contrast."""


def wanted(name: str) -> bool:
    """Whether a member of the archives is a T1 or T2 of Hammersmith Hospital."""
    return SCAN.fullmatch(name.rpartition("/")[2]) is not None


def visits(folder: Path) -> list[Visit]:
    """One 3 T visit per person, from names anywhere below ``folder``; a contrast may be missing (None).

    Of several visits of a person the one with both contrasts is taken, then that of the highest number.
    Raises InputError where nothing is found.
    """
    people: defaultdict[str, defaultdict[int, dict[str, Path]]]
    people = defaultdict(lambda: defaultdict(dict))
    for path in files_below(folder):
        if (found := SCAN.fullmatch(path.name)) and path.is_file():
            people[found[1]][int(found[2])][found[3].upper()] = path
    if not people:
        looked_for = "IXI012-HH-1211-T1.nii.gz (Hammersmith Hospital, T1 and T2)"
        raise InputError(f"{folder}: no scans named as {looked_for}; allowed: the folder of IXI")
    return [_visit(person, numbers) for person, numbers in sorted(people.items())]


def _visit(person: str, numbers: dict[int, dict[str, Path]]) -> Visit:
    scans = numbers[max(numbers, key=lambda number: (len(numbers[number]), number))]
    return Visit(f"IXI{person}", "", "3T", scans.get("T1"), scans.get("T2"))
