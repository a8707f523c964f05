"""Consistency with the input and through the slices, against least squares and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from trainers.metrics.plausibility import WIDTHS, input_residual, slice_shift, through_plane_change


def noise(count: int, seed: int, side: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, side, side, generator=generator, dtype=torch.float64)


def full(images: Tensor) -> Tensor:
    return torch.ones_like(images, dtype=torch.bool)


def ellipse(count: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    radii = torch.linspace(18, 28, count)[:, None, None]
    return ((rows - 32) / radii) ** 2 + ((columns - 30) / (0.9 * radii)) ** 2 < 1


def test_the_input_explains_itself_at_any_gain_and_an_inverted_or_unrelated_output_nothing() -> None:
    source, mask = noise(4, seed=0), ellipse(4)
    assert float(input_residual(source, source, mask, 2.0)) < 1e-6
    assert float(input_residual(0.3 * source + 0.2, source, mask, 2.0)) < 1e-6
    assert float(input_residual(torch.where(mask, source, 9), source, mask, 2.0)) < 1e-6
    assert float(input_residual(1 - source, source, mask, 2.0)) == 1
    assert float(input_residual(noise(4, seed=1), source, mask, 2.0)) > 0.99


@pytest.mark.parametrize("spacing", [1.0, 2.0])
@pytest.mark.parametrize("width", [w for w in WIDTHS if w])
def test_a_sharper_output_is_consistent_at_any_of_the_widths(width: float, spacing: float) -> None:
    output = noise(3, seed=2)
    sigma = width / spacing
    radius = math.ceil(3 * sigma)
    source = gaussian_filter(output.numpy(), (0, sigma, sigma), mode="nearest", radius=(0, radius, radius))
    assert float(input_residual(output, torch.from_numpy(source), full(output), spacing)) < 1e-6
    assert float(input_residual(torch.from_numpy(source), output, full(output), spacing)) > 0.05


def test_the_residual_is_that_of_least_squares_over_the_widths() -> None:
    output = noise(3, seed=3)
    source = torch.from_numpy(gaussian_filter(output.numpy(), (0, 0.9, 0.9))) + 0.1 * noise(3, seed=4)
    target, shares = source.numpy().ravel(), []
    for width in WIDTHS:
        radius = math.ceil(3 * width / 2)
        image = gaussian_filter(
            output.numpy(), (0, width / 2, width / 2), mode="nearest", radius=(0, radius, radius)
        )
        columns = np.stack([image.ravel(), np.ones(image.size)], 1)
        _, squares, _, _ = np.linalg.lstsq(columns, target)
        shares.append(math.sqrt(squares.item() / (target.var() * target.size)))
    assert float(input_residual(output, source, full(output), 2.0)) == pytest.approx(min(shares), abs=1e-9)
    assert np.argmin(shares) == 2


def test_only_pixels_in_both_neighbours_count_at_any_gain_and_offset() -> None:
    source, mask = noise(6, seed=7) + 0.1 * torch.arange(6)[:, None, None] ** 2, ellipse(6)
    for measure in (through_plane_change, slice_shift):
        assert float(measure(0.4 * source + 0.2, source, mask)) == pytest.approx(1, abs=1e-12)
        assert float(measure(torch.where(mask, source, 5), source, mask)) == pytest.approx(1, abs=1e-12)
    # Two slices that overlap in one pixel: the change there, over the deviation of all that is inside.
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, 0, :2], mask[1, 0, 1:3] = True, True
    source, output = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    source[0, 0, :2], source[1, 0, 1:3] = torch.tensor([0.1, 0.2]), torch.tensor([0.5, 0.4])
    output[0, 0, :2], output[1, 0, 1:3] = torch.tensor([0.3, 0.9]), torch.tensor([0.2, 0.6])
    expected = (0.7 / np.std([0.3, 0.9, 0.2, 0.6])) / (0.3 / np.std([0.1, 0.2, 0.5, 0.4]))
    assert float(through_plane_change(output, source, mask)) == pytest.approx(expected, rel=1e-6)


def test_flicker_is_the_deviation_of_steps_of_mean_intensity_and_needs_three_slices() -> None:
    levels = torch.tensor([0.30, 0.34, 0.36, 0.41, 0.40, 0.37], dtype=torch.float64)
    flicker = 0.05 * torch.tensor([1, -1, 1, 1, -1, 1], dtype=torch.float64)
    texture = 0.1 * noise(1, seed=11)
    source = levels[:, None, None] + texture
    output = source + flicker[:, None, None]
    expected = [
        np.std(np.diff(x.numpy())) / image.numpy().std()
        for x, image in ((levels + flicker, output), (levels, source))
    ]
    value = float(slice_shift(output, source, full(source)))
    assert value == pytest.approx(expected[0] / expected[1], rel=1e-9)
    assert value > 2
    for count, change, shift in ((1, False, False), (2, True, False), (3, True, True)):
        output, source = noise(count, seed=12), noise(count, seed=13)
        found = [measure(output, source, full(source)) for measure in (through_plane_change, slice_shift)]
        assert [math.isfinite(value) for value in found] == [change, shift]
