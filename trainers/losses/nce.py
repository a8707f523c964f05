"""PatchNCE: a patch must be recognisable at its position (Park et al., CUT, 2020; METHOD.md 1.6)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.blocks import full_precision

Heads = Callable[[Sequence[Tensor]], list[Tensor]]
"""[B, P, C] a layer to unit vectors [B, P, D] a layer."""


def multi_layer(
    queries: Sequence[Tensor], keys: Sequence[Tensor], masks: Tensor, heads: Heads, count: int
) -> Tensor:
    """PatchNCE of feature maps [B, C, h, w] at ``count`` brain positions a layer, mean over layers: a scalar.

    ``masks`` [B, H, W]; ``heads`` project both sides, only the queries' gradient is kept.
    """
    at = [sample_positions(shrink_mask(masks, (k.shape[-2], k.shape[-1])), count) for k in keys]
    query = heads([gather_positions(q, p) for q, p in zip(queries, at, strict=True)])
    with torch.no_grad():
        key = heads([gather_positions(k, p) for k, p in zip(keys, at, strict=True)])
    return torch.stack([patch_nce(q, v).mean() for q, v in zip(query, key, strict=True)]).mean()


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE over the positions of one image, per position: shape [B, P] from unit vectors [B, P, D].

    Position p of ``query`` must match position p of ``key`` (detached) among all P of the same image.
    """
    with full_precision(query.device):  # autocast would multiply in bf16: steps of 1/256 over the temperature
        logits = torch.einsum("bpd,bqd->bpq", query.float(), key.detach().float()) / temperature
    return torch.logsumexp(logits, -1) - logits.diagonal(dim1=-2, dim2=-1)


def sample_positions(mask: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """``count`` different pixel indices [B, count] per image, those inside ``mask`` [B, H, W] first.

    Background patches are all alike and would be false negatives (METHOD.md section 6, MRI-specific).
    """
    weights = mask.flatten(1).float() + 1e-12  # 1e-6 would, over 10^4 pixels, win one draw in a hundred
    return torch.multinomial(weights, min(count, weights.shape[1]), generator=generator)


def gather_positions(features: Tensor, positions: Tensor) -> Tensor:
    """Feature vectors [B, P, C] at flat pixel ``positions`` [B, P] of a map [B, C, H, W]."""
    flat = features.flatten(2).transpose(1, 2)
    return flat.gather(1, positions[..., None].expand(-1, -1, flat.shape[-1]))


def shrink_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """The brain mask [B, H, W] at a feature map's ``size``: true where any of the cell's pixels is."""
    return F.adaptive_max_pool2d(mask[:, None].float(), size)[:, 0] > 0
