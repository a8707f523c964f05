"""PatchNCE's projection heads: one two-layer perceptron per feature map (METHOD.md 1.6)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import initialise


class Projection(nn.Module):
    """Feature vectors of several layers to unit vectors of ``width``."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            [nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels]
        )
        initialise(self)

    def forward(self, samples: Sequence[Tensor]) -> list[Tensor]:
        """One [B, P, C] tensor a layer to one [B, P, width] a layer."""
        return [F.normalize(head(s), dim=-1) for head, s in zip(self.heads, samples, strict=True)]
