"""Shared pieces against their formulas and scipy's filters."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from trainers.networks import blocks


def test_film_scales_and_shifts_each_channel_and_acts_after_an_instance_norm() -> None:
    film, h, embedding = blocks.FiLM(5, 3), torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    affine = embedding @ film.affine.weight.T + film.affine.bias
    for b in range(2):
        for c in range(3):
            expected = (1 + affine[b, c]) * h[b, c] + affine[b, 3 + c]
            torch.testing.assert_close(film(h, embedding)[b, c], expected)
    nn.init.zeros_(film.affine.weight), nn.init.zeros_(film.affine.bias)
    assert torch.equal(film(h, embedding), h)
    h, film = torch.randn(2, 3, 8, 8), blocks.FiLM(5, 3)
    changed = film(F.instance_norm(h), torch.ones(2, 5)) - film(F.instance_norm(h), -torch.ones(2, 5))
    assert float(changed.detach().abs().mean()) > 0.1


@pytest.mark.parametrize("size", [(8, 8), (9, 12)])
def test_blur_down_is_scipys_binomial_filter_at_every_second_pixel(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred = blocks.BlurDown(3)(x)
    for b in range(2):
        for c in range(3):
            expected = ndimage.convolve(x[b, c].double().numpy(), kernel, mode="mirror")[::2, ::2]
            np.testing.assert_allclose(blurred[b, c], expected, atol=1e-6)


def test_upsampling_aliases_pixel_norm_and_sinusoid() -> None:
    stripes = torch.ones(1, 1, 8, 8) * torch.tensor([1.0, -1.0]).repeat(4)
    assert float(blocks.BlurDown(1)(stripes).abs().max()) == 0
    assert float((blocks.BlurDown(1)(torch.ones(1, 1, 8, 8)) - 1).abs().max()) == 0
    z = 5 * torch.randn(3, 64)
    normed = blocks.pixel_norm(z)
    np.testing.assert_allclose(normed.square().mean(1), 1, rtol=1e-5)
    np.testing.assert_allclose(F.cosine_similarity(normed, z), 1, rtol=1e-5)
    assert bool((blocks.pixel_norm(torch.zeros(1, 4)) == 0).all())
    embedding = blocks.sinusoid(torch.tensor([0, 1, 7]), 8)
    for row, k in zip(embedding.tolist(), (0, 1, 7), strict=True):
        angles = [k * 10_000 ** (-i / 4) for i in range(4)]
        assert row == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)], abs=1e-6)
    for size in ((1, 1), (5, 8)):
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        up = blocks.upsample(x)
        assert up.shape[-2:] == (2 * size[0], 2 * size[1])
        np.testing.assert_allclose(up, _blur_up(x), atol=1e-14)


def _blur_up(x: Tensor) -> Tensor:
    """Replicate one pixel, insert zeros, convolve with [1, 3, 3, 1] / 4 along each axis (METHOD.md 1.4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    full = F.conv_transpose2d(padded, kernel, stride=2, groups=x.shape[1])
    return full[..., 3:-3, 3:-3]


def test_initialisation_keeps_the_variance_and_starts_film_near_the_identity() -> None:
    """He et al. 2015: Var(w) = 2 / (1 + 0.2^2) / fan-in, so that variance survives LeakyReLU(0.2)."""
    torch.manual_seed(0)
    film = blocks.FiLM(256, 128)
    convolution, linear = nn.Conv2d(32, 64, 3), nn.Linear(256, 256)
    blocks.initialise(nn.ModuleList([convolution, linear, film]))
    for weight, fan_in in ((convolution.weight, 32 * 9), (linear.weight, 256)):
        assert float(weight.detach().var()) == pytest.approx(2 / 1.04 / fan_in, rel=0.05)
    assert convolution.bias is not None and not bool(convolution.bias.any() or linear.bias.any())
    h, embedding = torch.randn(8, 128, 4, 4), torch.randn(8, 256)
    assert 1e-3 < float((film(h, embedding) - h).detach().std()) < 0.6
    x = torch.randn(4096, 256)
    y = F.leaky_relu(linear(x), 0.2)
    assert float(y.detach().square().mean()) == pytest.approx(1, rel=0.1)
