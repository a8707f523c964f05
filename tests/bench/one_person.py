"""The threshold of ``trainers.cohorts.preprocessing.one_person``: from which scans, and what others show.

``python -m tests.bench.one_person derive``: ratios of phantoms (two seeds, both fields, two populations and
sites of ordinary lesions and one of more) and of real heads, of which no two are of one person.
``python -m tests.bench.one_person report``: those of real pairs, by which nothing is chosen.

Written down before the first run: T2 is registered to T1 as the product does it, always. The threshold is
halfway, in the logarithm, between the highest ratio of two people and the lowest of one person, to two
decimals. If these overlap, it is where as large a share of one is above as of the other below.
"""

import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.bench.evidence.patients import CASES, brain
from trainers.cohorts import phantom
from trainers.cohorts.preprocessing import registration, skullstrip, slicing
from trainers.cohorts.preprocessing.examination import dilate, image_of
from trainers.cohorts.preprocessing.nifti import read
from trainers.cohorts.preprocessing.one_person import sharpness
from trainers.cohorts.preprocessing.registration import Image
from trainers.data.arrays import Array

VOLUMES = Path(__file__).parents[3] / "shared" / "volumes"
SEEDS, SUBJECTS = (1, 2), ("val-0000", "val-0001", "shifted-0000")
HEADS = ("niivue_otsu_T1w_head", "niivue_T1_head_1p6mm", "pydeface_mean_head_template")
Row = tuple[str, str, float]
"""What was scanned, ``one`` or ``two`` people, and the ratio."""


def ratio(first: Image, second: Image, mask: Array) -> float:
    """Of T2, registered to T1 in the surroundings of the brain."""
    region = dilate(mask, first.spacing)
    cut = slicing.box(region)
    matrix = registration.rigid(first.cropped(cut), second, region[cut])
    found = sharpness(first, registration.resample(second, first, matrix), mask)
    assert found is not None
    return found


def phantoms(seed: int) -> Iterator[Row]:
    """Each person's T1 with its own T2 and with that of the next person."""
    config = phantom.PhantomConfig(size="1mm", seed=seed)
    scans = {name: phantom.native_volumes(config, name) for name in SUBJECTS}
    following = dict(zip(SUBJECTS, (*SUBJECTS[1:], SUBJECTS[0]), strict=True))
    for name, field in itertools.product(SUBJECTS, ("64mT", "3T")):
        first = Image(*scans[name][field, "T1"])
        for who, other in (("one", name), ("two", following[name])):
            second = Image(*scans[other][field, "T2"])
            yield f"phantom {seed} {field} {name}, {other}", who, ratio(first, second, first.values != 0)


def heads() -> Iterator[Row]:
    """Real heads of three people with the T2 of a fourth."""
    second = image_of(read(VOLUMES / "niivue_register_T2w_head.nii.gz"))
    for name in HEADS:
        first = image_of(read(VOLUMES / f"{name}.nii.gz"))
        yield name, "two", ratio(first, second, skullstrip.strip(first, "template").mask)


def patients() -> Iterator[Row]:
    """Four patients at both fields, each T1 with each T2; the stroke pair."""
    for field in ("55mT", "3T"):
        scans, masks = {}, {}
        for case in CASES:
            pair = {
                (f, c): read(VOLUMES / "ulf55" / f"case{case}_{f}_{c}.nii.gz")
                for f in ("3T", field)
                for c in ("T1", "T2")
            }
            masks[case] = brain(*(pair["3T", c].values for c in ("T1", "T2")))
            scans[case] = [image_of(pair[field, c]) for c in ("T1", "T2")]
        for a, b in itertools.product(CASES, CASES):
            who = "one" if a == b else "two"
            yield f"ulf55 {field} {a}, {b}", who, ratio(scans[a][0], scans[b][1], masks[a])
    t1, t2 = (image_of(read(VOLUMES / f"stroke_{c}w_brain.nii.gz")) for c in ("T1", "T2"))
    yield "stroke 3T", "one", ratio(t1, t2, t1.values > 0)


def threshold(rows: list[Row]) -> float:
    """By the rule above."""
    one, two = (sorted(found for _, who, found in rows if who == each) for each in ("one", "two"))
    if one[0] > two[-1]:
        return round(math.sqrt(one[0] * two[-1]), 2)
    steps = np.arange(1, 3, 0.01)
    errors = [abs(np.mean(np.array(one) < at) - np.mean(np.array(two) >= at)) for at in steps]
    return float(round(steps[int(np.argmin(errors))], 2))


def main(what: str) -> None:
    """Print a line for each pair, and the threshold."""
    sources = [*map(phantoms, SEEDS), heads()] if what == "derive" else [patients()]
    rows = []
    for row in itertools.chain(*sources):
        rows.append(row)
        print(f"{row[2]:.2f} {row[1]} {row[0]}", flush=True)
    if what == "derive":
        print(f"threshold {threshold(rows)}")


if __name__ == "__main__":
    main(sys.argv[1])
