"""Boundaries of binary masks [..., H, W] in the plane, and the distance of two boundaries."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


def shifted(x: Tensor, down: int, right: int) -> Tensor:
    """Maps [..., H, W] moved by whole pixels; zero, or false, comes in."""
    rows, columns = x.shape[-2:]
    padded = pad(x, (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)))
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + rows, left : left + columns]


def interior(mask: Tensor) -> Tensor:
    """Pixels of a mask [..., H, W] whose four neighbours are inside too; beyond the slice is outside."""
    neighbours = [shifted(mask, *step) for step in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    return mask & torch.stack(neighbours).all(0)


def surface(mask: Tensor) -> Tensor:
    """Pixels of a mask [..., H, W] with a neighbour outside (monai's ``get_mask_edges``)."""
    return mask & ~interior(mask)


def dilate(mask: Tensor, radius: float) -> Tensor:
    """Pixels within a Euclidean distance of ``radius`` pixels of a mask [..., H, W]: dilation by a disc."""
    result, row, width = mask.clone(), mask, 0
    for down in range(int(radius + 1e-6), -1, -1):  # rows of the disc grow towards its middle
        half = int(math.sqrt(max(0.0, radius**2 - down**2) + 1e-6))
        for right in range(width + 1, half + 1):
            row = row | shifted(mask, 0, right) | shifted(mask, 0, -right)
        width = half
        result |= shifted(row, down, 0) | shifted(row, -down, 0)
    return result


def normalised_surface_distance(a: Tensor, b: Tensor, radius: float) -> Tensor:
    """Share of the two masks' surfaces within ``radius`` pixels of the other's (Nikolov et al. 2021, eq. 6).

    For masks [N, ..., H, W]: [...], in [0, 1], slice-wise boundaries pooled over N; NaN if both are empty.
    """
    a, b = surface(a), surface(b)
    agreed = _count(a & dilate(b, radius)) + _count(b & dilate(a, radius))
    return agreed / (_count(a) + _count(b))


def dice(a: Tensor, b: Tensor) -> Tensor:
    """Dice overlap of masks [N, ..., H, W] pooled over N: [...], in [0, 1]; NaN if both are empty."""
    return 2 * _count(a & b) / (_count(a) + _count(b))


def _count(mask: Tensor) -> Tensor:
    return mask.sum((0, -2, -1)).double()
