"""SynDiff: adversarial diffusion in few steps, with a cycle of translators that estimate the missing pairs.

Ozbey et al. 2023; METHOD.md 4. In either domain: a non-diffusive translator estimates the slice in
the other; from that estimate and the noisy slice the diffusive generator restores the slice. To
translate, the estimate is replaced by the other domain's real slice. Batches are of different people.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.config import Range
from trainers.data.batch import Batch
from trainers.losses import diffusion, gan
from trainers.methods import base
from trainers.networks.blocks import pad_to_multiple
from trainers.networks.diffusion_generator import DiffusionGenerator
from trainers.networks.discriminator import PatchNet
from trainers.networks.resnet import ResNetGenerator
from trainers.references.config import ReferenceConfig, require_widths

GENERATORS = ("G", "N", "G_source", "N_source")
DISCRIMINATORS = ("D", "P", "D_source", "P_source")


@dataclass(frozen=True, kw_only=True)
class Config(base.TrialConfig):
    """Settings of one trial: the published ones, but for the networks' forms and ``r1_images``."""

    lr: Annotated[float, Range(1e-7, 1e-1)] = 1.6e-4
    """Of the generators; Adam (0.5, 0.9)."""
    discriminator_lr: Annotated[float, Range(1e-7, 1e-1)] = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    diffusion_steps: Annotated[int, Range(1, 16)] = 4
    """T; a translation takes all of them."""
    lambda_cycle: base.Weight = 0.5
    """L1 of a slice translated there and back without diffusion."""
    lambda_diffusive: base.Weight = 0.5
    """L1 of the diffusive generator's clean image."""
    r1_gamma: base.Weight = 1.0
    """Gradient penalty of the diffusive discriminators on real slices' x_t."""
    r1_images: base.Weight = 10.0
    """The same of the translations' discriminators. The published ones have norms instead; with neither,
    the translators' mean intensities oscillated around the real ones."""
    r1_every: Annotated[int, Range(1, 10**6)] = 10
    """Steps between two penalties."""
    generator: Literal["residual", "image"] = "residual"
    """Generators that predict the change to what they are given, or the image."""
    widths: tuple[int, ...] = (64, 64, 128, 128, 256, 256)
    """Channels of the diffusive U-Net's levels."""
    layers: Annotated[int, Range(1, 4)] = 2
    attention: bool = True
    patch: Annotated[int, Range(1, 4)] = 1
    """Pixels that the U-Net folds into channels along each side."""
    latent: Annotated[int, Range(1, 1024)] = 100
    translator_width: base.Width = 64
    translator_blocks: Annotated[int, Range(1, 32)] = 6
    discriminator_width: base.Width = 64
    discriminator_norm: bool = False
    """Instance norms in the discriminators, which hide the intensities."""

    def __post_init__(self) -> None:
        """Raises FieldError for widths that group norms cannot divide."""
        require_widths("widths", self.widths)


@dataclass(frozen=True)
class Domain:
    """The networks that make and judge the images of one field strength."""

    generator: DiffusionGenerator
    """G, conditioned on the other domain."""
    translator: ResNetGenerator
    """N, from the other domain."""
    steps: PatchNet
    """D, of the diffusive generator's pairs (x_t, x_{t+1})."""
    images: PatchNet
    """P, of translations."""

    @classmethod
    def build(cls, config: Config) -> "Domain":
        """Fresh networks."""
        narrow, norm = config.discriminator_width, config.discriminator_norm
        width, blocks = config.translator_width, config.translator_blocks
        return cls(
            diffusive_generator(config),
            ResNetGenerator(channels=3, width=width, blocks=blocks, form=config.generator),
            PatchNet(channels=6, width=narrow, norm=norm),
            PatchNet(channels=3, width=narrow, norm=norm, timed=False),
        )

    def named(self, suffix: str) -> dict[str, nn.Module]:
        """The networks by their letters."""
        networks = (self.generator, self.translator, self.steps, self.images)
        return {letter + suffix: network for letter, network in zip("GNDP", networks, strict=True)}


@dataclass(frozen=True)
class Pass:
    """One batch in one domain: slices [B, 3, H, W], real and generated."""

    domain: Domain
    real: Tensor
    translated: Tensor
    """N's translations of the other domain's slices."""
    cycled: Tensor
    """``real``, translated there and back."""
    t: Tensor
    """Levels [B]."""
    following: Tensor
    """x_{t+1} of ``real``."""
    noisy: Tensor
    """x_t of ``real``."""
    clean: Tensor
    """The diffusive generator's x_0 from ``following``."""
    restored: Tensor
    """x_t drawn from the posterior at ``clean``."""

    def step_logits(self, noisy: Tensor) -> Tensor:
        """D's logits of pairs of ``noisy`` with ``following``."""
        logits: Tensor = self.domain.steps(torch.cat((noisy, self.following), 1), self.t)
        return logits

    def image_logits(self, images: Tensor) -> Tensor:
        """P's logits of images."""
        logits: Tensor = self.domain.images(images)
        return logits


class Method(base.Method):
    """Both domains' networks G, N, D and P; those of the 64 mT domain carry the suffix ``_source``."""

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config = config
        self.betas = diffusion.variance_preserving(config.diffusion_steps)
        self.target, self.source = Domain.build(config), Domain.build(config)
        self.networks = self.target.named("") | self.source.named("_source")
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), config.lr if name in GENERATORS else config.discriminator_lr, (0.5, 0.9)
            )
            for name, network in self.networks.items()
        }
        self.finish_build(context)

    def to(self, device: torch.device) -> None:
        """Move the networks and the noise schedule."""
        super().to(device)
        self.betas = self.betas.to(device)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """All discriminators, then all generators, on the same images."""
        fold = self.target.generator.fold
        source, target = pad_to_multiple(batch.source, fold), pad_to_multiple(batch.target, fold)
        as_source, as_target = self.source.translator(target), self.target.translator(source)
        passes = (
            self._forward(self.target, target, as_target, as_source),
            self._forward(self.source, source, as_source, as_target),
        )
        logs = self._update_discriminators(passes, step, minimise)
        losses = self._generator_losses(passes)
        minimise(GENERATORS, torch.stack(list(losses.values())).sum())
        return logs | {name: loss.detach() for name, loss in losses.items()}

    @staticmethod
    def translators(config: Config, references: ReferenceConfig) -> dict[str, nn.Module]:
        """The diffusive generator of 3 T slices."""
        return {"G": diffusive_generator(config)}

    @staticmethod
    @torch.no_grad()
    def translate(
        networks: Mapping[str, nn.Module], config: Config, source: Tensor, seed: int
    ) -> list[Tensor]:
        """T steps from noise, the slice itself as the estimate; fewer were not trained."""
        generator, (height, width) = networks["G"], source.shape[-2:]
        assert isinstance(generator, DiffusionGenerator)
        estimate, rng = pad_to_multiple(source, generator.fold), torch.Generator().manual_seed(seed)
        steps, size = config.diffusion_steps, len(source)
        noise = torch.randn(steps + 1, 1, *estimate.shape[1:], generator=rng).to(source.device)
        latents = torch.randn(steps, 1, config.latent, generator=rng).to(source.device)
        betas = diffusion.variance_preserving(steps).to(source.device)
        x = clean = noise[steps].expand_as(estimate)
        for level in reversed(range(steps)):
            t = torch.full((size,), level, device=source.device)
            clean = generator(x, estimate, t, latents[level].expand(size, -1))
            mean, deviation = diffusion.posterior(clean, x, t, betas)
            x = mean + deviation * noise[level]
        return [clean[..., :height, :width]]

    def _forward(self, domain: Domain, real: Tensor, translated: Tensor, estimate: Tensor) -> Pass:
        """``estimate`` is the other domain's, translated from ``real``."""
        t = torch.randint(self.config.diffusion_steps, (len(real),), device=real.device)
        noisy = diffusion.marginal(real, t, torch.randn_like(real), self.betas)
        following = diffusion.transition(noisy, t, torch.randn_like(real), self.betas)
        z = torch.randn(len(real), self.config.latent, device=real.device)
        clean = domain.generator(following, estimate, t, z)
        mean, deviation = diffusion.posterior(clean, following, t, self.betas)
        restored = mean + deviation * torch.randn_like(real)
        return Pass(
            domain, real, translated, domain.translator(estimate), t, following, noisy, clean, restored
        )

    def _update_discriminators(
        self, passes: Sequence[Pass], step: int, minimise: base.Minimise
    ) -> dict[str, Tensor]:
        """Generators are detached; the official discriminator step runs back into them (METHOD.md 6)."""
        logs = {
            "D": total(
                gan.classifier(p.step_logits(p.noisy), p.step_logits(p.restored.detach())) for p in passes
            ),
            "P": total(
                gan.classifier(p.image_logits(p.real), p.image_logits(p.translated.detach())) for p in passes
            ),
        }
        loss = logs["D"] + logs["P"]
        if step % self.config.r1_every == 0:
            loss = loss + self.config.r1_gamma * total(penalty(p.step_logits, p.noisy) for p in passes)
            loss = loss + self.config.r1_images * total(penalty(p.image_logits, p.real) for p in passes)
        minimise(DISCRIMINATORS, loss)
        return {name: value.detach() for name, value in logs.items()}

    def _generator_losses(self, passes: Sequence[Pass]) -> dict[str, Tensor]:
        c = self.config
        return {
            "G_D": total(gan.classifier_generator(p.step_logits(p.restored)) for p in passes),
            "G_P": total(gan.classifier_generator(p.image_logits(p.translated)) for p in passes),
            "G_cycle": c.lambda_cycle * total(F.l1_loss(p.cycled, p.real) for p in passes),
            "G_L1": c.lambda_diffusive * total(F.l1_loss(p.clean, p.real) for p in passes),
        }


def diffusive_generator(config: Config) -> DiffusionGenerator:
    """One domain's, freshly built."""
    return DiffusionGenerator(
        channels=3,
        widths=config.widths,
        layers=config.layers,
        attention=config.attention,
        patch=config.patch,
        latent=config.latent,
        form=config.generator,
    )


def penalty(logits: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1 at real images."""
    images = real.detach().clone().requires_grad_()
    return gan.r1(logits(images), images)


def total(losses: Iterable[Tensor]) -> Tensor:
    """Their sum."""
    return torch.stack(list(losses)).sum()
