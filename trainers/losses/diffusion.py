"""The discrete variance-preserving diffusion of DDGAN and SynDiff: few steps, each a large one.

Xiao et al. 2022; Ozbey et al. 2023; METHOD.md section 4. ``betas`` [T + 1] are float64, level 0 being the
image itself. Images are [B, C, H, W], levels ``t`` [B] are integers.
"""

import torch
from torch import Tensor

FIRST_BETA = 1e-8
"""Of level 0: above zero, so that every posterior has a density."""


def variance_preserving(steps: int, low: float = 0.1, high: float = 20.0, start: float = 1e-3) -> Tensor:
    """beta_0 .. beta_T of dx = -beta(s)/2 x ds + sqrt(beta(s)) dw, read off at T + 1 times of [start, 1].

    beta(s) rises linearly from ``low`` to ``high``, so that log alpha-bar(s) = -(high - low) s^2 / 2 - low s.
    """
    times = start + (1 - start) * torch.arange(steps + 1, dtype=torch.float64) / steps
    log_remaining = -(high - low) * times.square() / 2 - low * times
    first = torch.full((1,), FIRST_BETA, dtype=torch.float64)
    return torch.cat((first, -torch.expm1(log_remaining.diff())))


def marginal(x0: Tensor, t: Tensor, noise: Tensor, betas: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0) = N(sqrt(alpha-bar_t) x_0, 1 - alpha-bar_t)."""
    remaining = torch.cumprod(1 - betas, 0)
    return _at(remaining.sqrt(), t, x0) * x0 + _at((1 - remaining).sqrt(), t, x0) * noise


def transition(x: Tensor, t: Tensor, noise: Tensor, betas: Tensor) -> Tensor:
    """x_{t+1} ~ q(x_{t+1} | x_t) = N(sqrt(1 - beta_{t+1}) x_t, beta_{t+1}), from ``x`` = x_t."""
    return _at((1 - betas).sqrt(), t + 1, x) * x + _at(betas.sqrt(), t + 1, x) * noise


def posterior(x0: Tensor, following: Tensor, t: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of q(x_t | x_{t+1}, x_0), ``following`` being x_{t+1}: Bayes' rule."""
    remaining = torch.cumprod(1 - betas, 0)
    before, after, beta = remaining[:-1], remaining[1:], betas[1:]
    of_clean = beta * before.sqrt() / (1 - after)
    of_following = (1 - before) * (1 - beta).sqrt() / (1 - after)
    deviation = (beta * (1 - before) / (1 - after)).sqrt()
    mean = _at(of_clean, t, following) * x0 + _at(of_following, t, following) * following
    return mean, _at(deviation, t, following)


def _at(values: Tensor, t: Tensor, like: Tensor) -> Tensor:
    return values[t].to(like.dtype)[:, None, None, None]
