"""Encoders of slices: a residual one for FID (DATA.md B1), and the plain one of earlier studies."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

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
    """Strided convolutions without norm or skips, pooled to 128 features.

    Never trained now: studies of the first measures have its weights on disk as Rad-FID's "rad-fallback".
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = _strided([3, width, 2 * width, 4 * width, FEATURES])

    def forward(self, x: Tensor) -> Tensor:
        """Slices [B, 3, H, W] in [-1, 1] to features [B, 128]."""
        return self.layers(x).mean((2, 3))  # type: ignore[no-any-return]


def _strided(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
