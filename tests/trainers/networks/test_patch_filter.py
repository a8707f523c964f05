"""The linear filters against the closed form for Gaussian images of a known covariance."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.patch_filter import LinearFilter, PatchFilter, coarse_scale


def _gaussian(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Images [N, 2, 8, 8] of one patch each, float64, with their sample mean [128] and covariance."""
    rng = torch.Generator().manual_seed(seed)
    factor = torch.randn(128, 128, generator=rng, dtype=torch.float64) / 8
    x = 0.5 + torch.randn(count, 128, generator=rng, dtype=torch.float64) @ factor
    return x.view(count, 2, 8, 8), x.mean(0), torch.cov(x.T, correction=0)


@pytest.mark.parametrize("kept", [128, 40])
def test_of_one_patch_it_is_the_best_linear_estimate(kept: int) -> None:
    """Mean + alpha S (alpha^2 S + sigma^2)^-1 (x_t - alpha mean); unkept components share one variance."""
    images, mean, covariance = _gaussian(300)
    patches = PatchFilter(2, kept=kept).double()
    patches.fit(images)
    values, vectors = np.linalg.eigh(covariance.numpy())
    values[: 128 - kept] = values[: 128 - kept].mean() if kept < 128 else 0
    shared = torch.from_numpy(vectors * values @ vectors.T)
    alpha = torch.tensor([0.99, 0.7, 0.1], dtype=torch.float64)
    sigma = (1 - alpha.square()).sqrt()
    noisy = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    estimates = patches(noisy, alpha.view(3, 1, 1, 1), sigma.view(3, 1, 1, 1))
    for a, s, y, estimate in zip(alpha, sigma, noisy, estimates, strict=True):
        system = a**2 * shared + s**2 * torch.eye(128, dtype=torch.float64)
        expected = mean + a * shared @ torch.linalg.solve(system, y.flatten() - a * mean)
        torch.testing.assert_close(estimate.flatten(), expected, rtol=1e-9, atol=1e-9)


def test_overlapping_estimates_are_averaged() -> None:
    """Against a loop over patches, each estimated alone; every second pixel is a place."""
    images, *_ = _gaussian(300)
    patches = PatchFilter(2).double()
    patches.fit(images)
    rng = torch.Generator().manual_seed(2)
    noisy = torch.randn(1, 2, 12, 10, generator=rng, dtype=torch.float64)
    alpha, sigma = torch.tensor(0.8), torch.tensor(0.6)
    total, count = torch.zeros_like(noisy), torch.zeros_like(noisy)
    for i in (0, 2, 4):
        for j in (0, 2):
            place = (..., slice(i, i + 8), slice(j, j + 8))
            total[place] += patches(noisy[place], alpha, sigma)
            count[place] += 1
    torch.testing.assert_close(patches(noisy, alpha, sigma), total / count)


def test_without_noise_it_keeps_the_image_and_in_noise_alone_it_is_the_mean() -> None:
    images, mean, _ = _gaussian(300)
    patches = PatchFilter(2).double()
    patches.fit(images)
    zero, one = torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    torch.testing.assert_close(patches(images, one, 1e-6 * one), images, rtol=0, atol=1e-6)
    torch.testing.assert_close(patches(images, zero, one), mean.view(1, 2, 8, 8).expand_as(images))


def test_low_frequencies_come_from_the_pooled_image() -> None:
    """Images of one random constant: 32 x 32 pixels tell it better than any patch, in its closed form."""
    rng = torch.Generator().manual_seed(0)
    value = torch.randn(400, 1, 1, 1, generator=rng, dtype=torch.float64)
    images = value.expand(400, 1, 32, 32)
    linear = LinearFilter(1, coarse_scale(32)).double()
    linear.fit(images)
    alpha, sigma = (torch.tensor(x, dtype=torch.float64) for x in (0.1, 0.99))
    noisy = alpha * images + sigma * torch.randn(images.shape, generator=rng, dtype=torch.float64)
    estimate = F.avg_pool2d(linear(noisy, alpha, sigma), 32)
    variance, mean = float(value.var(correction=0)), float(value.mean())
    gain = 0.1 * variance / (0.1**2 * variance + 0.99**2 / 32**2)
    expected = mean + gain * (noisy.mean((1, 2, 3), keepdim=True) - 0.1 * mean)
    torch.testing.assert_close(estimate, expected, rtol=0, atol=2e-3)
    errors = [float((f(noisy, alpha, sigma) - images).square().mean()) for f in (linear, linear.fine)]
    assert errors[0] < 0.3 * errors[1]


@pytest.mark.parametrize(("crop", "scale"), [(32, 4), (36, 2), (64, 8), (72, 4), (128, 16), (192, 16)])
def test_a_coarse_patch_covers_most_of_a_crop_and_every_pixel_is_in_one(crop: int, scale: int) -> None:
    assert coarse_scale(crop) == scale
    linear, one = LinearFilter(1, scale), torch.ones(())
    assert linear(torch.zeros(1, 1, crop, crop), one, one).isfinite().all()
