"""Patch networks: discriminators, and the bridge's energy (METHOD.md 1.5)."""

import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import BlurDown, FiLM, initialise, sinusoid


class PatchNet(nn.Module):
    """Four 4x4 convolutions with anti-aliased down-sampling and a map of logits: the 70x70 PatchGAN.

    ``timed`` adds FiLM by a step index after each norm. ``channels`` is 3 for an image, more for pairs of
    them. Without ``norm`` it can use the intensities, which differ between field strengths; the
    official networks normalise them away.
    """

    def __init__(self, *, channels: int, width: int, norm: bool, timed: bool = True) -> None:
        super().__init__()
        self.norm, self.timed = norm, timed
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.convs = nn.ModuleList(
            [nn.Conv2d(a, b, 4, padding=1) for a, b in zip([channels, *widths], widths, strict=False)]
        )
        if timed:
            self.time = nn.Sequential(
                *(nn.Linear(64, 4 * width), nn.LeakyReLU(0.2)),
                *(nn.Linear(4 * width, 4 * width), nn.LeakyReLU(0.2)),
            )
            self.films = nn.ModuleList([FiLM(4 * width, b) for b in widths])
        self.blurs = nn.ModuleList([BlurDown(b) for b in widths[:-1]])
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)
        initialise(self)

    def forward(self, x: Tensor, k: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] and, if timed, steps [B] to logits [B, 1, h, w]."""
        embedding = None
        if self.timed:
            assert k is not None
            embedding = self.time(sinusoid(k, 64))
        for level, conv in enumerate(self.convs):
            x = conv(x)
            x = F.instance_norm(x) if level and self.norm else x
            x = F.leaky_relu(x if embedding is None else self.films[level](x, embedding), 0.2)
            if level < len(self.blurs):
                x = self.blurs[level](x)
        logits: Tensor = self.head(x)
        return logits
