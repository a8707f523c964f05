"""Edges of a subject's slices, and the share that another image does not confirm (DATA.md B4).

Shapes: n slices, H rows, W columns; spacing in mm.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from trainers.metrics.smoothing import smoothing_matrix
from trainers.metrics.surface import dilate, interior, shifted

SCALE = 1.5
"""Sigma (mm) of the smoothing before the gradient."""
THRESHOLD = 1.5
"""Smallest step that is an edge, in robust standard deviations of the image in the brain."""
TOLERANCE = 2.0
"""Largest distance (mm) between an edge and the one that confirms it."""
_LEAST_DEVIATION = 1e-3  # of intensities in [0, 1]: rounding in a constant image is no edge
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))  # down and right, at 0, 45, 90 and 135 degrees

Edges = tuple[Tensor, Tensor]
"""Thinned and full edges of one subject's slices: masks [n, H, W]."""


def unsupported(found: Mapping[str, Edges], reference: Mapping[str, Edges], spacing: float) -> Tensor:
    """Share of an image's edges without an edge of the reference's same contrast nearby; NaN without edges.

    Edges by contrast of one subject in the same region, pooled over slices and contrasts. The image's edges
    are thinned, the reference's are not: blurring a reference makes its edges weaker and wider, but creates
    none elsewhere.
    """
    unmatched = total = torch.zeros((), dtype=torch.float64)
    for contrast, (thin, _) in found.items():
        _, full = reference[contrast]
        unmatched = unmatched + (thin & ~dilate(full, TOLERANCE / spacing)).sum()
        total = total + thin.sum()
    return unmatched / total


def edges(image: Tensor, region: Tensor, spacing: float) -> Edges:
    """Thinned and full edges of one subject's slices: masks [n, H, W].

    Full edges are where the gradient exceeds that of an ideal step of ``THRESHOLD`` robust standard
    deviations (1.4826 times the median absolute deviation in ``region``): invariant to gain and offset.
    The region's own border is no edge.
    """
    image, sigma = image.double(), SCALE / spacing
    inside = image[region]
    deviation = 1.4826 * (inside - inside.median()).abs().median().clamp(min=_LEAST_DEVIATION)
    down, right = torch.gradient(smooth_inside(image, region, sigma), dim=(-2, -1))
    strength = torch.hypot(down, right) * interior(region)
    full = strength > THRESHOLD * deviation * _unit_step(sigma)
    return full & _local_maxima(strength, down, right), full


def smooth_inside(images: Tensor, region: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing in the plane of images [n, H, W] by ``sigma`` pixels; 0 outside ``region``.

    Normalised convolution (Knutsson & Westin 1993): the background does not darken the rim.
    """
    weights = region.to(images)
    window = _window(sigma)
    rows, columns = (smoothing_matrix(side, window, sigma, images) for side in images.shape[-2:])
    values, total = (rows @ (x @ columns.T) for x in (images * weights, weights))
    return torch.where(region, values / torch.where(region, total, 1), 0)


def _window(sigma: float) -> int:
    return 2 * math.ceil(3 * sigma) + 1


def _unit_step(sigma: float) -> float:
    """Central difference at a step of height 1 after the smoothing."""
    taps = smoothing_matrix(2 * _window(sigma), _window(sigma), sigma, torch.ones((), dtype=torch.float64))
    middle = _window(sigma)
    return float(taps[middle, middle] + taps[middle, middle + 1]) / 2


def _local_maxima(strength: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Where ``strength`` [n, H, W] is greatest along its gradient, to 45 degrees (Canny 1986)."""
    sector = torch.round(torch.atan2(down, right) / (math.pi / 4)).long() % 4
    maxima = torch.zeros_like(sector, dtype=torch.bool)
    for k, (i, j) in enumerate(_DIRECTIONS):
        # Of two equal neighbours the first is taken: an ideal step gives one line.
        greatest = (strength > shifted(strength, i, j)) & (strength >= shifted(strength, -i, -j))
        maxima |= (sector == k) & greatest
    return maxima
