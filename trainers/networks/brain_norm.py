"""Instance norm whose statistics are those of the brain.

A crop shows more brain than a slice: statistics over all pixels differ between training and translation, by
40 % of the whole change on the laptop profile.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.blocks import full_precision

SIDE = 5
"""Pixels of the window over which a state is averaged to find the brain: the bridge adds noise."""
DARKEST = -0.85
"""Mean intensity in [-1, 1] above which a window shows brain."""
EPSILON = 1e-5
"""Added to variances, as torch's instance norm does."""


@dataclass(frozen=True, eq=False)
class Brain:
    """Where images show brain, as weights at any resolution."""

    inside: Tensor
    """[B, 1, H, W], 1 in the brain; 1 throughout for an image without any."""
    kept: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, images: Tensor) -> "Brain":
        """Of images [B, C, H, W] in [-1, 1]; no gradient."""
        mean = F.avg_pool2d(images.detach().float().mean(1, keepdim=True), SIDE, 1, SIDE // 2, False, False)
        inside = (mean > DARKEST).float()
        none = inside.sum((2, 3), keepdim=True) == 0
        return cls(torch.where(none, 1.0, inside))

    def weights(self, size: tuple[int, int]) -> Tensor:
        """Weights [B, h * w, 1] that sum to 1, by the share of brain in each pixel of a map [h, w]."""
        if size not in self.kept:
            share = F.adaptive_avg_pool2d(self.inside, size).flatten(1)[..., None]
            self.kept[size] = share / share.sum(1, keepdim=True)
        return self.kept[size]


def normalised(h: Tensor, brain: Brain | None) -> Tensor:
    """Maps [B, C, H, W] with mean 0 and variance 1 over the brain, or without one over the slice."""
    if brain is None:
        return F.instance_norm(h)
    with full_precision(h.device):
        flat = h.float().flatten(2)
        weights = brain.weights((h.shape[2], h.shape[3]))
        centred = flat - flat @ weights
        scaled = centred * torch.rsqrt(centred.square() @ weights + EPSILON)
    return scaled.view_as(h).to(h.dtype)
