"""Distribution matching distillation (DMD2) of the bridge's predictions to the 3 T teacher.

Equations 1, 2 and 6a of METHOD.md section 5; Yin et al. 2024. alpha, sigma: the variance-preserving schedule,
x_t = alpha_t x + sigma_t eps.
"""

import torch
from torch import Tensor


def diffuse(x: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """F(x, t) = alpha_t x + sigma_t eps; ``alpha`` and ``sigma`` have shape [B, 1, 1, 1]."""
    return alpha * x + sigma * noise


def velocity(x: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The v-prediction target alpha eps - sigma x (Salimans & Ho 2022): well scaled at every t."""
    return alpha * noise - sigma * x


def clean_from_velocity(noisy: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor, limit: float = 1.5) -> Tensor:
    """Posterior mean mu = alpha x_t - sigma v of the clean image, clamped alike for both networks."""
    return (alpha * noisy - sigma * v).clamp(-limit, limit)


def dmd_direction(x: Tensor, mu_real: Tensor, mu_fake: Tensor, mask: Tensor, floor: float = 1e-2) -> Tensor:
    """Equation 6a with DMD2's weight w_t: (mu_fake - mu_real) / mean |x - mu_real|, in the brain; 0 outside.

    ``mask`` [B, H, W]: outputs are black outside it, and the mean would vanish with the background's share.
    """
    inside = mask[:, None].bool().expand_as(x)
    error = torch.where(inside, (x - mu_real).abs(), 0.0).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)
    return torch.where(inside, (mu_fake - mu_real) / error.clamp_min(floor)[:, None, None, None], 0.0)


def dmd_loss(x: Tensor, direction: Tensor, mask: Tensor) -> Tensor:
    """A loss whose gradient at ``x`` is ``direction`` over the batch's number of brain pixels x channels.

    0.5 mean (x - stopgrad(x - g))^2, the mean over the brain: its weight means the same for any brain share.
    """
    inside = mask[:, None].bool().expand_as(x)
    squared = (x - (x - torch.nan_to_num(direction)).detach()).square()
    return 0.5 * torch.where(inside, squared, 0.0).sum() / inside.sum().clamp_min(1)


def warm_up(step: int, steps: int, fraction: float, ramp: float = 1.0) -> float:
    """0 for the first ``fraction`` of training, then a linear ramp to 1 over ``ramp * fraction`` more."""
    start = fraction * steps
    return min(1.0, max(0.0, (step - start) / max(1.0, ramp * start))) if fraction else 1.0
