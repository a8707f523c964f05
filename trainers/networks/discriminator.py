"""Patch networks conditioned on the step: the bridge's discriminator D and energy E (METHOD.md 1.5)."""

import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import BlurDown, FiLM, initialise, sinusoid


class PatchNet(nn.Module):
    """Four 4x4 convolutions with anti-aliased down-sampling, FiLM by step after each norm, a map of logits.

    ``channels`` is 3 for D (an image) and 12 for E (two pairs of state and prediction). Without ``norm`` it
    sees the intensities, much of what tells field strengths apart; the official network normalises them away.
    """

    def __init__(self, *, channels: int, width: int, norm: bool) -> None:
        super().__init__()
        self.norm = norm
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.time = nn.Sequential(
            nn.Linear(64, 4 * width), nn.LeakyReLU(0.2), nn.Linear(4 * width, 4 * width), nn.LeakyReLU(0.2)
        )
        self.convs = nn.ModuleList(
            [nn.Conv2d(a, b, 4, padding=1) for a, b in zip([channels, *widths], widths, strict=False)]
        )
        self.films = nn.ModuleList([FiLM(4 * width, b) for b in widths])
        self.blurs = nn.ModuleList([BlurDown(b) for b in widths[:-1]])
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)
        initialise(self)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """Images [B, C, H, W] and steps [B] to logits [B, 1, h, w]."""
        embedding = self.time(sinusoid(k, 64))
        for level, (conv, film) in enumerate(zip(self.convs, self.films, strict=True)):
            x = conv(x)
            x = F.leaky_relu(film(F.instance_norm(x) if level and self.norm else x, embedding), 0.2)
            if level < len(self.blurs):
                x = self.blurs[level](x)
        logits: Tensor = self.head(x)
        return logits
