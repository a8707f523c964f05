"""The Schrodinger bridge of UNSB: time grid, Gaussian bridge step, transport cost and entropy.

METHOD.md sections 1.1, 1.2, 1.6 and 5 (Kim et al., Unpaired Neural Schrodinger Bridge, 2023).
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

TARGET = 1.5
"""Nats of information at which the entropy is estimated: well below the log of a batch's energies."""


def time_grid(steps: int) -> list[float]:
    """The ``steps + 1`` times 0 = t_0 < 1/2 = t_1 < ... < t_T = 1, harmonic increments (METHOD.md 1.1)."""
    if steps == 1:
        return [0.0, 1.0]
    harmonic = [sum(1 / j for j in range(1, i + 1)) for i in range(steps)]
    return [0.0] + [0.5 + 0.5 * h / harmonic[-1] for h in harmonic]


def bridge_fraction(grid: list[float], i: int) -> float:
    """s_i = (t_{i+1} - t_i) / (1 - t_i), the share of the remaining time that step ``i`` covers."""
    return (grid[i + 1] - grid[i]) / (1 - grid[i])


def bridge_std(grid: list[float], i: int, tau: float) -> float:
    """Deviation sqrt(tau s_i (1 - s_i)(1 - t_i)) of the bridge at t_{i+1} given t_i (METHOD.md 1.2)."""
    s = bridge_fraction(grid, i)
    return math.sqrt(tau * s * (1 - s) * (1 - grid[i]))


def bridge_step(
    x: Tensor, xhat: Tensor, grid: list[float], i: int, noise: Tensor | None, tau: float
) -> Tensor:
    """Equation 4: x_{t_{i+1}} from the state ``x`` and prediction ``xhat``; ``noise=None`` is inference."""
    s = bridge_fraction(grid, i)
    mean = (1 - s) * x + s * xhat
    return mean if noise is None else mean + bridge_std(grid, i, tau) * noise


def predictions(
    generator: nn.Module, x: Tensor, z: Tensor, grid: list[float], noise: list[Tensor] | None, tau: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """States and predictions (x_k, xhat_k) along the bridge (equations 3 and 4), ``noise=None`` at inference.

    ``z`` is [steps, B, latent]; one step is taken for each latent.
    """
    for k, latent in enumerate(z):
        xhat = generator(x, torch.full((len(x),), k, device=x.device), latent)
        yield x, xhat
        x = bridge_step(x, xhat, grid, k, None if noise is None else noise[k], tau)


def bounded(energy: Tensor, limit: float = 5.0) -> Tensor:
    """Energies within +-``limit``, smoothly (after the clipping of Song & Ermon 2020, section 4).

    The information of a continuous pair with itself is infinite, so the bound below would grow without end
    and, through the entropy, drive the generator's contrast beyond the data's.
    """
    return limit * torch.tanh(energy.float() / limit)


def log_mean_exp(energy: Tensor) -> Tensor:
    """Log of the mean of exp over all elements, float32: the Donsker-Varadhan normaliser."""
    return torch.logsumexp(energy.float().flatten(), 0) - math.log(energy.numel())


def energy_loss(own: Tensor, cross: Tensor) -> Tensor:
    """Loss of the energy network: -(Donsker-Varadhan bound) + normaliser^2, which pins its free constant.

    ``own`` are energies of (x_k, xhat_k) with itself, ``cross`` with another sample's pair (METHOD.md 1.6).
    """
    normaliser = log_mean_exp(cross)
    return -own.float().mean() + normaliser + normaliser**2


def entropy(own: Tensor, cross: Tensor) -> Tensor:
    """Donsker-Varadhan estimate of the entropy of the pair (x_k, xhat_k) (METHOD.md 1.6)."""
    return own.float().mean() - log_mean_exp(cross)


def keep_information(log_ratio: Tensor, information: Tensor, target: float = TARGET) -> Tensor:
    """A term whose gradient at the noisy copy's ``log_ratio`` is ``information`` - ``target``, in nats.

    Descent adds noise where the estimate is above the target: it could not rise, as none from n
    other samples exceeds log n (McAllester & Stratos 2020).
    """
    return log_ratio * (information - target).detach()


def transport_cost(x: Tensor, xhat: Tensor) -> Tensor:
    """Mean squared displacement E (x_k - xhat_k)^2 per pixel."""
    return (x.float() - xhat.float()).square().mean()


def brain_cost(x: Tensor, xhat: Tensor, mask: Tensor) -> Tensor:
    """The paper's E ||x_k - xhat_k||^2 over the number of the brain's values: ``mask`` [B, H, W].

    The norm is the whole image's, the divisor not: it means the same for any share of background, which it
    keeps black.
    """
    squared = (x.float() - xhat.float()).square()
    return squared.sum() / (mask.sum() * x.shape[1]).clamp_min(1)


def code_weights(time: float, tau: float, w_cost: float, w_ent: float) -> tuple[float, float]:
    """Factors of cost and entropy in L_SB = tau [w_cost cost - w_ent (1 - t_k) H]: METHOD.md 1.6.

    The official scale with the paper's time factor. tau, the bridge's variance, also scales the cost.
    """
    return tau * w_cost, -tau * w_ent * (1 - time)


def paper_weights(time: float, tau: float, w_cost: float, w_ent: float) -> tuple[float, float]:
    """Factors of cost and entropy in L_SB = w_cost cost - w_ent tau (1 - t_k) H.

    The paper's ||x_k - x_1||^2 - 2 tau (1 - t_k) H, divided by the D values of the brain, has w_cost = 1 and
    w_ent = 2 / D: about 3e-4 for a crop of 64 pixels, where the entropy hardly acts.
    """
    return w_cost, -tau * w_ent * (1 - time)
