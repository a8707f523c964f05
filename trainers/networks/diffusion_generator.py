"""SynDiff's diffusive generator: one large denoising step, conditioned on the other domain (METHOD.md 4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.networks.blocks import initialise, pixel_norm
from trainers.networks.denoiser import norm_groups
from trainers.networks.resnet import residual


class DiffusionGenerator(nn.Module):
    """The clean image x_0 from a noisy one, a source estimate, the level and a latent.

    ``form`` is "residual", which predicts the change to the source estimate and so starts at it, or, as
    published, "image". ``patch`` > 1 folds squares of pixels into channels, which divides the cost by its
    square. ``attention`` is at the last but one level, a sixteenth of the published size, and at the deepest.
    """

    def __init__(
        self,
        *,
        channels: int,
        widths: Sequence[int],
        layers: int,
        attention: bool,
        patch: int,
        latent: int,
        form: str,
    ) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.patch, self.form = patch, form
        self.fold = patch * 2 ** (len(widths) - 1)
        """What the sides of an image must be a multiple of."""
        attends = [attention and level == len(widths) - 2 for level in range(len(widths))]
        self.unet = UNet2DModel(
            in_channels=2 * channels * patch**2,
            out_channels=channels * patch**2,
            layers_per_block=layers,
            block_out_channels=tuple(widths),
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
            norm_num_groups=norm_groups(widths),
            add_attention=attention,
            class_embed_type="identity",
        )
        nn.init.normal_(self.unet.conv_out.weight, std=1e-3)  # near the source estimate, or near grey
        nn.init.zeros_(self.unet.conv_out.bias)
        self.mapping = mapping(latent, 4 * widths[0])

    def forward(self, noisy: Tensor, estimate: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Images x_{t+1} and source estimates [B, C, H, W], levels ``t`` [B], latents [B, D] to x_0.

        H and W are multiples of ``fold``.
        """
        folded = F.pixel_unshuffle(torch.cat((noisy, estimate), 1), self.patch)
        change = F.pixel_shuffle(self.unet(folded, t, self.mapping(z)).sample, self.patch)
        return residual(estimate, change) if self.form == "residual" else torch.tanh(change)


def mapping(latent: int, width: int) -> nn.Sequential:
    """Four layers from a latent of unit mean square to what joins the time embedding [B, width]."""
    layers: list[nn.Module] = [PixelNorm()]
    for inputs in (latent, width, width):
        layers += [nn.Linear(inputs, width), nn.LeakyReLU(0.2)]
    hidden = nn.Sequential(*layers)
    initialise(hidden)
    # PyTorch's smaller start for the last, as in the time embedding: neither shouts the other down
    return nn.Sequential(hidden, nn.Linear(width, width))


class PixelNorm(nn.Module):
    """Latents [B, D] scaled to unit mean square."""

    def forward(self, z: Tensor) -> Tensor:
        """[B, D] to the same."""
        return pixel_norm(z)
