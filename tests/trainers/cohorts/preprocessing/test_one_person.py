"""Two scans of one person agree in their edges where they are; of two people, or displaced, they do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers.cohorts.preprocessing.nifti import read
from trainers.cohorts.preprocessing.one_person import LEAST, agreement, person_warnings, sharpness
from trainers.cohorts.preprocessing.registration import Image

REAL = Path(__file__).parents[5] / "shared" / "volumes"


def test_agreement_is_the_weighted_squared_cosine() -> None:
    inside = np.ones((1, 1, 100), bool)
    along = np.zeros((2, 1, 1, 100))
    along[0] = 3.0
    across = along[::-1]
    assert agreement(along, along, inside) == pytest.approx(
        81 / (18 * 18)
    )  # floors are the medians: a quarter
    assert agreement(along, -2 * along, inside) == pytest.approx(1 / 4)
    assert agreement(along, across, inside) == 0
    assert agreement(along, along + across, inside) == pytest.approx(1 / 8)


def test_one_person_is_told_from_another_and_from_a_displaced_one(clinic: Any) -> None:
    (t1, affine), (t2, _) = (clinic.volumes["b", "64mT", c] for c in ("T1", "T2"))
    other, _ = clinic.volumes["a", "64mT", "T2"]
    first, mask = Image(t1, affine), t1 != 0
    assert person_warnings(first, t2, mask) == []
    own = sharpness(first, t2, mask)
    assert own and own > LEAST + 0.1
    for moved in (other, np.roll(t2, 2, 0), np.roll(t2, -2, 1)):
        (line,) = person_warnings(first, moved, mask)
        assert line.startswith("it may be of another person, or is not aligned: its edges fit ")
    assert sharpness(first, t2, np.zeros_like(mask)) is None


def test_a_real_pair_is_of_one_person() -> None:
    if not REAL.is_dir():
        pytest.skip("no ../shared/volumes: real scans are not there")
    scans = [read(REAL / f"stroke_{contrast}w_brain.nii.gz") for contrast in ("T1", "T2")]
    first, second = (Image(scan.values, scan.ras_affine) for scan in scans)
    found = sharpness(first, second.values, first.values > 0)
    assert found == pytest.approx(2.13, abs=0.05)
