"""Frames: where slices are sampled, and the volumes made from them."""

import json

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from tests.trainers.cohorts.geometry import axes
from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.frame import Frame
from trainers.cohorts.preprocessing.registration import Image, resample
from trainers.data.arrays import Array
from trainers.data.grid import GRIDS, Grid
from trainers.errors import InputError

SPACINGS = [(1.6, 1.6, 5.0), (1.0, 1.0, 1.0), (0.9375, 0.98, 1.2), (3.2, 3.2, 10.0), (2.0, 2.0, 5.0)]


def oriented(code: str, spacing: tuple[float, float, float], degrees: float) -> Array:
    """An affine with axes as ``code``, rotated about an oblique axis."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.6, 0, 0.8])).as_matrix()
    move[:3, 3] = (-70, -100, -40)
    return np.asarray(move @ axes(code, spacing))


def smooth(points: Array) -> Array:
    """Intensities (100 to 900) that change little within a voxel."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.asarray(500 + 150 * np.sin(x / 25) + 150 * np.cos(y / 30) + z)


def head(spacing: tuple[float, float, float]) -> tuple[Array, Array]:
    """Positions of voxels (mm) on a grid of RAS axes and an ellipsoid brain off its middle."""
    shape = (int(150 / spacing[0]), int(190 / spacing[1]), 6)
    positions = np.moveaxis(np.indices(shape), 0, -1) * np.array(spacing)
    mask = (((positions - (70, 92, 0)) / (60, 75, 120)) ** 2).sum(-1) < 1
    return positions, mask


def levels(values: Array, mask: Array) -> tuple[float, float]:
    low, high = np.percentile(values[mask], (0.5, 99.5))
    return float(low), float(high)


@pytest.mark.parametrize("size", GRIDS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_frames_image_has_its_voxels_where_the_slices_are_sampled(
    spacing: tuple[float, float, float], size: str
) -> None:
    """Slices of a smooth function are the function itself at the positions of the image's affine."""
    positions, brain = head(spacing)
    affine = oriented("RAS", spacing, 12)
    frame = Frame.of(brain, affine, GRIDS[size])
    values = smooth(positions)
    slices, mask = frame.slices(values, brain)
    image = frame.image
    height, width = GRIDS[size].shape
    assert image.values.shape == (width, height, frame.box[2][1] - frame.box[2][0])
    np.testing.assert_allclose(image.spacing, (GRIDS[size].spacing, GRIDS[size].spacing, spacing[2]))

    voxels = np.moveaxis(np.indices(image.values.shape), 0, -1)
    ras = voxels @ image.affine[:3, :3].T + image.affine[:3, 3]
    grid = (ras - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T  # voxels of the scan
    low, high = levels(values, brain)
    exact = slicing.axial(np.clip(2 * (smooth(grid * spacing) - low) / (high - low) - 1, -1, 1))
    inner = binary_erosion(mask, np.ones((1, 7, 7))) & (np.abs(exact) < 0.95)  # clipping has a kink
    assert inner.sum() > 5000
    coarse = max(spacing[:2]) ** 2 / 8 * 150 * (1 / 25**2 + 1 / 30**2) * 2 / (high - low)  # h^2 f'' / 8
    assert np.abs(slices - exact)[inner].max() < coarse + 1e-3

    found = slicing.axial(resample(Image(values.astype(np.float32), affine), image, np.eye(4)))
    unit = np.clip(2 * (found - low) / (high - low) - 1, -1, 1)
    assert np.abs(slices - unit)[inner].max() < coarse + 2e-3


def test_slices_show_the_brain_in_their_middle_anterior_first_and_left_on_the_left() -> None:
    mask = np.zeros((60, 80, 12), bool)
    mask[:30, 50:, 2:9] = True
    frame = Frame.of(mask, np.diag([2.0, 2, 6, 1]), GRIDS["2mm"])
    _, inside = frame.slices(mask + 0.5 * np.indices(mask.shape)[0], mask)
    assert inside.shape == (7, 112, 96) and frame.box == ((0, 30), (50, 80), (2, 9))
    rows, columns = np.nonzero(inside[0])
    assert (rows.min(), rows.max()) == (41, 70) and (columns.min(), columns.max()) == (33, 62)
    mask = np.ones((20, 20, 2), bool)
    values = np.zeros(mask.shape)
    values[2:5, 15:18] = 1  # left of the middle, in front
    slices, _ = Frame.of(mask, np.diag([2.0, 2, 6, 1]), Grid((20, 20), 2.0)).slices(values, mask)
    rows, columns = np.nonzero(slices[0] > 0)
    assert rows.tolist() == [2] * 3 + [3] * 3 + [4] * 3 and set(columns) == {2, 3, 4}


def test_frames_are_restored_from_facts_and_wrong_masks_are_errors() -> None:
    mask = np.zeros((100, 130, 4), bool)
    mask[1:98, 3:120] = True
    fits = Frame.of(mask[:96], np.diag([2.0, 1.9, 6, 1]), GRIDS["2mm"])
    assert fits.box[:2] == ((1, 96), (3, 120))
    with pytest.raises(InputError, match="its brain is 234 x 194 mm in plane; allowed: at most 224 x 192"):
        Frame.of(mask, np.diag([2.0, 2, 6, 1]), GRIDS["2mm"])
    with pytest.raises(InputError, match="brain mask is empty"):
        Frame.of(np.zeros((4, 4, 4), bool), np.eye(4), GRIDS["1mm"])
    _, brain = head((3.2, 3.2, 10.0))
    frame = Frame.of(brain, oriented("LPS", (3.2, 3.2, 10.0), 7), GRIDS["2mm"])
    back = Frame.read(json.loads(json.dumps(frame.facts())))
    assert (back.shape, back.box, back.grid) == (frame.shape, frame.box, frame.grid)
    np.testing.assert_array_equal(back.affine, frame.affine)
    np.testing.assert_array_equal(back.image.affine, frame.image.affine)
