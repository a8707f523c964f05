"""The array type, and matrix products along the axes of a volume."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def apply_along(volume: Array, matrix: Array, axis: int) -> Array:
    """Multiply ``matrix [m, n]`` into ``axis`` (length n -> m); sums in float64, so that the float32
    result does not depend on the number of threads.
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
