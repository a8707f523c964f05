"""The residual translation network that the methods share (METHOD.md 1.4): two down, blocks, two up."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import BlurDown, FiLM, initialise, upsample
from trainers.networks.brain_norm import Brain, normalised

Norm = Literal["slice", "brain"]
"""Over which pixels of a slice instance norms take their statistics."""


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
        self.film = FiLM(embedding, channels) if embedding else None

    def forward(self, h: Tensor, embedding: Tensor | None = None, brain: Brain | None = None) -> Tensor:
        """``h`` [B, C, H, W], ``embedding`` [B, E]."""
        y = normalised(self.first(h), brain)
        if self.film is not None:
            y = self.film(y, embedding)
        return h + normalised(self.second(F.relu(y)), brain)


class ResNet(nn.Module):
    """Stem, two anti-aliased halvings, ``blocks`` at four times ``width``, two doublings, head.

    If ``residual``, it predicts the change to its input, so that training starts at the identity: both images
    show one anatomy. Otherwise it predicts the image through tanh. With ``patch`` 2 squares of pixels are
    folded into channels in place of the first halving: the layers at full resolution, which take most of the
    time, are gone, and twice the width costs as much.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        blocks: Sequence[nn.Module],
        residual: bool,
        patch: int = 1,
        norm: Norm = "slice",
    ) -> None:
        super().__init__()
        self.residual, self.patch, self.norm = residual, patch, norm
        folded, wide, fine = channels * patch**2, 4 * width, patch == 1
        narrow = width if fine else 2 * width
        # In this order: checkpoints number the optimiser's states by parameter.
        self.stem = convolution(folded, narrow, 7 if fine else 5)
        self.down = nn.ModuleList([convolution(narrow, 2 * width, 3), convolution(2 * width, wide, 3)])
        self.blur = nn.ModuleList([BlurDown(2 * width) if fine else nn.Identity(), BlurDown(wide)])
        self.blocks = nn.ModuleList(blocks)
        self.up = nn.ModuleList([convolution(wide, 2 * width, 3)])
        if fine:
            self.up.append(convolution(2 * width, width, 3))
        self.head = convolution(narrow, folded, 7 if fine else 3)
        initialise(self)
        nn.init.normal_(self.head.weight, std=1e-3)  # starts near the identity, or near grey

    def image(self, x: Tensor, embedding: Tensor | None = None, share: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] to images; H and W multiples of 4, ``embedding`` [B, E].

        ``share`` [B]: how much of the predicted change is made; by default all.
        """
        brain = self.brain(x)
        h = self._maps(x, len(self.blocks), embedding, brain)[-1]
        for conv in self.up:
            h = F.relu(normalised(conv(upsample(h)), brain))
        out = F.pixel_shuffle(self.head(h), self.patch)
        if share is not None:
            out = share[:, None, None, None] * out
        return residual(x, out) if self.residual else torch.tanh(out)

    def maps(self, x: Tensor, blocks: int, embedding: Tensor | None = None) -> list[Tensor]:
        """PatchNCE's feature maps: pixels, both convolutions before a blur, the first residual ``blocks``."""
        return self._maps(x, blocks, embedding, self.brain(x))

    def brain(self, x: Tensor) -> Brain | None:
        """Where norms take their statistics; None: over the slice."""
        return Brain.of(x) if self.norm == "brain" else None

    def _maps(self, x: Tensor, blocks: int, embedding: Tensor | None, brain: Brain | None) -> list[Tensor]:
        h = F.relu(normalised(self.stem(F.pixel_unshuffle(x, self.patch)), brain))
        features = [x]
        for conv, blur in zip(self.down, self.blur, strict=True):
            h = conv(h)
            features.append(h)
            h = blur(F.relu(normalised(h, brain)))
        for block in self.blocks[:blocks]:
            h = block(h, embedding, brain)
            features.append(h)
        return features


class ResNetGenerator(ResNet):
    """CycleGAN's, CUT's and RegGAN's generator: one image to another, neither step nor latent.

    ``form`` is "residual" or, as published, "image".
    """

    def __init__(
        self, *, channels: int, width: int, blocks: int, form: str, patch: int = 1, norm: Norm = "slice"
    ) -> None:
        body = [ResidualBlock(4 * width) for _ in range(blocks)]
        is_residual = form == "residual"
        super().__init__(
            channels=channels, width=width, blocks=body, residual=is_residual, patch=patch, norm=norm
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1] to the same; H and W multiples of 4."""
        return self.image(x)


def nce_layers(blocks: int) -> tuple[int, ...]:
    """PatchNCE's five of :meth:`ResNet.maps`: pixels, both convolutions, the first and the middle block."""
    return 0, 1, 2, 3, 3 + blocks // 2


def nce_channels(width: int) -> list[int]:
    """Channels of those feature maps of a three-channel network."""
    return [3, 2 * width, 4 * width, 4 * width, 4 * width]
