"""Parts shared by the networks: embeddings, modulation, anti-aliased resampling, initialisation."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(index: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding [B, dim] of step indices [B] (Vaswani et al. 2017)."""
    rates = torch.exp(-math.log(10_000) * torch.arange(dim // 2, device=index.device) / (dim // 2))
    angles = index.float()[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1)


def pixel_norm(z: Tensor) -> Tensor:
    """Latents [B, D] scaled to unit mean square (Karras et al. 2018)."""
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class FiLM(nn.Module):
    """(1 + gamma(e)) h + beta(e), after a norm: a bias before it would be cancelled (METHOD.md 1.4 b, c)."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(embedding, 2 * channels)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``h`` [B, C, H, W], ``embedding`` [B, E]."""
        affine: Tensor = self.affine(embedding)
        gamma, beta = affine[..., None, None].chunk(2, 1)
        return (1 + gamma) * h + beta


class BlurDown(nn.Module):
    """Binomial [1, 2, 1] low pass, then every second pixel (Zhang 2019); reflected edges."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer(
            "kernel", (taps[:, None] * taps).expand(channels, 1, 3, 3).clone(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, ceil(H / 2), ceil(W / 2)]."""
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.kernel.to(x.dtype), stride=2, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Twice the size; equals the official blur-up of [1, 3, 3, 1] (METHOD.md 1.4)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast; empty on the meta device, which has no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def pad_to_multiple(x: Tensor, multiple: int, value: float = -1.0) -> Tensor:
    """Images [B, C, H, W] with background added below and right, to sides that ``multiple`` divides."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), value=value)


def initialise(module: nn.Module) -> None:
    """He normal weights and zero biases; modulations start near the identity.

    With the official gain of 0.02 (METHOD.md 1.7) activations before the first instance norm are smaller than
    its epsilon: such a discriminator stayed at chance for hundreds of steps.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, 0.2)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, FiLM):
            nn.init.normal_(layer.affine.weight, std=1e-3)
