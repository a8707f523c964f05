"""Pictures: planes the right way up, an outline that is the mask's edge, histograms that are shares."""

import numpy as np
import pytest

from trainers.cohorts.scans.previews import BINS, HEIGHT, picture, preview
from trainers.data.arrays import Array

RED = (255, 96, 64)
SPACING = np.array([2.0, 2.0, 5.0])


def scene() -> tuple[Array, Array]:
    """40 x 60 x 20 voxels of 2 x 2 x 5 mm: a brain, bright in its anterior left superior corner."""
    mask = np.zeros((40, 60, 20), bool)
    mask[8:32, 10:50, 4:16] = True
    values = np.full(mask.shape, 0.2)
    values[8:24, 25:50, 8:16] = 1.0
    return values, mask


def panels(found: Array) -> list[Array]:
    """Axial, coronal and sagittal: their widths follow from square pixels."""
    widths = [round(HEIGHT * across / up) for across, up in ((80, 120), (80, 100), (120, 100))]
    assert found.shape == (HEIGHT, sum(widths), 3) and found.dtype == np.uint8
    return np.split(found, np.cumsum(widths)[:2], axis=1)


def middle(panel: Array) -> tuple[float, float]:
    """Where the bright pixels are: rows from the top and columns from the left, from 0 to 1."""
    rows, columns = np.nonzero((panel[..., 0] > 200) & (panel[..., 2] > 200))
    return float(rows.mean() / panel.shape[0]), float(columns.mean() / panel.shape[1])


def test_anterior_and_superior_are_up_left_is_left_and_without_brain_there_is_no_outline() -> None:
    values, mask = scene()
    axial, coronal, sagittal = panels(picture(values, mask, SPACING))
    # x 8:24 of 40, y 25:50 of 60 and z 8:16 of 20, each from the other end where it runs upwards
    assert middle(axial) == pytest.approx((1 - 37.5 / 60, 16 / 40), abs=0.02)
    assert middle(coronal) == pytest.approx((1 - 12 / 20, 16 / 40), abs=0.02)
    assert middle(sagittal) == pytest.approx((1 - 12 / 20, 37.5 / 60), abs=0.02)
    values, mask = scene()
    found = picture(values, np.zeros_like(mask), SPACING)
    assert not (found == RED).all(-1).any() and np.ptp(found) == 255
    constant = picture(np.ones(mask.shape), mask, SPACING)
    assert constant[(constant != RED).any(-1)].max() == 0


def test_the_outline_is_the_edge_of_the_mask() -> None:
    values, mask = scene()
    x, y, z = (8 / 40, 32 / 40), (10 / 60, 50 / 60), (4 / 20, 16 / 20)
    shown = panels(picture(values, mask, SPACING))
    for panel, ((low, high), (left, right)) in zip(shown, ((y, x), (z, x), (z, y)), strict=True):
        red = (panel == RED).all(-1)
        rows, columns = np.nonzero(red)
        height, width = red.shape
        assert (rows.min() / height, (rows.max() + 1) / height) == pytest.approx(
            (1 - high, 1 - low), abs=0.02
        )
        assert (columns.min() / width, (columns.max() + 1) / width) == pytest.approx((left, right), abs=0.02)
        box = 2 * (np.ptp(rows) + 1 + np.ptp(columns) + 1) - 4
        assert box - 4 <= red.sum() <= box  # an edge of one pixel, with or without its corners


def test_histograms_are_shares_of_the_brains_intensities() -> None:
    values, mask = scene()
    inside = np.zeros((2, 10, 10), np.uint8)
    inside[:, :5] = 1
    t1 = np.where(inside, -0.99, 0.99)
    t1[1, :5] = 0.99
    slices = {"T1": t1, "T2": np.linspace(-1, 1, 200).reshape(2, 10, 10), "mask": inside}
    found = preview({"T1": values}, mask, SPACING, slices)
    assert set(found) == {"picture T1", "histogram T1", "histogram T2"}
    expected = np.zeros(BINS)
    expected[[0, -1]] = 0.5
    np.testing.assert_allclose(found["histogram T1"], expected)
    assert found["histogram T2"].sum() == pytest.approx(1) and found["histogram T2"].shape == (BINS,)
    empty = preview({}, mask, np.ones(3), slices | {"mask": np.zeros_like(inside)})
    assert empty["histogram T1"].sum() == 0
