"""Restoration in closed form: linear estimates of 3 T from features of a 64 mT slice, where networks start.

Least squares over degraded 3 T slices needs no pairs. Instance norms hide how bright a slice is, so that a
network learns the map of intensities last; this has it before the first step.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.data import channels
from trainers.networks.blocks import full_precision

BLURS = (1.0, 2.0)
"""Standard deviations (pixels) of the blurred images among the features: with them edges can be sharpened."""
RIDGE = 1e-6
"""Added to the diagonal of the mean of squares, for features that are multiples of each other."""

Fitted = tuple[Tensor, Tensor, Tensor]
"""Slices [N, 3, H, W] in [-1, 1] at 64 mT and at 3 T, and where they count [N, H, W] bool."""


class Restorer(nn.Module):
    """Slices [B, 3, H, W] in [-1, 1] to estimates of their 3 T, black where they are. At first the identity.

    Features of T1 and T2 in [0, 1]: both, their squares and product, each blurred, a constant.
    """

    weight: Tensor
    """[features, contrasts], float64."""

    def __init__(self, layout: channels.Layout) -> None:
        super().__init__()
        self.layout: channels.Layout = layout
        count = len(channels.contrasts(layout))
        features = count + count * (count + 1) // 2 + count * len(BLURS) + 1
        self.register_buffer("weight", torch.eye(features, count, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, slices: Iterable[Fitted]) -> "Restorer":
        """Least squares over all pixels that count; itself."""
        size = len(self.weight)
        gram, right = torch.zeros(size, size).double(), torch.zeros_like(self.weight)
        total = 0
        for source, target, counted in slices:
            x = self.features(source).double()[counted]
            y = torch.stack([(t + 1) / 2 for t in channels.split(target, self.layout).values()], -1)
            gram, right = gram + x.T @ x, right + x.T @ y.double()[counted]
            total += len(x)
        ridge = RIDGE * max(1, total) * torch.eye(size).double()
        # Towards the identity, which is what nothing to fit to gives.
        start = torch.eye(*self.weight.shape).double()
        self.weight.copy_(torch.linalg.solve(gram + ridge, right + ridge @ start))
        return self

    def features(self, images: Tensor) -> Tensor:
        """Of slices [B, 3, H, W] in [-1, 1]: [B, H, W, features]."""
        unit = torch.stack([(x.float() + 1) / 2 for x in channels.split(images, self.layout).values()], 1)
        products = [unit[:, i] * unit[:, j] for i in range(unit.shape[1]) for j in range(i, unit.shape[1])]
        smooth = [blurred(unit, deviation) for deviation in BLURS]
        constant = torch.ones_like(unit[:, :1])
        return torch.cat((unit, torch.stack(products, 1), *smooth, constant), 1).movedim(1, -1)

    def forward(self, images: Tensor) -> Tensor:
        """The estimate, clipped to [-1, 1], rebuilt in every channel."""
        with full_precision(images.device):
            estimate = (self.features(images) @ self.weight.float()).clamp(0, 1) * 2 - 1
        names = channels.contrasts(self.layout)
        by_contrast = dict(zip(names, estimate.unbind(-1), strict=True))
        black = (images <= -1).all(1, keepdim=True)
        return torch.where(black, -1.0, channels.restack(by_contrast, self.layout)).to(images.dtype)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images [B, C, H, W] blurred by a Gaussian cut at three deviations; edges are repeated."""
    reach = round(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    taps = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (taps / taps.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(rows, kernel.mT, groups=images.shape[1])
