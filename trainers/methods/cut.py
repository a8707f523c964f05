"""CUT and FastCUT (Park et al. 2020; METHOD.md section 4): one generator, bound to its input by PatchNCE.

FastCUT is lambda_NCE 10, without nce_idt, with flip_equivariance and a constant_part of 0.75.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from trainers.config import Range
from trainers.data.batch import Batch
from trainers.losses import gan, nce, term_gradients
from trainers.methods import base
from trainers.networks.patch_projection import Projection
from trainers.networks.resnet import ResNetGenerator, nce_channels, nce_layers


@dataclass(frozen=True, kw_only=True)
class Config(base.OnePassConfig):
    """Settings of one trial; the defaults are CUT's published ones."""

    lambda_GAN: base.Weight = 1.0
    lambda_NCE: base.Weight = 1.0
    nce_idt: bool = True
    """PatchNCE also between a 3 T slice and its own translation."""
    nce_patches: Annotated[int, Range(8, 4096)] = 256
    flip_equivariance: bool = False
    """Mirror the generator's input half of the time; PatchNCE then compares with the features mirrored."""


class Method(base.OnePass):
    """Networks G, F (PatchNCE's heads) and D."""

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config, self.layers = config, nce_layers(config.generator_blocks)
        generator = self.translators(config, context.config)["G"]
        assert isinstance(generator, ResNetGenerator)
        self.generator = generator
        self.heads = Projection(nce_channels(config.generator_width), 256)
        self.discriminator = config.build_discriminator()
        self.networks = {"G": self.generator, "F": self.heads, "D": self.discriminator}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), config.lr, (0.5, 0.999))
            for name, network in self.networks.items()
        }
        self.finish_build(context)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """D, then G with F, on the same translations."""
        c, size = self.config, len(batch.source)
        images, masks = batch.source, batch.source_mask
        if c.nce_idt:
            images, masks = torch.cat((images, batch.target)), torch.cat((masks, batch.target_mask))
        mirrored = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        if c.flip_equivariance:
            mirrored = torch.rand(len(images), device=images.device) < 0.5
        out = self.generator(mirror(images, mirrored))
        fake = out[:size]
        logits = self.discriminator(torch.cat((batch.target, fake.detach()))).chunk(2)
        losses = {"D": gan.lsgan_discriminator(*logits)}
        minimise(("D",), losses["D"])
        losses["G_GAN"] = c.lambda_GAN * gan.lsgan_generator(self.discriminator(fake))
        losses["G_NCE"] = c.lambda_NCE * self.contrast(images, out, masks, mirrored)
        outputs = {"G_GAN": out, "G_NCE": out}
        if batch.degraded is not None:
            outputs["G_restore"] = self.generator(batch.degraded)
            losses["G_restore"] = c.restoration(outputs["G_restore"], batch)
        weights = {"G_GAN": c.lambda_GAN, "G_NCE": c.lambda_NCE}
        logs = term_gradients.measured(step, losses, outputs, weights)
        minimise(("G", "F"), torch.stack([losses[name] for name in outputs]).sum())
        logs |= {name: loss.detach() for name, loss in losses.items()}
        return logs | {"output_mean": fake.detach().mean()}

    def contrast(self, images: Tensor, out: Tensor, masks: Tensor, mirrored: Tensor) -> Tensor:
        """PatchNCE of translations ``out`` of ``images`` [B, 3, H, W], of which ``mirrored`` [B] were so.

        The mean over all of them: with nce_idt, that of the translations' and of the identities' terms.
        """
        depth = self.layers[-1] - 2
        queries = self.generator.maps(out, depth)
        with torch.no_grad():
            keys = self.generator.maps(images, depth)
        return nce.multi_layer(
            [mirror(queries[i], mirrored) for i in self.layers],
            [keys[i] for i in self.layers],
            masks,
            self.heads,
            self.config.nce_patches,
        )


def mirror(maps: Tensor, chosen: Tensor) -> Tensor:
    """``maps`` [B, C, H, W] with those ``chosen`` [B] mirrored left-right about their middle column W / 2.

    The down-samplings keep every second column from the first: this mirror maps the columns that they keep
    onto one another, where a plain flip would misplace the deepest features by three of their four pixels.
    Column 0, which has no counterpart, repeats column 1.
    """
    turned = maps.flip(-1)
    turned = torch.cat((turned[..., :1], turned[..., :-1]), -1)
    return torch.where(chosen[:, None, None, None], turned, maps)
