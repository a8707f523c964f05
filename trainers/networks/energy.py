"""The bridge's energy network of pairs (x_k, xhat_k), and one whose entropy is finite."""

import torch
from torch import Tensor, nn

from trainers.networks.discriminator import PatchNet

PACE = 50.0
"""Log signal-to-noise ratio per unit of its parameter, which Adam moves by its learning rate in a step."""
START = -2.0
"""Of the log ratio: near where slices of a phantom can be distinguished, but not with certainty."""


class NoisyPairEnergy(nn.Module):
    """Energies of a pair a = (x_k, xhat_k) with b = alpha a + sigma eps, alpha^2 + sigma^2 = 1.

    The information of a with itself is infinite, so that its estimate grows to any limit, where its gradient
    ends. That of a with b is finite and differs from the entropy of b alone by a constant:
    I(a; b) = h(b) - h(sigma eps). ``log_ratio`` is log alpha^2 / sigma^2.
    """

    def __init__(self, *, width: int, norm: bool) -> None:
        super().__init__()
        self.net = PatchNet(channels=12, width=width, norm=norm)
        self.ratio = nn.Parameter(torch.zeros(()))

    @property
    def log_ratio(self) -> Tensor:
        """Log of the signal-to-noise ratio."""
        return START + PACE * self.ratio

    def forward(self, pair: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Energy maps [B, 1, h, w] of each pair [B, 6, H, W] with its noisy copy, and with the next one's."""
        ratio = self.log_ratio.detach()
        alpha, sigma = torch.sigmoid(ratio).sqrt(), torch.sigmoid(-ratio).sqrt()
        noisy = alpha * pair + sigma * torch.randn_like(pair)
        both = torch.cat((torch.cat((pair, noisy), 1), torch.cat((pair, noisy.roll(1, 0)), 1)))
        own, cross = self.net(both, torch.cat((k, k))).chunk(2)
        return own, cross
