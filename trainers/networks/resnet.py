"""The residual translation network that the methods share (METHOD.md 1.4): two down, blocks, two up."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import BlurDown, FiLM, initialise, upsample


def norm(channels: int) -> nn.InstanceNorm2d:
    """Instance norm without parameters or running statistics."""
    return nn.InstanceNorm2d(channels, affine=False)


def convolution(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    """A convolution that keeps the size, edges reflected."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="reflect")


def residual(x: Tensor, change: Tensor, edge: float = 0.95) -> Tensor:
    """``x`` moved by ``change`` on the scale of its logits: the identity at 0, never beyond 1 / edge.

    Without the bound, adversarial training drives intensities out of range. A ``change`` moves black and
    white a tenth as far as grey: black may move, the background is painted where an output is finished.
    """
    return torch.tanh(torch.atanh(edge * x.clamp(-1, 1)) + change) / edge


class ResidualBlock(nn.Module):
    """conv, IN, FiLM by the embedding if there is one, ReLU, conv, IN, skip.

    A condition enters after the norm, where it acts (METHOD.md 1.4 b).
    """

    def __init__(self, channels: int, embedding: int = 0) -> None:
        super().__init__()
        self.first, self.second = convolution(channels, channels, 3), convolution(channels, channels, 3)
        self.norm = norm(channels)
        self.film = FiLM(embedding, channels) if embedding else None

    def forward(self, h: Tensor, embedding: Tensor | None = None) -> Tensor:
        """``h`` [B, C, H, W], ``embedding`` [B, E]."""
        y = self.norm(self.first(h))
        if self.film is not None:
            y = self.film(y, embedding)
        change: Tensor = self.norm(self.second(F.relu(y)))
        return h + change


class ResNet(nn.Module):
    """Stem, two anti-aliased halvings, ``blocks`` at four times ``width``, two doublings, head.

    If ``residual``, it predicts the change to its input, so that training starts at the identity: both images
    show one anatomy. Otherwise it predicts the image through tanh.
    """

    def __init__(self, *, channels: int, width: int, blocks: Sequence[nn.Module], residual: bool) -> None:
        super().__init__()
        self.residual, wide = residual, 4 * width
        self.stem = convolution(channels, width, 7)
        self.down = nn.ModuleList([convolution(width, 2 * width, 3), convolution(2 * width, wide, 3)])
        self.blur = nn.ModuleList([BlurDown(2 * width), BlurDown(wide)])
        self.blocks = nn.ModuleList(blocks)
        self.up = nn.ModuleList([convolution(wide, 2 * width, 3), convolution(2 * width, width, 3)])
        self.head = convolution(width, channels, 7)
        initialise(self)
        nn.init.normal_(self.head.weight, std=1e-3)  # starts near the identity, or near grey

    def image(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] to images; H and W multiples of 4, ``embedding`` [B, E]."""
        h = self.maps(x, len(self.blocks), embedding)[-1]
        for conv in self.up:
            h = F.relu(F.instance_norm(conv(upsample(h))))
        out = self.head(h)
        return residual(x, out) if self.residual else torch.tanh(out)

    def maps(self, x: Tensor, blocks: int, embedding: Tensor | None = None) -> list[Tensor]:
        """PatchNCE's feature maps: pixels, both convolutions before a blur, the first residual ``blocks``."""
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


class ResNetGenerator(ResNet):
    """CycleGAN's, CUT's and RegGAN's generator: one image to another, neither step nor latent.

    ``form`` is "residual" or, as published, "image".
    """

    def __init__(self, *, channels: int, width: int, blocks: int, form: str) -> None:
        body = [ResidualBlock(4 * width) for _ in range(blocks)]
        super().__init__(channels=channels, width=width, blocks=body, residual=form == "residual")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1] to the same; H and W multiples of 4."""
        return self.image(x)


def nce_layers(blocks: int) -> tuple[int, ...]:
    """PatchNCE's five of :meth:`ResNet.maps`: pixels, both convolutions, the first and the middle block."""
    return 0, 1, 2, 3, 3 + blocks // 2


def nce_channels(width: int) -> list[int]:
    """Channels of those feature maps of a three-channel network."""
    return [3, 2 * width, 4 * width, 4 * width, 4 * width]
