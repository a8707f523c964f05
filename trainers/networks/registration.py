"""RegGAN's registration network: a residual U-Net from a pair of images to a flow (METHOD.md section 4)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import initialise


class _Residual(nn.Module):
    """conv, leaky ReLU, conv, skip; no norm, which would hide how far apart the images are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.second(F.leaky_relu(self.first(h), 0.2))
        return h + change


class RegistrationNet(nn.Module):
    """``levels`` halvings, three residual blocks at the bottom, as many doublings with skips, refinement.

    At width 32, seven levels and images of one channel each it is the official network of 2.06 million
    parameters. H and W are at least 2 ** ``levels``.
    """

    def __init__(self, *, channels: int, width: int, levels: int) -> None:
        super().__init__()
        widths, wide = [width] + [2 * width] * (levels - 1), 4 * width
        self.down = nn.ModuleList(
            [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise([2 * channels, *widths])]
        )
        self.blocks = nn.ModuleList([_Residual(b) for b in widths])
        self.bottom = nn.Sequential(
            *(nn.Conv2d(widths[-1], wide, 1), nn.LeakyReLU(0.2)),
            *(_Residual(wide) for _ in range(3)),
            *(nn.Conv2d(wide, widths[-1], 1), nn.LeakyReLU(0.2)),
        )
        below = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            [nn.Conv2d(a + b, b, 3, padding=1) for a, b in zip(below, widths, strict=True)]
        )
        self.refine = nn.Sequential(_Residual(width), nn.Conv2d(width, width, 1), nn.LeakyReLU(0.2))
        self.head = nn.Conv2d(width, 2, 3, padding=1)
        initialise(self)
        nn.init.normal_(self.head.weight, std=1e-5)  # nothing moves at first

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Two images [B, C, H, W] to the flow [B, 2, H, W], pixels, that warps ``moving`` to ``fixed``."""
        h, skips = torch.cat((moving, fixed), 1), []
        for conv, block in zip(self.down, self.blocks, strict=True):
            h = block(F.leaky_relu(conv(h), 0.2))
            skips.append(h)
            h = F.max_pool2d(h, 2)
        h = self.bottom(h)
        for conv, skip in zip(reversed(self.up), reversed(skips), strict=True):
            h = F.interpolate(h, size=skip.shape[2:], mode="bilinear", align_corners=False)
            h = F.leaky_relu(conv(torch.cat((h, skip), 1)), 0.2)
        flow: Tensor = self.head(self.refine(h))
        return flow
