"""Surfaces, their distance and Dice against monai, scipy and closed forms."""

import math

import numpy as np
import pytest
import torch
from monai.metrics.meandice import compute_dice
from monai.metrics.surface_dice import compute_surface_dice
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from torch import Tensor

from trainers.metrics.surface import dice, dilate, interior, normalised_surface_distance, shifted, surface


def blobs(count: int, seed: int, shape: tuple[int, int] = (48, 40)) -> Tensor:
    """Random smooth masks, some of which touch the border of the slice."""
    noise = np.random.default_rng(seed).normal(size=(count, *shape))
    return torch.from_numpy(gaussian_filter(noise, (0, 3, 3)) > 0.02)


def square(side: int, left: int) -> Tensor:
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, 10 : 10 + side, left : left + side] = True
    return mask


def test_the_interior_is_scipys_erosion_and_shifts_bring_in_zeros() -> None:
    masks = blobs(6, seed=0)
    expected = np.stack([binary_erosion(mask) for mask in masks.numpy()])
    assert np.array_equal(interior(masks).numpy(), expected)
    assert np.array_equal(surface(masks).numpy(), masks.numpy() & ~expected)
    x = torch.arange(12).reshape(1, 3, 4)
    assert shifted(x, 1, -2).tolist() == [[[0, 0, 0, 0], [2, 3, 0, 0], [6, 7, 0, 0]]]
    assert shifted(x, -1, 1).tolist() == [[[0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]]]


@pytest.mark.parametrize("radius", [0.5, 1.0, math.sqrt(2), 2.0, 2.5, 4.0])
def test_dilation_is_scipys_distance_transform_at_a_threshold(radius: float) -> None:
    points = torch.rand(5, 30, 34, generator=torch.Generator().manual_seed(1)) < 0.01
    expected = np.stack([distance_transform_edt(~mask) <= radius for mask in points.numpy()])
    assert np.array_equal(dilate(points, radius).numpy(), expected)


@pytest.mark.parametrize("spacing", [1.0, 1.6, 2.0])
@pytest.mark.parametrize("tolerance", [1.0, 2.0, 3.0])
def test_the_surface_distance_of_a_slice_is_monais(spacing: float, tolerance: float) -> None:
    a, b = blobs(8, seed=2), blobs(8, seed=2) ^ (blobs(8, seed=3) & blobs(8, seed=4))
    expected = compute_surface_dice(
        a[:, None], b[:, None], [tolerance], include_background=True, spacing=(spacing, spacing)
    )
    ours = [
        normalised_surface_distance(x[None], y[None], tolerance / spacing) for x, y in zip(a, b, strict=True)
    ]
    assert torch.allclose(torch.stack(ours), expected[:, 0].double(), rtol=0, atol=1e-6)
    assert expected.min() < 0.999


def test_dice_and_surface_distance_pool_slices_as_monai_does_side_by_side() -> None:
    a, b = blobs(5, seed=5), blobs(5, seed=6)
    a[3:] = False  # slices where one of the two has no such tissue
    a[4], b[4] = False, False
    x, y = (torch.nn.functional.pad(z, (9, 9)).transpose(0, 1).flatten(1)[None, None] for z in (a, b))
    expected = compute_surface_dice(x, y, [2.0], include_background=True)
    assert float(normalised_surface_distance(a, b, 2.0)) == pytest.approx(float(expected), abs=1e-6)
    assert float(dice(a, b)) == pytest.approx(float(compute_dice(x, y)), abs=1e-6)


def test_moved_squares_have_closed_forms_and_classes_are_scored_separately() -> None:
    empty = torch.zeros(1, 40, 40, dtype=torch.bool)
    a = torch.stack([square(10, 9), square(10, 9), empty], 1)
    b = torch.stack([square(10, 10), empty, empty], 1)
    for scores, first in ((dice(a, b), 0.9), (normalised_surface_distance(a, b, 0.9), 0.5)):
        assert scores[:2].tolist() == pytest.approx([first, 0])
        assert bool(scores[2].isnan())
    # All but one column overlaps; of the surfaces top and bottom but for a pixel, and no side.
    for side in (2, 10, 20):
        a, b = square(side, left=9), square(side, left=10)
        assert float(dice(a, b)) == 1 - 1 / side
        assert float(normalised_surface_distance(a, b, 1.0)) == 1
        assert float(normalised_surface_distance(a, b, 0.9)) == 0.5
