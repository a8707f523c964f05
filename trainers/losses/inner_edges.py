"""Edges inside the brain that the input does not have: ASP's boundary term for tissue and lesions.

The paper's boundary (METHOD.md 5, equation 8) is the silhouette, which a brain-extracted slice keeps anyway.
Here an edge is a step of both contrasts together, in units of the image's own contrast in the brain.
Images are [B, C, H, W] in [-1, 1], masks [B, H, W]; float32, as products of small differences are summed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.losses.asp import boundary_gate, truncated_distance
from trainers.networks.blocks import full_precision

OUTPUT_STEP = 0.75
"""Smallest step of an output, in standard deviations of the brain's intensities, that counts as an edge."""
INPUT_STEP = 0.5
"""Smallest step of an input that supports one: smaller, as low field blurs."""
_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # a Gaussian of one pixel
_UNIT_STEP = (_TAPS[2] + _TAPS[3]) / 2  # central difference at a step of height 1 after it
_LEAST_DEVIATION = 1e-2


def edge_strength(x: Tensor, mask: Tensor) -> Tensor:
    """Height [B, H, W] of the step at each pixel, 0 outside the brain and at its rim.

    The norm over channels of the smoothed gradient over its channel's standard deviation in the brain, so
    that gain and offset change nothing; the deviation has no gradient, or more contrast everywhere would make
    an edge smaller. What lies outside the mask is not looked at.
    """
    x, inside = x.float(), mask[:, None].float()
    scaled = _standardised(x, inside)
    smooth = _blur(scaled * inside) / _blur(inside).clamp_min(1e-6)
    down, right = (smooth.diff(dim=d) for d in (2, 3))
    down = F.pad(down[:, :, 1:] + down[:, :, :-1], (0, 0, 1, 1)) / 2
    right = F.pad(right[..., 1:] + right[..., :-1], (1, 1, 0, 0)) / 2
    squared = (down.square() + right.square()).mean(1)
    return torch.sqrt(squared + 1e-12) / _UNIT_STEP * _interior(inside)[:, 0]


@torch.no_grad()
def unsupported(source: Tensor, mask: Tensor, delta: float, s: float) -> Tensor:
    """1 - gate [B, H, W]: 0 within ``delta`` pixels of the input's edges, 1 far from all; as equation 8's."""
    radius = math.ceil(delta + 8 * s)
    distance = truncated_distance(edge_strength(source, mask) > INPUT_STEP, radius)
    return 1 - boundary_gate(distance, delta, s)


def inner_edge_loss(x: Tensor, mask: Tensor, free: Tensor) -> Tensor:
    """Mean over the brain of the output's steps above :data:`OUTPUT_STEP` where ``free`` of support: [B].

    0 for the input itself, whose every edge supports itself.
    """
    invented = F.relu(edge_strength(x, mask) - OUTPUT_STEP) * free
    return invented.sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)


def _standardised(x: Tensor, inside: Tensor) -> Tensor:
    """Each channel less its mean, over its deviation in the brain, both constants."""
    count = inside.sum((2, 3), keepdim=True).clamp_min(1)
    values = x.detach()
    mean = (values * inside).sum((2, 3), keepdim=True) / count
    variance = ((values - mean).square() * inside).sum((2, 3), keepdim=True) / count
    return (x - mean) / variance.clamp_min(_LEAST_DEVIATION**2).sqrt()


def _blur(x: Tensor) -> Tensor:
    taps = x.new_tensor(_TAPS)
    channels = x.shape[1]
    across = taps.expand(channels, 1, 1, 5)
    with full_precision(x.device):  # autocast would convolve in bf16
        x = F.conv2d(x, across, padding=(0, 2), groups=channels)
        return F.conv2d(x, across.transpose(2, 3), padding=(2, 0), groups=channels)


def _interior(inside: Tensor) -> Tensor:
    """The mask without the pixels that have a neighbour outside it."""
    return (F.avg_pool2d(inside, 3, 1, 1) > 0.999).float()
