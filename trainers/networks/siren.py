"""Sinusoidal coordinate networks, one per slice, evaluated together by one batched product per layer.

Sitzmann et al. 2020; the residual blocks of METHOD.md section 4's INR style transfer.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Weights = Sequence[Tensor]
"""Weight [S, out, in] and bias [S, out, 1] a layer, of S networks."""


class Siren(nn.Module):
    """A point of the plane to channels: a sine layer, residual blocks of two sine layers, a linear layer.

    ``w0`` scales every sine's argument. Weights start as published, biases as ``nn.Linear``'s.
    """

    def __init__(self, *, width: int, blocks: int, channels: int = 3, w0: float = 30.0) -> None:
        super().__init__()
        self.w0 = w0
        sizes = [2, *[width] * (2 * blocks + 1), channels]
        linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for index, layer in enumerate(linears):
            bound = 0.5 if index == 0 else math.sqrt(6 / width) / w0
            nn.init.uniform_(layer.weight, -bound, bound)
        self.layers = nn.ModuleList(linears)

    def forward(self, points: Tensor) -> Tensor:
        """Points [P, 2] to values [P, C]."""
        return evaluate(self.stack(1), points.T[None], self.w0)[0].T

    def stack(self, slices: int) -> list[Tensor]:
        """Weights of ``slices`` networks equal to this one; views, not copies."""
        linears = (layer for layer in self.layers if isinstance(layer, nn.Linear))
        both = [p for layer in linears for p in (layer.weight, layer.bias[:, None])]
        return [p.expand(slices, -1, -1) for p in both]


def evaluate(weights: Weights, points: Tensor, w0: float) -> Tensor:
    """Values [S, C, P] of S networks, each at its own points [S, 2, P]; one ``baddbmm`` a layer."""
    *sines, (last, last_bias) = zip(weights[0::2], weights[1::2], strict=True)

    def sine(layer: tuple[Tensor, Tensor], h: Tensor) -> Tensor:
        weight, bias = layer  # w0 times the few weights, not the many activations
        return torch.sin(torch.baddbmm(w0 * bias, w0 * weight, h))

    h = sine(sines[0], points)
    for first, second in zip(sines[1::2], sines[2::2], strict=True):
        h = h + sine(second, sine(first, h))
    return torch.baddbmm(last_bias, last, h)
