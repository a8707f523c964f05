"""CycleGAN (Zhu et al. 2017; METHOD.md section 4): two generators, cycle consistency, two discriminators."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.config import Range
from trainers.data.batch import Batch
from trainers.losses import gan, term_gradients
from trainers.methods import base
from trainers.networks.image_pool import ImagePool
from trainers.networks.resnet import ResNetGenerator


@dataclass(frozen=True, kw_only=True)
class Config(base.OnePassConfig):
    """Settings of one trial; the defaults are the published ones. A is 64 mT, B is 3 T."""

    lambda_A: base.Weight = 10.0
    lambda_B: base.Weight = 10.0
    """Cycle consistency of A through B, and of B through A."""
    lambda_idt: base.Weight = 0.5
    """Identity loss of images of the target domain; relative to lambda_A and lambda_B."""
    pool_size: Annotated[int, Range(0, 10_000)] = 50
    """Earlier translations on which the discriminators train; 0: none."""
    discriminator_lr: Annotated[float, Range(1e-7, 1e-1)] = 2e-4
    """Adam's of the discriminators."""
    generator: Literal["residual", "image"] = "image"
    """Predicts the image, as published, or a change to its input. Two residual generators start as
    identities, a closed cycle, where the gradient of the absolute error, at the published weights, exceeds
    the discriminators'."""
    discriminator_norm: bool = True
    """Instance norms in the discriminators, as published; they hide the intensities."""


class Method(base.OnePass):
    """Generators G (to 3 T) and G_back, discriminators D (of 3 T) and D_back, and a pool for each."""

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config = config
        self.networks = {}
        for end in ("", "_back"):
            self.networks |= {
                f"G{end}": self.translators(config, context.config)["G"],
                f"D{end}": config.build_discriminator(),
                f"pool{end}": ImagePool(config.pool_size, 3, config.crop),
            }
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                config.lr if isinstance(network, ResNetGenerator) else config.discriminator_lr,
                (0.5, 0.999),
            )
            for name, network in self.networks.items()
            if not isinstance(network, ImagePool)
        }
        self.finish_build(context)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """Both generators, then both discriminators on pooled translations."""
        c, to_target, to_source = self.config, self.networks["G"], self.networks["G_back"]
        a, b = batch.source, batch.target
        forward = to_target(torch.cat((a, b)))
        fake_b, same_b = forward.chunk(2)
        fake_a, same_a = to_source(torch.cat((b, a))).chunk(2)
        back = to_target(fake_a)
        losses = {
            "G_GAN": gan.lsgan_generator(self.networks["D"](fake_b)),
            "G_back_GAN": gan.lsgan_generator(self.networks["D_back"](fake_a)),
            "G_cycle": c.lambda_A * distance(to_source(fake_b), a),
            "G_back_cycle": c.lambda_B * distance(back, b),
            "G_idt": c.lambda_idt * c.lambda_B * distance(same_b, b),
            "G_back_idt": c.lambda_idt * c.lambda_A * distance(same_a, a),
        }
        outputs = {"G_GAN": forward, "G_cycle": forward, "G_idt": forward, "G_back_cycle": back}
        if batch.degraded is not None:
            outputs["G_restore"] = to_target(batch.degraded)
            losses["G_restore"] = c.restoration(outputs["G_restore"], batch)
        weights = {"G_cycle": c.lambda_A, "G_back_cycle": c.lambda_B, "G_idt": c.lambda_idt * c.lambda_B}
        logs = term_gradients.measured(step, losses, outputs, weights)
        minimise(("G", "G_back"), torch.stack(list(losses.values())).sum())
        losses["D"] = self._update_discriminator("", b, fake_b, minimise)
        losses["D_back"] = self._update_discriminator("_back", a, fake_a, minimise)
        logs |= {name: loss.detach() for name, loss in losses.items()}
        return logs | {"output_mean": fake_b.detach().mean()}

    def _update_discriminator(self, end: str, real: Tensor, fake: Tensor, minimise: base.Minimise) -> Tensor:
        """Least squares, halved as published, on the real slices and the pool's."""
        pooled = self.networks[f"pool{end}"](fake)
        loss = gan.lsgan_discriminator(*self.networks[f"D{end}"](torch.cat((real, pooled))).chunk(2))
        minimise((f"D{end}",), loss)
        return loss


def distance(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute difference: of a cycle, and of an identity."""
    return F.l1_loss(image.float(), reference.float())
