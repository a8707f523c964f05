"""Style transfer (Gatys et al. 2016): features keep the content, their Gram matrices carry the style.

METHOD.md section 4, INR style transfer. Losses are per slice, so that no slice of a batch influences another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.losses.nce import shrink_mask
from trainers.networks.encoder import ResidualEncoder


@dataclass(frozen=True)
class FitTarget:
    """Constant targets of a fit, computed once and not in each iteration."""

    source: Tensor
    """[B, 3, H, W]."""
    content: Sequence[Tensor]
    """The source's feature maps [B, C, h, w], a stage each."""
    inside: Sequence[Tensor]
    """The source's brain [B, h, w] at each stage."""
    grams: Sequence[Tensor]
    """The style's Gram matrices [B, C, C], a stage each."""


def stage_maps(encoder: ResidualEncoder, images: Tensor) -> list[Tensor]:
    """Feature maps [B, C, h, w] after each of the encoder's stages."""
    maps = [images]
    for stage in encoder.stages:
        maps.append(stage(maps[-1]))
    return maps[1:]


def gram(features: Tensor, inside: Tensor) -> Tensor:
    """Mean outer product [B, C, C] of feature vectors [B, C, h, w] over the brain ``inside`` [B, h, w].

    A mean, unlike the published sum over the image, compares slices and crops of any size.
    """
    flat, weight = features.flatten(2), inside.flatten(1)[:, None].to(features.dtype)
    return torch.bmm(flat * weight, flat.transpose(1, 2)) / weight.sum(2, keepdim=True).clamp_min(1)


def stage_masks(mask: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """A brain mask [B, H, W] at the size of each feature map."""
    return [shrink_mask(mask, (m.shape[-2], m.shape[-1])) for m in maps]


def grams(encoder: ResidualEncoder, images: Tensor, mask: Tensor) -> list[Tensor]:
    """The style of images [B, 3, H, W] with masks [B, H, W]: a Gram matrix [B, C, C] a stage."""
    maps = stage_maps(encoder, images)
    return [gram(m, i) for m, i in zip(maps, stage_masks(mask, maps), strict=True)]


def fit_target(encoder: ResidualEncoder, source: Tensor, mask: Tensor, style: Sequence[Tensor]) -> FitTarget:
    """Fit ``source`` [B, 3, H, W] with brain ``mask`` [B, H, W] to the Gram matrices ``style``."""
    with torch.no_grad():
        maps = stage_maps(encoder, source)
    return FitTarget(source, maps, stage_masks(mask, maps), style)


def style_distance(features: Tensor, inside: Tensor, style: Tensor) -> Tensor:
    """Mean squared difference of the published, summed Gram matrices over (C N), per slice [B].

    N is the number of positions in the brain: N^2 mean (G - G_style)^2 / (C N) of the mean Gram matrices.
    """
    difference = (gram(features, inside) - style).square().mean((1, 2))
    return difference * inside.sum((1, 2)) / features.shape[1]


def losses(encoder: ResidualEncoder, output: Tensor, target: FitTarget) -> tuple[Tensor, Tensor, Tensor]:
    """Content, style and L1 of ``output`` [B, 3, H, W], each [B], the first two summed over stages."""
    maps = stage_maps(encoder, output)
    content = [(m - c).square().mean((1, 2, 3)) for m, c in zip(maps, target.content, strict=True)]
    style = [style_distance(m, i, g) for m, i, g in zip(maps, target.inside, target.grams, strict=True)]
    reconstruction = (output - target.source).abs().mean((1, 2, 3))
    return torch.stack(content).sum(0), torch.stack(style).sum(0), reconstruction
