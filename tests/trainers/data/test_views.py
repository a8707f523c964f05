"""The plane of a scan by its geometry."""

import numpy as np
import pytest

from tests.trainers.cohorts.geometry import displacement
from trainers.data.views import view_of

CASES = {
    (1.6, 1.6, 5.0): "axial",
    (1.6, 5.0, 1.6): "coronal",
    (5.0, 1.6, 1.6): "sagittal",
    (1.0, 1.0, 1.0): None,
    (1.0, 1.0, 1.4): None,
    (0.9, 1.2, 1.2): None,
}


@pytest.mark.parametrize("sizes", CASES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_normal_is_the_thickest_side_in_scanner_coordinates(
    sizes: tuple[float, ...], order: tuple[int, ...]
) -> None:
    """Whatever the order of the file's axes, their direction, and a tilt of 20 degrees."""
    affine = displacement((12, -8, 10), (3, 4, 5)) @ np.diag([*sizes, 1.0])
    affine[:, 0] *= -1
    assert view_of(affine[:, [*order, 3]]) == CASES[sizes]
