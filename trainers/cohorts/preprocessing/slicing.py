"""From a skull-stripped native volume to working slices and back (DATA.md sections B3, D3).

Shapes: N slices, H rows, W columns. Rows run from anterior to posterior, columns from left to right.
"""

import numpy as np

from trainers.data.arrays import Array, separable
from trainers.data.grid import BACKGROUND, PERCENTILES, Grid
from trainers.errors import InputError

MIN_BRAIN_FRACTION = 0.10
"""Least share of brain in a slice that is kept."""


def box(mask: Array, margin: tuple[int, ...] = (0, 0, 0)) -> tuple[slice, ...]:
    """The smallest box of a 3-D array that holds ``mask`` (not empty), wider by ``margin`` voxels."""
    spans = [np.flatnonzero(mask.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(
        slice(max(0, int(span[0]) - wide), min(n, int(span[-1]) + 1 + wide))
        for span, wide, n in zip(spans, margin, mask.shape, strict=True)
    )


def normalise(values: Array, mask: Array) -> Array:
    """Map p0.5..p99.5 inside ``mask`` to [-1, 1], clipped; exactly -1 outside. One volume at a time."""
    low, high = np.percentile(values[mask], PERCENTILES) if mask.any() else (0.0, 0.0)
    if not low < high:
        raise InputError(
            "a volume is constant inside its brain mask, or the mask is empty; check scan and mask"
        )
    return rescale(values, mask, float(low), float(high))


def rescale(values: Array, mask: Array, low: float, high: float) -> Array:
    """Map ``low``..``high`` to [-1, 1], clipped; exactly -1 outside ``mask``."""
    unit = np.clip((values - low) / (high - low), 0, 1)
    return np.where(mask, 2 * unit - 1, BACKGROUND).astype(np.float32)


def working_slices(
    values: Array, mask: Array, planes: Array, spacing: tuple[float, float], grid: Grid
) -> tuple[Array, Array]:
    """A skull-stripped RAS volume ``[X, Y, Z]`` -> normalised working slices ``[N, H, W]`` and their mask.

    Percentiles are the whole volume's; ``planes`` selects the N slices; ``spacing`` is (row, column).
    """
    positive = normalise(values, mask) - BACKGROUND
    slices, inside = take_planes(positive, planes), take_planes(mask, planes)
    working, working_mask = to_working(axial(slices), axial(inside), spacing, grid)
    return working + np.float32(BACKGROUND), working_mask


def take_planes(volume: Array, planes: Array) -> Array:
    """Axial planes of ``[X, Y, Z]`` -> ``[X, Y, N]``; zero for a plane outside the volume."""
    inside = (planes >= 0) & (planes < volume.shape[2])
    return np.where(inside, volume[:, :, np.clip(planes, 0, volume.shape[2] - 1)], np.zeros((), volume.dtype))


def axial(volume: Array) -> Array:
    """RAS ``[X, Y, Z]`` -> slices ``[Z, Y, X]`` with anterior rows first."""
    return np.ascontiguousarray(volume.transpose(2, 1, 0)[:, ::-1])


def from_axial(slices: Array) -> Array:
    """Inverse of :func:`axial`."""
    return np.ascontiguousarray(slices[:, ::-1].transpose(2, 1, 0))


def interpolation(n: int, spacing: float, n_out: int, spacing_out: float) -> Array:
    """Linear interpolation ``[n_out, n]`` between two grids that share their centre; zero beyond the edge."""
    position = (np.arange(n_out) - (n_out - 1) / 2) * spacing_out / spacing + (n - 1) / 2
    return np.asarray(np.clip(1 - np.abs(np.subtract.outer(position, np.arange(n))), 0, None))


def resample(
    slices: Array, spacing: tuple[float, float], shape: tuple[int, int], spacing_out: tuple[float, float]
) -> Array:
    """Bilinear ``[N, H, W] -> [N, *shape]`` about the common centre; spacings are (row, column) in mm."""
    matrices = [
        interpolation(*axis) for axis in zip(slices.shape[1:], spacing, shape, spacing_out, strict=True)
    ]
    return separable(slices, tuple(matrices))


def resample_masked(
    slices: Array,
    mask: Array,
    spacing: tuple[float, float],
    shape: tuple[int, int],
    spacing_out: tuple[float, float],
) -> tuple[Array, Array]:
    """As :func:`resample` without darkening of the rim by the zeros outside; returns (slices, mask).

    Normalised convolution (Knutsson & Westin 1993): the weights are renormalised inside the mask.
    """
    weight = resample(mask.astype(np.float32), spacing, shape, spacing_out)
    inside = weight > 0.5
    total = resample(np.where(mask, slices, 0.0), spacing, shape, spacing_out)
    return np.where(inside, total / np.where(inside, weight, 1), 0.0).astype(np.float32), inside


def crop_pad(slices: Array, shape: tuple[int, int], fill: float = 0.0) -> Array:
    """Crop or pad ``[N, H, W]`` about the centre to ``shape``; its own inverse on the common part."""
    out = np.full((len(slices), *shape), fill, slices.dtype)
    target, source = zip(*(_overlap(n, m) for n, m in zip(slices.shape[1:], shape, strict=True)), strict=True)
    out[:, target[0], target[1]] = slices[:, source[0], source[1]]
    return out


def _overlap(n: int, m: int) -> tuple[slice, slice]:
    shift, size = abs(n - m) // 2, min(n, m)
    moved, whole = slice(shift, shift + size), slice(0, size)
    return (whole, moved) if n > m else (moved, whole)


def full_shape(shape: tuple[int, int], spacing: tuple[float, float], grid: Grid) -> tuple[int, int]:
    """Size of a native slice at the spacing of ``grid``, before the crop.

    Rounded up to even if it is resampled, so that the crop keeps the centre; unchanged at equal spacing.
    """
    rows, columns = (_full_size(n, d / grid.spacing) for n, d in zip(shape, spacing, strict=True))
    return rows, columns


def _full_size(n: int, zoom: float) -> int:
    return n if abs(zoom - 1) < 1e-6 else 2 * int(np.ceil(n * zoom / 2 - 1e-6))


def to_working(slices: Array, mask: Array, spacing: tuple[float, float], grid: Grid) -> tuple[Array, Array]:
    """Native ``[N, h, w]`` and mask -> working ``[N, H, W]`` (zero outside) and its mask."""
    native = (int(slices.shape[1]), int(slices.shape[2]))
    full = full_shape(native, spacing, grid)
    fine, inside = resample_masked(slices, mask, spacing, full, (grid.spacing, grid.spacing))
    return crop_pad(fine, grid.shape), crop_pad(inside, grid.shape)


def from_working(
    slices: Array, native: tuple[int, int], spacing: tuple[float, float], grid: Grid, fill: float = 0.0
) -> Array:
    """Working ``[N, H, W]`` -> native ``[N, *native]``: undo the crop, then resample; ``fill`` beyond."""
    full = crop_pad(slices - fill, full_shape(native, spacing, grid))
    return resample(full, (grid.spacing, grid.spacing), native, spacing) + np.float32(fill)


def keep(mask: Array) -> Array:
    """Which slices of ``mask [N, H, W]`` hold enough brain: ``[N]`` of bool."""
    return np.asarray(mask.mean(axis=(1, 2)) >= MIN_BRAIN_FRACTION)
