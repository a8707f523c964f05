"""The bridge's generator: the residual network conditioned on step index and latent (METHOD.md 1.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import initialise, pixel_norm, sinusoid
from trainers.networks.brain_norm import Brain, normalised
from trainers.networks.resnet import Norm, ResidualBlock, ResNet, convolution


def _perceptron(inputs: int, width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(width if i else inputs, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class LegacyBlock(nn.Module):
    """The official block as it executes: its first half is IN(h), gamma has no 1 (METHOD.md 1.4 a, c)."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.second = convolution(channels, channels, 3)
        self.affine = nn.Linear(latent, 2 * channels)

    def forward(self, h: Tensor, latent: Tensor, brain: Brain | None = None) -> Tensor:
        """``h`` [B, C, H, W], ``latent`` [B, 256]."""
        gamma, beta = self.affine(latent)[..., None, None].chunk(2, 1)
        return h + normalised(self.second(F.relu(gamma * normalised(h, brain) + beta)), brain)


class Embedding(nn.Module):
    """Step index and latent to one vector [B, width]; ``timeless`` leaves the step out (legacy)."""

    def __init__(self, latent: int, width: int, timeless: bool) -> None:
        super().__init__()
        self.latent = _perceptron(latent, width, 4)
        self.time = None if timeless else _perceptron(64, width, 2)

    def forward(self, k: Tensor, z: Tensor) -> Tensor:
        """``k`` [B] step indices, ``z`` [B, latent]."""
        e: Tensor = self.latent(pixel_norm(z))
        return e if self.time is None else e + self.time(sinusoid(k, 64))


class BridgeGenerator(ResNet):
    """xhat_k = G(x_k, k, z), equation 3.

    ``form`` is "drift": the state moved along the predicted drift for the time that remains,
    xhat_k = x_k + (1 - t_k) v, so that a constant drift predicts the same image at every step; "residual": by
    the whole prediction at any step; "image"; or "legacy": the official network as it executes, without time.
    """

    remaining: Tensor
    """1 - t_k of each step [T]."""

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        blocks: int,
        latent: int,
        form: str,
        times: Sequence[float],
        patch: int = 1,
        norm: Norm = "slice",
    ) -> None:
        legacy, wide = form == "legacy", 4 * width
        embedding = 256 if legacy else wide
        block = LegacyBlock if legacy else ResidualBlock
        body = [block(wide, embedding) for _ in range(blocks)]
        is_residual, self.drifts = form in ("drift", "residual"), form == "drift"
        super().__init__(
            channels=channels, width=width, blocks=body, residual=is_residual, patch=patch, norm=norm
        )
        self.embedding = Embedding(latent, embedding, legacy)
        initialise(self.embedding)
        self.register_buffer("remaining", 1 - torch.tensor(times), persistent=False)

    def forward(self, x: Tensor, k: Tensor, z: Tensor) -> Tensor:
        """Prediction from states [B, C, H, W] in [-1, 1], H and W multiples of 4; k [B], z [B, latent]."""
        return self.image(x, self.embedding(k, z), self.remaining[k] if self.drifts else None)

    def encode(self, x: Tensor, k: Tensor, z: Tensor, blocks: int) -> list[Tensor]:
        """:meth:`ResNet.maps` of states at a step."""
        return self.maps(x, blocks, self.embedding(k, z))
