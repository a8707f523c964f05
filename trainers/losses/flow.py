"""Displacement fields [B, 2, H, W] in pixels: warping, RegGAN's smoothness, affine jitter (METHOD.md 4).

Channel 0 moves along columns, channel 1 along rows; everything in float32 or better, as half precision
resolves no tenth of a pixel.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.blocks import full_precision


def warp(image: Tensor, flow: Tensor, padding: str = "border") -> Tensor:
    """``image`` [B, C, H, W] sampled bilinearly at each pixel plus ``flow``; ``padding`` outside."""
    flow = _precise(flow)
    columns, rows = (
        torch.arange(n, dtype=flow.dtype, device=flow.device) for n in (flow.shape[3], flow.shape[2])
    )
    x = (columns + flow[:, 0]) * (2 / (flow.shape[3] - 1)) - 1
    y = (rows[:, None] + flow[:, 1]) * (2 / (flow.shape[2] - 1)) - 1
    grid = torch.stack((x, y), -1)
    return F.grid_sample(image.to(flow.dtype), grid, padding_mode=padding, align_corners=True)


def smoothness(flow: Tensor) -> Tensor:
    """Mean squared difference of neighbours along columns, plus that along rows."""
    flow = _precise(flow)
    return flow.diff(dim=3).square().mean() + flow.diff(dim=2).square().mean()


def affine_flow(angle: Tensor, scale: Tensor, shift: Tensor, height: int, width: int) -> Tensor:
    """The flow whose warp turns by ``angle`` [B] and enlarges by ``scale`` [B] about the centre, then shifts.

    ``angle`` is in radians from the columns' axis to the rows'; ``shift`` [B, 2] in pixels.
    """
    x, y = (torch.arange(n, dtype=angle.dtype, device=angle.device) - (n - 1) / 2 for n in (width, height))
    position = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    inverse = torch.stack((torch.stack((cosine, sine), -1), torch.stack((-sine, cosine), -1)), -2)
    with full_precision(angle.device):  # autocast would multiply in bf16: half a pixel at column 100
        return torch.einsum("bij,bjhw->bihw", inverse, position - shift[:, :, None, None]) - position


def jitter(image: Tensor, level: float) -> Tensor:
    """Each image [B, C, H, W] turned up to ``level`` degrees, scaled and moved up to 2 ``level`` percent.

    Pixels from outside are black, exactly -1.
    """
    batch, _, height, width = image.shape
    draws = level * (2 * torch.rand(4, batch, device=image.device) - 1)
    shift = 0.02 * torch.stack((draws[2] * width, draws[3] * height), 1)
    flow = affine_flow(draws[0] * (math.pi / 180), 1 + 0.02 * draws[1], shift, height, width)
    return warp(image.float() + 1, flow, "zeros") - 1


def _precise(flow: Tensor) -> Tensor:
    return flow.to(torch.promote_types(flow.dtype, torch.float32))
