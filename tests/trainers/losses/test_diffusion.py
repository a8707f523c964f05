"""The discrete diffusion against the stochastic differential equation, Bayes' rule and sampling."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from trainers.losses import diffusion

DOUBLE = torch.float64
LEVELS = range(4)
BETAS = diffusion.variance_preserving(4)


def _pixel(value: float, count: int = 1) -> Tensor:
    return torch.full((count, 1, 1, 1), value, dtype=DOUBLE)


def _level(t: int, count: int = 1) -> Tensor:
    return torch.full((count,), t)


def _moments(draw: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], t: int) -> tuple[float, float]:
    """Gain and variance of a marginal q(x_t | x_0) or a transition q(x_{t+1} | x_t)."""
    zero, one = _pixel(0), _pixel(1)
    return float(draw(one, _level(t), zero, BETAS)), float(draw(zero, _level(t), one, BETAS)) ** 2


MARGINALS = [_moments(diffusion.marginal, t) for t in range(5)]


def test_the_schedule_is_that_of_method_md_and_of_the_differential_equation() -> None:
    np.testing.assert_allclose(BETAS, [1e-8, 0.478, 0.849, 0.956, 0.987], atol=5e-4)
    remaining = torch.cumprod(1 - BETAS, 0).sqrt()
    np.testing.assert_allclose(remaining[:3], [1, 0.722, 0.280], atol=5e-4)
    np.testing.assert_allclose(remaining[3:], [0.0586, 0.0066], atol=5e-5)
    mean, deviation = diffusion.posterior(_pixel(0.3), _pixel(-2), _level(0), BETAS)
    assert float(mean) == pytest.approx(0.3, abs=1e-6)
    assert float(deviation) == pytest.approx(math.sqrt(diffusion.FIRST_BETA), rel=1e-3)
    # E[x(b) | x(a)] = x(a) exp(-1/2 integral of beta from a to b), beta(s) linear.
    for steps in (1, 3, 8):
        times = np.linspace(1e-3, 1, steps + 1)
        kept = [
            math.exp(-quad(lambda s: 0.1 + (20 - 0.1) * s, a, b)[0]) for a, b in itertools.pairwise(times)
        ]
        np.testing.assert_allclose(1 - diffusion.variance_preserving(steps)[1:], kept, rtol=1e-10)


@pytest.mark.parametrize("t", LEVELS)
def test_a_transition_leads_from_one_marginal_to_the_next_of_unit_variance(t: int) -> None:
    (gain, variance), (step_gain, step_variance) = MARGINALS[t], _moments(diffusion.transition, t)
    expected = step_gain * gain, step_gain**2 * variance + step_variance
    assert MARGINALS[t + 1] == pytest.approx(expected, rel=1e-12)
    for gain, variance in MARGINALS[t : t + 2]:
        assert gain**2 + variance == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("t", LEVELS)
@pytest.mark.parametrize(("x0", "following"), [(0.0, 1.0), (0.7, -0.4), (-1.0, 2.5)])
def test_the_posterior_is_bayes_rule_of_gaussians(t: int, x0: float, following: float) -> None:
    """Conditioning the joint Gaussian of (x_t, x_{t+1}) given x_0 on x_{t+1}."""
    (gain, variance), (step_gain, step_variance) = MARGINALS[t], _moments(diffusion.transition, t)
    covariance, total = step_gain * variance, step_gain**2 * variance + step_variance
    surprise = following - step_gain * gain * x0
    mean, deviation = diffusion.posterior(_pixel(x0), _pixel(following), _level(t), BETAS)
    assert float(mean) == pytest.approx(gain * x0 + covariance / total * surprise, rel=1e-9)
    assert float(deviation) ** 2 == pytest.approx(1 / (1 / variance + step_gain**2 / step_variance), rel=1e-6)


def test_a_chain_of_true_posteriors_turns_noise_into_the_data() -> None:
    """Data N(0.4, 0.3^2): a generator that draws from the exact p(x_0 | x_{t+1}) gives the data back."""
    torch.manual_seed(0)
    count, mean, spread = 200_000, 0.4, 0.3
    x = torch.randn(count, 1, 1, 1, dtype=DOUBLE)
    for t in reversed(LEVELS):
        gain, variance = MARGINALS[t + 1]
        share = gain * spread**2 / (gain**2 * spread**2 + variance)
        clean = mean + share * (x - gain * mean)
        clean = clean + spread * math.sqrt(1 - share * gain) * torch.randn_like(x)
        centre, deviation = diffusion.posterior(clean, x, _level(t, count), BETAS)
        x = centre + deviation * torch.randn_like(x)
    error = spread / math.sqrt(count)
    assert float(x.mean()) == pytest.approx(mean, abs=5 * error)
    assert float(x.std()) == pytest.approx(spread, abs=5 * error)


def test_every_sample_has_its_own_level() -> None:
    torch.manual_seed(0)
    x, other = torch.randn(2, 4, 3, 8, 8)
    t = torch.tensor([2, 0, 3, 1])
    for i in range(4):
        rows = slice(i, i + 1)
        for function in (diffusion.marginal, diffusion.transition):
            together = function(x, t, other, BETAS)
            assert together.dtype == torch.float32
            assert torch.equal(together[rows], function(x[rows], t[rows], other[rows], BETAS))
        mean, deviation = diffusion.posterior(x, other, t, BETAS)
        alone = diffusion.posterior(x[rows], other[rows], t[rows], BETAS)
        assert torch.equal(mean[rows], alone[0]) and torch.equal(deviation[rows], alone[1])
