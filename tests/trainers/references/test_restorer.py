"""The closed-form restorer, against numpy's least squares and images whose restoration is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from trainers.data import channels
from trainers.references.restorer import BLURS, Restorer, blurred


def slices(count: int = 2, seed: int = 0) -> Tensor:
    """[count, 3, 24, 28] in [-1, 1], black outside an ellipse."""
    generator = torch.Generator().manual_seed(seed)
    t1, t2 = torch.rand(2, count, 24, 28, generator=generator) * 1.6 - 0.8
    y, x = torch.linspace(-1, 1, 24)[:, None], torch.linspace(-1, 1, 28)
    outside = (y**2 + x**2 > 0.9).expand(count, -1, -1)
    return channels.stack(t1.masked_fill(outside, -1), t2.masked_fill(outside, -1), "t1_t2_mean")


def test_a_gaussian_of_repeated_edges_is_scipys() -> None:
    images = torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))
    for deviation in BLURS:
        expected = [gaussian_filter(x, deviation, mode="nearest", truncate=3) for x in images[0].numpy()]
        np.testing.assert_allclose(blurred(images, deviation)[0].numpy(), np.stack(expected), atol=1e-6)


@pytest.mark.parametrize("layout", ["t1_t2_mean", "t1", "t2"])
def test_before_it_is_fitted_it_is_the_identity(layout: channels.Layout) -> None:
    images = channels.delivered(slices(), layout)
    torch.testing.assert_close(Restorer(layout)(images), images)


def test_a_map_of_intensities_is_found_and_black_stays_black() -> None:
    source = slices(6)
    t1, t2 = (source[:, 0] + 1) / 2, (source[:, 1] + 1) / 2
    wanted = channels.stack(0.9 - 0.5 * t1 * t2, 0.2 + 0.3 * t1 + 0.4 * t2**2, "t1_t2_mean") * 2 - 1
    black = (source == -1).all(1, keepdim=True)
    wanted = torch.where(black, -1.0, wanted)
    restorer = Restorer("t1_t2_mean").fit([(source[:3], wanted[:3], ~black[:3, 0])])
    torch.testing.assert_close(restorer(source), wanted, atol=2e-3, rtol=0)


def test_it_is_least_squares_over_the_pixels_that_count_however_they_are_parted() -> None:
    source, target = slices(4), slices(4, seed=1)
    counted = (source > -1).any(1)
    whole = Restorer("t1_t2_mean").fit([(source, target, counted)]).weight
    parted = Restorer("t1_t2_mean").fit(zip(*(x.split(1) for x in (source, target, counted)), strict=True))
    torch.testing.assert_close(parted.weight, whole)
    x = Restorer("t1_t2_mean").features(source)[counted].double().numpy()
    y = ((target[:, :2] + 1) / 2).movedim(1, -1)[counted].double().numpy()
    np.testing.assert_allclose(whole.numpy(), np.linalg.lstsq(x, y, rcond=None)[0], atol=2e-3)


def test_nothing_to_fit_to_leaves_the_identity() -> None:
    empty = torch.zeros(2, 24, 28, dtype=torch.bool)
    restorer = Restorer("t1_t2_mean").fit([(slices(), slices(2, 1), empty)])
    torch.testing.assert_close(restorer(slices()), slices())
