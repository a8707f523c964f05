"""The diffusion U-Net of the 3 T teacher and of DMD2's critic (METHOD.md sections 2 and 3)."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.patch_filter import STRIDE, LinearFilter

TRAIN_STEPS = 1000
FAINT = 0.1
"""Signal-to-noise ratio alpha / sigma below which less and less of the U-Net's correction counts (t = 660).

What x_t tells beyond the mean falls with alpha, but the U-Net's own error would not.
"""


def schedule(device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """(alpha_t, sigma_t), each [1000]: the linear variance-preserving schedule 1e-4 .. 0.02 (METHOD.md 3)."""
    from diffusers import DDPMScheduler

    cumulative = DDPMScheduler(TRAIN_STEPS, 1e-4, 0.02, "linear").alphas_cumprod.to(device)
    return cumulative.sqrt(), (1 - cumulative).sqrt()


@dataclass(frozen=True)
class Encoded:
    """What the first half of a :class:`Denoiser` makes of noisy images."""

    bottleneck: Tensor
    skips: list[Tensor]
    embedding: Tensor
    """Of time and step [B, E]."""
    linear: Tensor | None
    """The linear filter's velocity [B, C, H, W]; None without a filter."""
    trust: Tensor | float
    """What the U-Net's output is multiplied by [B, 1, 1, 1]."""


class Denoiser(nn.Module):
    """Predicts the velocity v of a noisy image; as a critic also a real/fake logit from its bottleneck.

    A critic is a copy of the teacher, conditioned on the refinement step through an embedding that starts at
    zero, so that it starts as the teacher (METHOD.md 2.1). ``patch`` > 1 folds squares of pixels into
    channels, which divides the cost by its square. With a ``linear_scale`` a linear filter of that scale
    estimates the image first, the U-Net sees both and adds to the filter's velocity, at first nothing.
    """

    alpha: Tensor
    sigma: Tensor

    def __init__(
        self,
        *,
        channels: int,
        widths: Sequence[int],
        layers: int,
        attention: bool,
        patch: int,
        linear_scale: int = 0,
    ) -> None:
        from diffusers import UNet2DModel  # takes seconds; most methods translate without it

        super().__init__()
        self.patch = patch
        last = len(widths) - 1
        self.unet = UNet2DModel(
            in_channels=channels * (2 if linear_scale else 1) * patch**2,
            out_channels=channels * patch**2,
            layers_per_block=layers,
            block_out_channels=tuple(widths),
            down_block_types=tuple(
                "AttnDownBlock2D" if attention and i == last else "DownBlock2D" for i in range(last + 1)
            ),
            up_block_types=tuple(
                "AttnUpBlock2D" if attention and i == 0 else "UpBlock2D" for i in range(last + 1)
            ),
            norm_num_groups=norm_groups(widths),
            add_attention=attention,
        )
        self.linear: LinearFilter | None = None
        if linear_scale:
            self.linear = LinearFilter(channels, linear_scale)
            for parameter in self.unet.conv_out.parameters():
                nn.init.zeros_(parameter)
            for name, values in zip(("alpha", "sigma"), schedule(), strict=True):
                self.register_buffer(name, values, persistent=False)
        self.fold = math.lcm(patch * 2**last, STRIDE * linear_scale or 1)
        """What the sides of an image must be a multiple of."""
        self.bottleneck = widths[-1]
        self.embedding_width = 4 * widths[0]
        self.step_embedding: nn.Embedding | None = None
        self.classifier: nn.Module | None = None

    def critic(self, steps: int, crop: int) -> "Denoiser":
        """A trainable copy with a classifier of ``crop``-pixel images and, if ``steps``, a step embedding."""
        critic = copy.deepcopy(self).requires_grad_(True)
        if steps:
            critic.step_embedding = nn.Embedding(steps, self.embedding_width)
            nn.init.zeros_(critic.step_embedding.weight)
        levels = len(self.unet.config.block_out_channels) - 1
        critic.classifier = classifier_head(self.bottleneck, crop // self.patch // 2**levels)
        return critic

    def encode(self, noisy: Tensor, t: Tensor, k: Tensor | None = None) -> Encoded:
        """Of noisy images [B, C, H, W] at timesteps ``t`` [B] and refinement steps ``k`` [B]."""
        net = self.unet
        linear: Tensor | None = None
        trust: Tensor | float = 1.0
        embedding = net.time_embedding(net.time_proj(t).to(noisy.dtype))
        if self.step_embedding is not None:
            assert k is not None
            embedding = embedding + self.step_embedding(k)
        if self.linear is not None:
            alpha, sigma = (values[t][:, None, None, None] for values in (self.alpha, self.sigma))
            clean = self.linear(noisy, alpha, sigma)
            linear = (alpha * noisy - clean) / sigma
            trust = alpha / (alpha.square() + (FAINT * sigma).square()).sqrt()
            noisy = torch.cat((noisy, clean), 1)
        h = net.conv_in(F.pixel_unshuffle(noisy, self.patch))
        skips = [h]
        for block in net.down_blocks:
            h, outputs = block(hidden_states=h, temb=embedding)
            skips += outputs
        return Encoded(net.mid_block(h, embedding), skips, embedding, linear, trust)

    def decode(self, encoded: Encoded) -> Tensor:
        """The velocity [B, C, H, W] from what :meth:`encode` returned."""
        net, h, skips = self.unet, encoded.bottleneck, list(encoded.skips)
        for block in net.up_blocks:
            count = len(block.resnets)
            h = block(hidden_states=h, res_hidden_states_tuple=tuple(skips[-count:]), temb=encoded.embedding)
            del skips[-count:]
        v = F.pixel_shuffle(net.conv_out(net.conv_act(net.conv_norm_out(h))), self.patch)
        return v if encoded.linear is None else encoded.linear + encoded.trust * v

    def forward(self, noisy: Tensor, t: Tensor, k: Tensor | None = None) -> Tensor:
        """The velocity [B, C, H, W]."""
        return self.decode(self.encode(noisy, t, k))

    def classify(self, bottleneck: Tensor) -> Tensor:
        """Real/fake logits [B] of a bottleneck."""
        assert self.classifier is not None
        logits: Tensor = self.classifier(bottleneck)
        return logits.flatten()


def norm_groups(widths: Sequence[int]) -> int:
    """The most groups, up to 32, that divide every width into two channels or more.

    Groups of one channel would cancel the embeddings added in front of the norm: blind to t and k.
    """
    return max(n for n in range(1, 33) if all(width % n == 0 and width >= 2 * n for width in widths))


def classifier_head(width: int, size: int) -> nn.Module:
    """DMD2's head: strided convolutions down to 4x4, one to 1x1, one logit (METHOD.md section 2)."""
    groups = norm_groups([width])
    layers: list[nn.Module] = []
    while size > 4:
        layers += [nn.Conv2d(width, width, 4, 2, 1), nn.GroupNorm(groups, width), nn.SiLU()]
        size //= 2
    layers += [nn.Conv2d(width, width, size), nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, 1, 1)]
    return nn.Sequential(*layers)
