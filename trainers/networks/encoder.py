"""Encoders: a residual one for FID, a plain one for the radiology fallback (DATA.md B1)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import upsample

FEATURES = 128
"""Width D of every feature vector: a few subjects must have N > D slices (DATA.md B1)."""


class _Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2)
        self.norms = nn.ModuleList([nn.GroupNorm(8, outputs), nn.GroupNorm(8, outputs)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(h + self.skip(x))


class ResidualEncoder(nn.Module):
    """GroupNorm ResNet, average-pooled to 128 features, for self-supervised training on 3 T slices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, FEATURES]
        self.stages = nn.Sequential(*[_Stage(a, b) for a, b in zip([3, *widths], widths, strict=False)])

    def forward(self, x: Tensor) -> Tensor:
        """Slices [B, 3, H, W] in [-1, 1] to features [B, 128]."""
        return self.stages(x).mean((2, 3))  # type: ignore[no-any-return]


class PlainEncoder(nn.Module):
    """Strided convolutions without norm or skips, pooled to 128: the fallback's bottleneck."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = _strided([3, width, 2 * width, 4 * width, FEATURES])

    def forward(self, x: Tensor) -> Tensor:
        """Slices [B, 3, H, W] in [-1, 1] to features [B, 128]."""
        return self.maps(x).mean((2, 3))

    def maps(self, x: Tensor) -> Tensor:
        """Feature maps [B, 128, H / 16, W / 16]."""
        h: Tensor = self.layers(x)
        return h


class PlainDecoder(nn.Module):
    """Feature maps of :class:`PlainEncoder` back to the slice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [FEATURES, 4 * width, 2 * width, width, 3]
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 1, 1) for a, b in pairwise(widths)])

    def forward(self, h: Tensor) -> Tensor:
        """[B, 128, h, w] to [B, 3, 16 h, 16 w]."""
        for conv in self.convs[:-1]:
            h = F.relu(conv(upsample(h)))
        return torch.tanh(self.convs[-1](upsample(h)))


def _strided(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
