"""The bridge's generator: a residual network conditioned on the step index and a latent (METHOD.md 1.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import BlurDown, FiLM, initialise, pixel_norm, sinusoid, upsample


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=False)


def _conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect")


def _perceptron(inputs: int, width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(width if i else inputs, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def residual(x: Tensor, change: Tensor, edge: float = 0.95) -> Tensor:
    """``x`` moved by ``change`` on the scale of its logits: the identity at 0, never beyond 1 / edge.

    Unbounded, the adversarial game drives intensities off the scale; and black stays black.
    """
    return torch.tanh(torch.atanh(edge * x.clamp(-1, 1)) + change) / edge


class ResidualBlock(nn.Module):
    """conv, IN, FiLM(k, z), ReLU, conv, IN, skip: time and latent enter after the norm, where they act."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels, 3), _conv(channels, channels, 3)
        self.norm, self.film = _norm(channels), FiLM(embedding, channels)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``h`` [B, C, H, W], ``embedding`` [B, E]."""
        y: Tensor = F.relu(self.film(self.norm(self.first(h)), embedding))
        change: Tensor = self.norm(self.second(y))
        return h + change


class LegacyBlock(nn.Module):
    """The official block as it executes: its first half is IN(h), gamma has no 1 (METHOD.md 1.4 a, c)."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.second, self.norm = _conv(channels, channels, 3), _norm(channels)
        self.affine = nn.Linear(latent, 2 * channels)

    def forward(self, h: Tensor, latent: Tensor) -> Tensor:
        """``h`` [B, C, H, W], ``latent`` [B, 256]."""
        gamma, beta = self.affine(latent)[..., None, None].chunk(2, 1)
        change: Tensor = self.norm(self.second(F.relu(gamma * self.norm(h) + beta)))
        return h + change


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


class Generator(nn.Module):
    """xhat_k = G(x_k, k, z), equation 3.

    ``form`` "residual" predicts the change to the state instead of the image: training starts at the
    identity, which for one anatomy at two field strengths is the natural place. "image" predicts the image
    through tanh. "legacy" is the official network as it executes, time-blind, for parity.
    """

    def __init__(self, *, channels: int, width: int, blocks: int, latent: int, form: str) -> None:
        super().__init__()
        self.residual, legacy = form == "residual", form == "legacy"
        wide = 4 * width
        self.stem = _conv(channels, width, 7)
        self.down = nn.ModuleList([_conv(width, 2 * width, 3), _conv(2 * width, wide, 3)])
        self.blur = nn.ModuleList([BlurDown(2 * width), BlurDown(wide)])
        embedding = 256 if legacy else wide
        self.embedding = Embedding(latent, embedding, legacy)
        block = LegacyBlock if legacy else ResidualBlock
        self.blocks = nn.ModuleList([block(wide, embedding) for _ in range(blocks)])
        self.up = nn.ModuleList([_conv(wide, 2 * width, 3), _conv(2 * width, width, 3)])
        self.head = _conv(width, channels, 7)
        initialise(self)
        nn.init.normal_(self.head.weight, std=1e-3)  # near the identity, or near grey

    def forward(self, x: Tensor, k: Tensor, z: Tensor) -> Tensor:
        """Prediction from states [B, C, H, W] in [-1, 1], H and W multiples of 4; k [B], z [B, latent]."""
        h = self.encode(x, k, z, len(self.blocks))[-1]
        for conv in self.up:
            h = F.relu(F.instance_norm(conv(upsample(h))))
        out = self.head(h)
        return residual(x, out) if self.residual else torch.tanh(out)

    def encode(self, x: Tensor, k: Tensor, z: Tensor, blocks: int) -> list[Tensor]:
        """PatchNCE's feature maps: pixels, both convolutions before a blur, the first residual ``blocks``."""
        embedding = self.embedding(k, z)
        h = F.relu(F.instance_norm(self.stem(x)))
        features = [x]
        for conv, blur in zip(self.down, self.blur, strict=True):
            h = conv(h)
            features.append(h)
            h = blur(F.relu(F.instance_norm(h)))
        for block in self.blocks[:blocks]:
            h = block(h, embedding)
            features.append(h)
        return features
