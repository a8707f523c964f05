"""Reverse steps keep the forward marginals, whatever the noise added on the way."""

import math

import pytest
import torch

from trainers.losses.ancestral import ancestral_std, levels, reverse_step
from trainers.networks.denoiser import schedule

NOISY, CLEANER = (0.5, math.sqrt(0.75)), (0.8, 0.6)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_marginals_are_kept(eta: float) -> None:
    """With the true x_0, x_s given x_0 has mean alpha_s x_0 and deviation sigma_s (Song et al. 2021)."""
    clean, eps = torch.tensor(0.7, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    x = NOISY[0] * clean + NOISY[1] * eps
    none = torch.zeros_like(clean)
    mean = reverse_step(NOISY[0] * clean, clean, NOISY, CLEANER, eta, none)
    from_eps = reverse_step(x, clean, NOISY, CLEANER, eta, none) - mean
    from_noise = reverse_step(NOISY[0] * clean, clean, NOISY, CLEANER, eta, eps) - mean
    assert mean.item() == pytest.approx(CLEANER[0] * 0.7)
    assert (from_eps**2 + from_noise**2).item() == pytest.approx(CLEANER[1] ** 2)


def test_ddpm_step_is_the_gaussian_posterior() -> None:
    """Bayes' rule for x_s ~ N(a_s x_0, s_s^2), x_t | x_s ~ N(r x_s, s_t^2 - r^2 s_s^2), r = a_t / a_s."""
    (alpha, sigma), (alpha_s, sigma_s) = NOISY, CLEANER
    clean, x = 0.3, -0.4
    ratio = alpha / alpha_s
    noise_variance = sigma**2 - ratio**2 * sigma_s**2
    precision = 1 / sigma_s**2 + ratio**2 / noise_variance
    mean = (alpha_s * clean / sigma_s**2 + ratio * x / noise_variance) / precision
    zero = torch.zeros((), dtype=torch.float64)
    stepped = reverse_step(zero + x, zero + clean, NOISY, CLEANER, 1.0, zero)
    assert stepped.item() == pytest.approx(mean)
    assert ancestral_std(NOISY, CLEANER) == pytest.approx(precision**-0.5)


def test_levels_descend_to_the_clean_image_and_the_last_step_is_the_prediction() -> None:
    clean = torch.rand(3, dtype=torch.float64)
    x = torch.randn(3, dtype=torch.float64)
    for eta, noise in ((0.0, None), (1.0, torch.randn(3, dtype=torch.float64))):
        assert torch.allclose(reverse_step(x, clean, NOISY, (1.0, 0.0), eta, noise), clean)
    alpha, sigma = schedule()
    path = levels(alpha, sigma, 400, 100)
    assert len(path) == 5 and path[-1] == (1.0, 0.0)
    assert path[0] == (float(alpha[400]), float(sigma[400]))
    assert path[3] == (float(alpha[100]), float(sigma[100]))
    assert [s for _, s in path] == sorted((s for _, s in path), reverse=True)
