"""The planes that a picture of a translated visit shows."""

from dataclasses import replace
from pathlib import Path
from platform.reporting.before_after import INPUT, OUTPUT, REFERENCE, SPREAD
from platform.translation.visit_picture import planes, square
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cohorts.preprocessing.nifti import Scan
from trainers.inference import Enhanced

Array = NDArray[Any]
SHAPE = (18, 20, 16)
GRID = np.diag([8.0, 8.0, 8.0, 1.0])


def scan(values: Array, affine: Array = GRID) -> Scan:
    return Scan(Path("t1.nii"), values, affine, nib.io_orientation(affine))


def test_planes_show_most_brain_anterior_and_superior_up() -> None:
    volume = np.zeros(SHAPE, np.float32)
    volume[2:6, 2:6, 3] = 0.5
    volume[1, 19, 3] = 0.75  # left, most anterior
    axial, coronal = square(volume, scan(volume), 2, 3), square(volume, scan(volume), 1, 2)
    assert axial.shape == (20, 18) and coronal.shape == (16, 18)
    assert np.argwhere(axial == 0.75).tolist() == [[0, 1]]
    assert np.flatnonzero(coronal.any(1)).tolist() == [16 - 1 - 3]
    brain_of_most = volume > 0.4
    spread = {"T1": volume / 10}
    enhanced = Enhanced({"T1": volume}, spread, {"T1": brain_of_most}, {"T1": volume / 2}, {})
    (first, across), (second, along) = planes("T1", scan(volume), enhanced, {REFERENCE: volume / 5})
    assert (first, second) == ("T1 axial", "T1 coronal")
    for part, kind in ((0.5, INPUT), (1, OUTPUT), (0.1, SPREAD), (0.2, REFERENCE)):
        np.testing.assert_allclose(across[kind], part * axial)
        np.testing.assert_allclose(along[kind], part * coronal)
    certain = replace(enhanced, spread={"T1": 0 * volume})
    assert all(images.keys() == {INPUT, OUTPUT} for _, images in planes("T1", scan(volume), certain))


@pytest.mark.parametrize(
    ("spacing", "axis", "shape"),
    [
        ((2, 2, 10), 2, (20, 18)),
        ((2, 2, 10), 1, (80, 18)),
        ((5, 1, 1), 2, (20, 90)),
        ((3, 2, 2), 1, (16, 36)),
    ],
)
def test_pixels_of_planes_are_about_square(spacing: Any, axis: int, shape: tuple[int, int]) -> None:
    volume = np.zeros(SHAPE)
    assert square(volume, scan(volume, np.diag([*spacing, 1.0])), axis, 8).shape == shape
