import numpy as np
import pytest
from scipy import ndimage

from trainers.cohorts.preprocessing import slicing
from trainers.data.grid import GRIDS, Grid
from trainers.errors import InputError

NATIVE = [((72, 62), (3.2, 3.2), GRIDS["2mm"]), ((138, 112), (1.6, 1.6), GRIDS["1mm"])]


def smooth_images(shape: tuple[int, int], spacing: float) -> np.ndarray:
    y = (np.arange(shape[0]) - (shape[0] - 1) / 2)[:, None] * spacing
    x = (np.arange(shape[1]) - (shape[1] - 1) / 2)[None] * spacing
    bell = np.exp(-(x**2 + y**2) / (2 * 30.0**2))
    return np.stack([bell, bell * (1 + 0.3 * np.cos(x / 15) * np.sin(y / 20))])


def test_percentiles_inside_the_mask_become_the_ends_at_any_gain_and_offset() -> None:
    rng = np.random.default_rng(0)
    values, mask = rng.gamma(2.0, 100.0, (30, 30, 30)), rng.random((30, 30, 30)) < 0.5
    out = slicing.normalise(values, mask)
    low, high = np.quantile(values[mask], [0.005, 0.995])
    assert (out[~mask] == -1).all() and out.min() == -1 and out.max() == 1
    middle = mask & (values > low) & (values < high)
    np.testing.assert_allclose(out[middle], 2 * (values[middle] - low) / (high - low) - 1, atol=1e-6)
    assert (out[mask] == 1).mean() == pytest.approx(0.005, abs=5e-4)
    assert (out[mask] == -1).mean() == pytest.approx(0.005, abs=5e-4)
    rng = np.random.default_rng(0)
    values, mask = rng.random((20, 20, 20)), rng.random((20, 20, 20)) < 0.4
    other = np.where(mask, 37 * values + 5, 1e9)
    np.testing.assert_allclose(slicing.normalise(values, mask), slicing.normalise(other, mask), atol=1e-5)
    for inside in (True, False):
        with pytest.raises(InputError, match="constant inside its brain mask"):
            slicing.normalise(np.ones((4, 4, 4)), np.full((4, 4, 4), inside))


def test_resampling_agrees_with_scipy() -> None:
    image = np.random.default_rng(0).random((1, 20, 17))
    out = slicing.resample(image, (1.6, 1.5), (24, 20), (1.1, 1.0))
    y = ((np.arange(24) - 11.5) * 1.1) / 1.6 + 9.5
    x = ((np.arange(20) - 9.5) * 1.0) / 1.5 + 8
    expected = ndimage.map_coordinates(image[0], np.meshgrid(y, x, indexing="ij"), order=1)
    np.testing.assert_allclose(out[0], expected, atol=1e-6)


def test_crop_layout_planes_and_slice_filter() -> None:
    image = np.arange(2 * 6 * 2.0).reshape(2, 6, 2)
    out = slicing.crop_pad(image, (4, 4))
    np.testing.assert_array_equal(out[:, :, 1:3], image[:, 1:5])
    assert not out[:, :, 0].any() and not out[:, :, 3].any()
    volume = np.random.default_rng(0).random((4, 5, 6))
    slices = slicing.axial(volume)
    assert slices.shape == (6, 5, 4)
    assert slices[2, 0, 1] == volume[1, -1, 2]  # first row: largest y, the front
    np.testing.assert_array_equal(slicing.from_axial(slices), volume)
    volume = np.arange(1.0, 25.0).reshape(2, 3, 4)
    taken = slicing.take_planes(volume, np.array([-1, 0, 3, 4]))
    assert not taken[..., 0].any() and not taken[..., 3].any()
    np.testing.assert_array_equal(taken[..., 1:3], volume[..., [0, 3]])
    mask = np.zeros((3, 10, 10), bool)
    mask[1, 0, :9] = True
    mask[2, 0, :] = True
    assert slicing.keep(mask).tolist() == [False, False, True]
    for large, small in ((7, 4), (8, 4), (7, 5), (8, 5)):
        image = np.random.default_rng(0).random((2, small, small))
        padded = slicing.crop_pad(image, (large, large), -1.0)
        assert padded.sum() == pytest.approx(image.sum() - 2 * (large**2 - small**2))
        np.testing.assert_array_equal(slicing.crop_pad(padded, (small, small)), image)


@pytest.mark.parametrize(("shape", "spacing", "grid"), NATIVE)
def test_native_to_working_and_back(shape: tuple[int, int], spacing: tuple[float, float], grid: Grid) -> None:
    image = smooth_images(shape, spacing[0])
    working, _ = slicing.to_working(image, np.ones_like(image, bool), spacing, grid)
    assert working.shape == (2, *grid.shape)
    np.testing.assert_allclose(working, smooth_images(grid.shape, grid.spacing), atol=0.02)
    back = slicing.from_working(working, shape, spacing, grid)
    np.testing.assert_allclose(back, image, atol=0.03)
    back = slicing.from_working(np.full((1, *grid.shape), -1.0), shape, spacing, grid, fill=-1.0)
    np.testing.assert_array_equal(back, np.full((1, *shape), -1.0))


def test_equal_spacing_is_cropped_not_resampled_and_the_rim_is_not_darkened() -> None:
    image = np.random.default_rng(0).random((1, 233, 197)).astype(np.float32)
    working, _ = slicing.to_working(image, image >= 0, (1.0, 1.0), GRIDS["1mm"])
    np.testing.assert_array_equal(working, image[:, 4:228, 2:194])
    back = slicing.from_working(working, (233, 197), (1.0, 1.0), GRIDS["1mm"])
    np.testing.assert_array_equal(back[:, 4:228, 2:194], working)
    mask = np.zeros((1, 72, 62), bool)
    mask[:, 20:50, 15:45] = True
    working, inside = slicing.to_working(np.where(mask, 0.7, 0), mask, (3.2, 3.2), GRIDS["2mm"])
    np.testing.assert_allclose(working[inside], 0.7, atol=1e-6)
    assert not working[~inside].any()
    assert inside.sum() * 2.0**2 == pytest.approx(mask.sum() * 3.2**2, rel=0.02)
