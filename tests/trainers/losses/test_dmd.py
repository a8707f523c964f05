"""DMD2 on Gaussians, whose posterior means, diffused densities and divergences have closed forms."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.losses import dmd
from trainers.networks.denoiser import schedule

DOUBLE = torch.float64


@dataclass(frozen=True)
class Gaussian:
    """A prior N(mean, deviation^2) of one pixel."""

    mean: Tensor
    deviation: Tensor

    def posterior_mean(self, noisy: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x | alpha x + sigma eps = noisy]: the linear regression of x on the noisy value."""
        gain = alpha * self.deviation**2 / self.diffused_variance(alpha, sigma)
        return self.mean + gain * (noisy - alpha * self.mean)

    def diffused_variance(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        return alpha**2 * self.deviation**2 + sigma**2


def _gaussian(mean: float, deviation: float) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=DOUBLE), torch.tensor(deviation, dtype=DOUBLE))


def _divergence(fake: Gaussian, real: Gaussian, alpha: Tensor, sigma: Tensor) -> Tensor:
    """KL of the two diffused Gaussians."""
    v_fake, v_real = fake.diffused_variance(alpha, sigma), real.diffused_variance(alpha, sigma)
    gap = alpha * (fake.mean - real.mean)
    return 0.5 * ((v_real / v_fake).log() + (v_fake + gap**2) / v_real - 1)


def _kl_gradient(mu_real: Tensor, mu_fake: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Equation 2 by ``dmd_direction``, whose weight w_t is 1 where the mean |x - mu_real| is 1."""
    real, fake = (torch.broadcast_to(mu, (1, 1, *mu.shape)).reshape(1, 1, -1, 1) for mu in (mu_real, mu_fake))
    direction = dmd.dmd_direction(real + 1, real, fake, torch.ones(1, *real.shape[2:]))
    return (alpha / sigma).square() * direction.reshape(mu_real.shape)


@pytest.mark.parametrize("t", [20, 200, 500, 900])
def test_the_unweighted_direction_is_the_gradient_of_the_kl_divergence(t: int) -> None:
    """E[(alpha/sigma)^2 (mu_fake - mu_real) dx/dtheta] = dKL/dtheta, theta = m_f and s_f in x = m_f + s_f xi.

    No further alpha: the squared one includes d x_t / dx. The integrands are polynomials of degree two in
    (xi, eps): three Gauss-Hermite nodes a side are exact.
    """
    alpha, sigma = (table[t].double() for table in schedule())
    mean, deviation = (torch.tensor(v, dtype=DOUBLE, requires_grad=True) for v in (0.4, 0.3))
    fake, real = Gaussian(mean, deviation), _gaussian(-0.2, 0.5)
    expected = torch.autograd.grad(_divergence(fake, real, alpha, sigma), (mean, deviation))
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(3))
    weight = torch.outer(weights, weights) / (2 * math.pi)
    xi, eps = torch.meshgrid(nodes, nodes, indexing="ij")
    x = fake.mean + fake.deviation * xi
    noisy = dmd.diffuse(x, eps, alpha, sigma)
    mu_real, mu_fake = (prior.posterior_mean(noisy, alpha, sigma) for prior in (real, fake))
    pull = (weight * _kl_gradient(mu_real, mu_fake, alpha, sigma)).detach()
    found = torch.autograd.grad((pull * x).sum(), (mean, deviation))
    for value, exact in zip(found, expected, strict=True):
        assert float(value) == pytest.approx(float(exact), rel=1e-6)


def test_the_posterior_mean_minimises_the_velocity_error() -> None:
    """Regressing v on the noisy value and turning it into mu gives the Gaussian's posterior mean."""
    prior, generator = _gaussian(0.1, 0.3), torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 200_000, generator=generator, dtype=DOUBLE)
    x = prior.mean + prior.deviation * x
    for t in (100, 400, 800):
        alpha, sigma = (table[t].double() for table in schedule())
        noisy, v = dmd.diffuse(x, noise, alpha, sigma), dmd.velocity(x, noise, alpha, sigma)
        slope, offset = np.polyfit(noisy, v, 1)
        at = torch.linspace(-1, 1, 5, dtype=DOUBLE)
        mu = dmd.clean_from_velocity(at, slope * at + offset, alpha, sigma)
        np.testing.assert_allclose(mu, prior.posterior_mean(at, alpha, sigma), atol=5e-3)


def test_velocity_undoes_diffusion_at_every_time_up_to_the_clamping() -> None:
    alpha, sigma = (table.double()[:, None, None, None] for table in schedule())
    x = torch.rand(1000, 1, 4, 4, dtype=DOUBLE) * 2 - 1
    noise = torch.randn(1000, 1, 4, 4, dtype=DOUBLE)
    noisy, v = dmd.diffuse(x, noise, alpha, sigma), dmd.velocity(x, noise, alpha, sigma)
    np.testing.assert_allclose(dmd.clean_from_velocity(noisy, v, alpha, sigma), x, atol=1e-6)
    single = dmd.clean_from_velocity(noisy.float(), v.float(), alpha.float(), sigma.float())
    np.testing.assert_allclose(single, x, atol=1e-5)
    np.testing.assert_allclose(alpha * v + sigma * noisy, noise, atol=1e-6)
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    noisy = torch.tensor([-9.0, -1.4, 1.4, 9.0])
    assert dmd.clean_from_velocity(noisy, zero, one, zero).tolist() == pytest.approx([-1.5, -1.4, 1.4, 1.5])


def test_the_direction_is_normalised_over_the_mask_with_a_floor_and_zero_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    x, mu_real, mu_fake = torch.randn(3, 2, 3, 6, 6, generator=generator).unbind(0)
    mask = torch.rand(2, 6, 6, generator=generator) > 0.6
    direction = dmd.dmd_direction(x, mu_real, mu_fake, mask)
    for b in range(2):
        errors = [
            float((x - mu_real)[b, c, i, j].abs()) for c in range(3) for i, j in mask[b].nonzero().tolist()
        ]
        expected = (mu_fake - mu_real)[b] * mask[b] / float(np.mean(errors))
        np.testing.assert_allclose(direction[b], expected, rtol=1e-5)
    outside = torch.where(mask[:, None], x, math.nan)
    np.testing.assert_allclose(dmd.dmd_direction(outside, mu_real, mu_fake, mask), direction, rtol=1e-5)
    zero, mu_fake = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.2)
    for everywhere in (True, False):  # an exact slice, and one without brain
        floored = dmd.dmd_direction(zero, zero, mu_fake, torch.full((1, 4, 4), everywhere))
        np.testing.assert_allclose(floored, 20 * everywhere, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_gradient_of_the_loss_is_the_direction_over_the_brains_values(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, direction = torch.randn(2, 2, 3, 10, 10, generator=generator).unbind(0)
    mask = torch.rand(2, 10, 10, generator=generator) < share
    direction[0, 0, 0, 0] = math.nan
    x.requires_grad_()
    torch.autograd.backward(dmd.dmd_loss(x, direction, mask))
    assert x.grad is not None
    expected = torch.nan_to_num(direction) * mask[:, None] / (3 * max(1, int(mask.sum())))
    np.testing.assert_allclose(x.grad, expected, rtol=1e-5, atol=1e-8)
    if share:  # a direction of 1: the sum of the gradient is the weight, whatever the brain's share
        (gradient,) = torch.autograd.grad(dmd.dmd_loss(x, torch.ones_like(x), mask), x)
        assert float(gradient.sum()) == pytest.approx(1, rel=1e-5)


def test_descent_with_known_posteriors_moves_the_fakes_onto_the_real_distribution() -> None:
    torch.manual_seed(0)
    alphas, sigmas = (table.double()[:, None, None, None] for table in schedule())
    mean, deviation = (torch.tensor(v, dtype=DOUBLE, requires_grad=True) for v in (0.6, 0.15))
    fake, real = Gaussian(mean, deviation), _gaussian(-0.2, 0.4)
    optimizer = torch.optim.Adam([mean, deviation], 0.02)
    mask = torch.ones(64, 4, 4)
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 600)
        x = fake.mean + fake.deviation * torch.randn(64, 1, 4, 4, dtype=DOUBLE)
        t = torch.randint(20, 980, (64,))
        alpha, sigma = alphas[t], sigmas[t]
        with torch.no_grad():
            noisy = dmd.diffuse(x, torch.randn_like(x), alpha, sigma)
            mu_real, mu_fake = (prior.posterior_mean(noisy, alpha, sigma) for prior in (real, fake))
            direction = dmd.dmd_direction(x, mu_real, mu_fake, mask)
        optimizer.zero_grad()
        torch.autograd.backward(dmd.dmd_loss(x, direction, mask))
        optimizer.step()
    assert float(mean.detach()) == pytest.approx(-0.2, abs=0.02)
    assert float(deviation.detach()) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("step", "fraction", "ramp", "expected"),
    [
        *(
            (0, 0, 1, 1),
            (0, 0.1, 1, 0),
            (99, 0.1, 1, 0),
            (100, 0.1, 1, 0),
            (150, 0.1, 1, 0.5),
            (200, 0.1, 1, 1),
        ),
        *((1000, 0.1, 1, 1), (110, 0.1, 0.2, 0.5), (101, 0.1, 0, 1), (100, 0.1, 0, 0), (999, 1, 1, 0)),
    ],
)
def test_warm_up_waits_then_ramps(step: int, fraction: float, ramp: float, expected: float) -> None:
    assert dmd.warm_up(step, 1000, fraction, ramp) == pytest.approx(expected)
