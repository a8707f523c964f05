"""RegGAN (Kong et al. 2021), mode NC+R: the generator's images are registered before they are compared.

The correction loss needs slices that roughly correspond; unpaired, the 3 T slice is of another subject at the
same relative height, so the loss pulls towards another person's anatomy where the flow does not explain the
difference.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.config import FieldError, Range
from trainers.data.batch import Batch, Pairing
from trainers.losses import flow, gan, term_gradients
from trainers.methods import base
from trainers.networks.registration import RegistrationNet


@dataclass(frozen=True, kw_only=True)
class Config(base.OnePassConfig):
    """Settings of one trial; defaults of METHOD.md section 4."""

    lr: Annotated[float, Range(1e-7, 1e-1)] = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "constant"
    lambda_GAN: base.Weight = 1.0
    lambda_corr: base.Weight = 20.0
    """Of the correction: mean absolute difference of the warped translation and the 3 T slice."""
    lambda_smooth: base.Weight = 10.0
    """Of the flow's smoothness, in pixels squared."""
    jitter: Annotated[float, Range(0, 10)] = 1.0
    """Affine jitter of both domains: degrees, and one fiftieth of shift and scale."""
    registration_width: base.Width = 32
    registration_levels: Annotated[int, Range(1, 9)] = 7
    """Halvings in the registration network."""
    discriminator_average: bool = False
    """One score an image, as published, instead of one a patch."""

    def __post_init__(self) -> None:
        """Raises FieldError where a crop cannot be halved so often."""
        if self.crop < 2**self.registration_levels:
            allowed = (
                f"at most {self.crop.bit_length() - 1}, as crops of {self.crop} pixels are halved so often"
            )
            raise FieldError("registration_levels", self.registration_levels, allowed)


class Method(base.OnePass):
    """Networks G (generator), R (registration) and D."""

    pairing: ClassVar[Pairing] = "level"

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config = config
        self.generator = self.translators(config, context.config)["G"]
        self.registration = RegistrationNet(
            channels=3, width=config.registration_width, levels=config.registration_levels
        )
        self.discriminator = config.build_discriminator()
        self.networks = {"G": self.generator, "R": self.registration, "D": self.discriminator}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), config.lr, (0.5, 0.999))
            for name, network in self.networks.items()
        }
        self.finish_build(context)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """G with R, then D on the translation by the new G."""
        c = self.config
        source, target = flow.jitter(batch.source, c.jitter), flow.jitter(batch.target, c.jitter)
        fake = self.generator(source)
        field = self.registration(fake, target)
        losses = {
            "G_GAN": c.lambda_GAN * gan.lsgan_generator(self._scores(fake)),
            "G_corr": c.lambda_corr * F.l1_loss(flow.warp(fake, field), target),
            "R_smooth": c.lambda_smooth * flow.smoothness(field),
        }
        outputs = dict.fromkeys(losses, fake)
        if batch.degraded is not None:
            outputs["G_restore"] = self.generator(batch.degraded)
            losses["G_restore"] = c.restoration(outputs["G_restore"], batch)
        weights = {"G_GAN": c.lambda_GAN, "G_corr": c.lambda_corr, "R_smooth": c.lambda_smooth}
        logs = term_gradients.measured(step, losses, outputs, weights)
        minimise(("G", "R"), torch.stack(list(losses.values())).sum())
        with torch.no_grad():
            fake = self.generator(source)
        loss = gan.lsgan_discriminator(*self._scores(torch.cat((target, fake))).chunk(2))
        minimise(("D",), loss)
        moved = field.detach().float().square().sum(1).mean().sqrt()
        logs |= {name: value.detach() for name, value in losses.items()}
        return logs | {"D": loss.detach(), "flow": moved}

    def _scores(self, image: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(image)
        return logits.mean((2, 3)) if self.config.discriminator_average else logits
