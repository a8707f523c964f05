"""One reverse step of a variance-preserving diffusion between any two noise levels.

x_t = alpha_t x_0 + sigma_t eps with alpha^2 + sigma^2 = 1 (METHOD.md section 3).
"""

import math

import torch
from torch import Tensor

Level = tuple[float, float]
"""(alpha, sigma) of a noise level; (1, 0) is the clean image."""


def ancestral_std(noisy: Level, cleaner: Level) -> float:
    """Deviation of the posterior q(x_s | x_t, x_0), DDPM's smaller variance (Ho et al. 2020, eq. 7)."""
    (alpha, sigma), (alpha_s, sigma_s) = noisy, cleaner
    return sigma_s / sigma * math.sqrt(max(0.0, 1 - (alpha / alpha_s) ** 2))


def reverse_step(
    x: Tensor, clean: Tensor, noisy: Level, cleaner: Level, eta: float, noise: Tensor | None
) -> Tensor:
    """x_s from x_t and the predicted x_0 (Song et al. 2021, eq. 12).

    ``eta`` 1 draws from DDPM's posterior, 0 is deterministic (DDIM) and takes no ``noise``.
    """
    (alpha, sigma), (alpha_s, sigma_s) = noisy, cleaner
    std = eta * ancestral_std(noisy, cleaner)
    direction = (x - alpha * clean) / sigma
    mean = alpha_s * clean + math.sqrt(max(0.0, sigma_s**2 - std**2)) * direction
    return mean if noise is None else mean + std * noise


def levels(alpha: Tensor, sigma: Tensor, start: int, stride: int) -> list[Level]:
    """The noise levels of timesteps ``start``, ``start - stride``, ... > 0, then the clean image."""
    times = torch.arange(start, 0, -stride)
    return [*zip(alpha[times].tolist(), sigma[times].tolist(), strict=True), (1.0, 0.0)]
