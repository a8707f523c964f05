"""INR style transfer: a SIREN fitted to every slice, many slices at once (METHOD.md section 4).

Each network renders its slice's brain; losses in features of the frozen 3 T encoder keep the slice's content
and impose the style of a 3 T slice. Training learns the initial weights that all fits share.

FID and KID use the same encoder, so they favour this method (on the phantom, encoders trained from other
seeds rank the result behind its input).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.config import Range
from trainers.data.batch import Batch
from trainers.losses import style
from trainers.methods import base
from trainers.networks.blocks import full_precision
from trainers.networks.encoder import FEATURES, ResidualEncoder
from trainers.networks.resnet import residual
from trainers.networks.siren import Siren, evaluate
from trainers.references.config import ReferenceConfig

COARSE = 32
"""Side of the coarse slices by which a slice finds its style."""


@dataclass(frozen=True, kw_only=True)
class Config(base.TrialConfig):
    """Settings of one trial; ``lr`` is that of the shared initial weights."""

    lambda_content: base.Weight = 3.0
    lambda_style: base.Weight = 15.0
    lambda_l1: base.Weight = 1.0
    form: Literal["residual", "image"] = "residual"
    """The network is the change to its slice, on the scale of logits; or, as published, the image."""
    width: Annotated[int, Range(4, 1024)] = 256
    blocks: Annotated[int, Range(1, 16)] = 4
    w0: Annotated[float, Range(1, 100)] = 30.0
    unit: Annotated[int, Range(16, 1024)] = 112
    """Pixels from a slice's centre to coordinate 1: half the published 224, whatever the slice's size, so
    that a training crop and a whole slice need the same frequencies."""
    iterations: Annotated[int, Range(1, 10**5)] = 1001
    """Adam steps that fit a slice when it is translated."""
    fit_lr: Annotated[float, Range(1e-6, 1e-1)] = 1e-4
    inner_steps: Annotated[int, Range(1, 100)] = 3
    """Adam steps that fit a crop in training."""
    slices_at_once: Annotated[int, Range(1, 1024)] = 16
    levels: Annotated[int, Range(1, 512)] = 32
    """Slices of the style subject, at equal distances from its lowest to its highest."""


@dataclass(frozen=True)
class PixelGrid:
    """Pixels at which the networks of S slices are evaluated: the brain's, padded to one number P."""

    index: Tensor
    """Flat pixels [S, P]; H W where there is none."""
    points: Tensor
    """Coordinates [S, 2, P], (y, x), in units of ``Config.unit`` pixels."""
    canvas: Tensor
    """[S, 3, H, W], the slices that the networks change."""


@dataclass(frozen=True)
class Fit:
    """Fitted slices: their networks' weights and their sources."""

    weights: Sequence[Tensor]
    source: Tensor
    centre: Tensor
    """Coordinates [S, 2] of the slices' centres."""
    config: Config


class StyleBank(nn.Module):
    """Coarse views and Gram matrices of one 3 T subject's slices."""

    views: Tensor

    def __init__(self, levels: int, encoder_width: int) -> None:
        super().__init__()
        self.register_buffer("views", torch.zeros(levels, 3, COARSE * COARSE))
        self.stages = [encoder_width, 2 * encoder_width, 4 * encoder_width, FEATURES]
        for stage, channels in enumerate(self.stages):
            self.register_buffer(f"gram{stage}", torch.zeros(levels, channels, channels))

    @torch.no_grad()
    def fill(self, example_subject: Tensor, encoder: ResidualEncoder) -> None:
        """Take the style of all slices [L, 3, H, W] of one subject."""
        rows = torch.linspace(0, len(example_subject) - 1, len(self.views)).round().long()
        slices = example_subject[rows]
        self.views.copy_(coarse_views(slices))
        for stage, matrices in enumerate(style.grams(encoder, slices, brain_mask(slices))):
            self.get_buffer(f"gram{stage}").copy_(matrices)

    def nearest(self, images: Tensor) -> Tensor:
        """Levels [B] whose coarse views correlate best with those of slices [B, 3, H, W].

        A slice's height is not given. Correlation ignores a contrast's scale, and separates levels from head
        sizes better than the overlap of brain masks (phantom: error 0.36 levels instead of 0.86).
        """
        return torch.einsum("bcp,lcp->bl", coarse_views(images), self.views).argmax(1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Gram matrices [B, C, C] a stage of the levels nearest to slices [B, 3, H, W]."""
        chosen = self.nearest(images)
        return [self.get_buffer(f"gram{stage}")[chosen] for stage in range(len(self.stages))]


def brain_mask(images: Tensor) -> Tensor:
    """Brain [B, H, W] of skull-stripped slices: all that is not background in some channel."""
    return (images > -1).any(1)


def coarse_views(images: Tensor) -> Tensor:
    """Slices [B, 3, H, W] as unit vectors [B, 3, 32 * 32], each channel about its mean."""
    small = F.adaptive_avg_pool2d(images, COARSE).flatten(2)
    return F.normalize(small - small.mean(2, keepdim=True), dim=2)


def pixel_grid(source: Tensor, centre: Tensor, size: tuple[int, int], unit: int) -> PixelGrid:
    """The brain's pixels of slices [S, 3, H, W] on a grid of ``size`` with the same corners."""
    canvas, mask = source, brain_mask(source)
    native = tuple(source.shape[-2:])
    if size != native:
        enlarged = F.interpolate(mask[:, None].float(), size, mode="bilinear", align_corners=True)
        mask = enlarged[:, 0] > 0.5
        canvas = F.interpolate(source, size, mode="bilinear", align_corners=True)
    inside = mask.flatten(1)
    count = inside.shape[1] if inside.is_meta else int(inside.sum(1).max())
    order = torch.argsort(~inside, dim=1, stable=True)[:, :count]
    index = torch.where(inside.gather(1, order), order, size[0] * size[1])
    half = [(n - 1) / 2 / unit for n in native]
    axes = [
        torch.linspace(-h, h, n, device=source.device, dtype=source.dtype)
        for h, n in zip(half, size, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    points = grid[:, order].transpose(0, 1) + centre[..., None]
    return PixelGrid(index, points, torch.where(mask[:, None], canvas, -1.0))


def image(weights: Sequence[Tensor], at: PixelGrid, config: Config) -> Tensor:
    """Images [S, 3, H, W]: the networks' values in the brain, -1 elsewhere."""
    slices, channels, height, width = at.canvas.shape
    index = at.index[:, None].expand(-1, channels, -1)
    values = evaluate(weights, at.points, config.w0)
    if config.form == "residual":
        flat = F.pad(at.canvas.flatten(2), (0, 1), value=-1.0)
        values = residual(flat.gather(2, index), values)
    black = values.new_full((slices, channels, height * width + 1), -1.0)
    return black.scatter(2, index, values)[:, :, :-1].reshape(at.canvas.shape)


def render(fit: Fit, height: int, width: int) -> Tensor:
    """Fitted slices [S, 3, height, width] at any resolution; the corner pixels' centres stay in place."""
    return image(
        fit.weights, pixel_grid(fit.source, fit.centre, (height, width), fit.config.unit), fit.config
    )


def objective(output: Tensor, target: style.FitTarget, encoder: ResidualEncoder, config: Config) -> Tensor:
    """The published loss per slice [S]."""
    content, gram, reconstruction = style.losses(encoder, output, target)
    return config.lambda_content * content + config.lambda_style * gram + config.lambda_l1 * reconstruction


def fit_slices(
    siren: Siren,
    encoder: ResidualEncoder,
    target: style.FitTarget,
    centre: Tensor,
    config: Config,
    iterations: int,
) -> tuple[Fit, Tensor]:
    """Fit all slices of ``target`` from the shared weights; also their losses [S] before the last step.

    Slices are independent: the loss is their sum and Adam works element by element.
    """
    source = target.source
    weights = [p.detach().clone().requires_grad_() for p in siren.stack(len(source))]
    optimizer = torch.optim.Adam(weights, config.fit_lr, fused=not source.is_meta)
    at = pixel_grid(source, centre, (source.shape[-2], source.shape[-1]), config.unit)
    loss = source.new_zeros(len(source))
    for _ in range(iterations):
        loss = objective(image(weights, at, config), target, encoder, config)
        for weight, gradient in zip(weights, torch.autograd.grad(loss.sum(), weights), strict=True):
            weight.grad = gradient
        optimizer.step()
    return Fit([w.detach() for w in weights], source, centre, config), loss.detach()


class Method(base.Method):
    """Network INR, the shared initial weights; the encoder and the style bank are not trained.

    In training, the style is that of a crop of a 3 T slice at the height and position of the 64 mT crop
    (pairing by level), as the level cannot be found from a crop.
    """

    pairing = "level"
    caveat = "fitted in the features of FID's and KID's own encoder, which flatters both"

    def __init__(self, config: Config, context: base.Context) -> None:
        self.config = config
        built = self.translators(config, context.config)
        siren, bank = built["INR"], built["style"]
        assert isinstance(siren, Siren) and isinstance(bank, StyleBank)
        assert isinstance(context.encoder, ResidualEncoder)
        bank.fill(context.example_subject, context.encoder)
        self.siren, self.networks = siren, {"INR": siren}
        self.optimizers = {"INR": torch.optim.Adam(siren.parameters(), config.lr)}
        self.finish_build(context, encoder=context.encoder, style=bank)

    def step(self, batch: Batch, step: int, minimise: base.Minimise) -> dict[str, Tensor]:
        """First-order meta-learning (Nichol et al. 2018): fit, then follow the fits' mean gradient.

        The surrogate's gradient at the shared weights is that mean. Crops are put anywhere within the unit
        square, as parts of slices, so that the weights are learnt at all its coordinates.
        """
        encoder, config = self.averaged["encoder"], self.config
        assert isinstance(encoder, ResidualEncoder)
        room = max(0.0, 1 - config.crop / (2 * config.unit))
        centre = room * (2 * torch.rand(len(batch.source), 2, device=batch.source.device) - 1)
        with full_precision(batch.source.device):  # w0 would amplify rounding errors
            grams = style.grams(encoder, batch.target, brain_mask(batch.target))
            target = style.fit_target(encoder, batch.source, brain_mask(batch.source), grams)
            fit, first = fit_slices(self.siren, encoder, target, centre, config, config.inner_steps)
            weights = [w.requires_grad_() for w in fit.weights]
            loss = objective(render(fit, *batch.source.shape[-2:]), target, encoder, config)
            mean = [g.mean(0) for g in torch.autograd.grad(loss.sum(), weights)]
            shared = [p[0] for p in self.siren.stack(1)]
            minimise(("INR",), torch.stack([(p * g).sum() for p, g in zip(shared, mean, strict=True)]).sum())
        return {"before": first.mean(), "fitted": loss.detach().mean()}

    @staticmethod
    def translators(config: Config, references: ReferenceConfig) -> dict[str, nn.Module]:
        """Shared weights, frozen encoder and style bank."""
        return {
            "INR": Siren(width=config.width, blocks=config.blocks, w0=config.w0),
            "encoder": ResidualEncoder(references.encoder_width),
            "style": StyleBank(config.levels, references.encoder_width),
        }

    @staticmethod
    def translate(
        networks: Mapping[str, nn.Module], config: Config, source: Tensor, seed: int
    ) -> list[Tensor]:
        """Fit every slice and render it on its own grid; no noise, so ``seed`` changes nothing."""
        siren, encoder, bank = networks["INR"], networks["encoder"], networks["style"]
        assert isinstance(siren, Siren) and isinstance(encoder, ResidualEncoder)
        outputs = []
        for part in torch.split(source, config.slices_at_once):
            mask = brain_mask(part)
            target = style.fit_target(encoder, part, mask, bank(part))
            with torch.enable_grad():
                fit, _ = fit_slices(
                    siren, encoder, target, part.new_zeros(len(part), 2), config, config.iterations
                )
            with torch.no_grad():
                outputs.append(render(fit, part.shape[-2], part.shape[-1]))
        return [torch.cat(outputs)]
