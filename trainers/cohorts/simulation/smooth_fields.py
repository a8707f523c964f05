"""Smooth random fields from cubic B-splines, and the separable products that make them cheap."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def apply_along(volume: Array, matrix: Array, axis: int) -> Array:
    """Multiply ``matrix [m, n]`` into ``axis`` (length n -> m); sums in float64, so that the number of
    threads does not show in the float32 result.
    """
    product = np.tensordot(matrix, volume.astype(np.float64, copy=False), (1, axis))
    return np.moveaxis(product, 0, axis).astype(np.float32)


def separable(volume: Array, matrices: tuple[Array, ...]) -> Array:
    """Apply one matrix to each of the last axes, the most shrinking (or least growing) first."""
    first = volume.ndim - len(matrices)
    order = sorted(range(len(matrices)), key=lambda axis: matrices[axis].shape[0] / matrices[axis].shape[1])
    for axis in order:
        volume = apply_along(volume, matrices[axis], first + axis)
    return volume


def bspline_basis(n: int, knot_spacing: float) -> Array:
    """Cubic B-splines ``[n, m]`` with knots every ``knot_spacing`` samples; each row sums to one."""
    count = int(np.ceil((n - 1) / knot_spacing)) + 3
    distance = np.abs(np.subtract.outer(np.arange(n) / knot_spacing, np.arange(count) - 1.0))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, inner, outer))


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float, components: int | None = None
) -> Array:
    """Gaussian field over ``shape`` (``[components, *shape]`` if given) of mean 0 and variance 1.

    As smooth as white noise after a Gaussian of ``sigma`` voxels: a cubic B-spline with knots every h
    has the variance h^2 / 3.
    """
    bases = tuple(bspline_basis(n, np.sqrt(3) * sigma) for n in shape)
    bases = tuple(basis / np.sqrt((basis**2).sum(1).mean()) for basis in bases)
    leading = () if components is None else (components,)
    control = rng.standard_normal((*leading, *(basis.shape[1] for basis in bases)))
    return separable(control, bases)
