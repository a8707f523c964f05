"""The plane of a scan's slices, by its geometry."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from trainers.data.arrays import Array

View = Literal["axial", "coronal", "sagittal"]
NORMAL: Mapping[View, int] = MappingProxyType({"axial": 2, "coronal": 1, "sagittal": 0})
"""Axis of RAS along which slices are thick."""
IN_ORDER: Mapping[View, tuple[int, int, int]] = MappingProxyType(
    {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (2, 1, 0)}
)
"""RAS axes along the columns and the rows of a view's slices, then its normal.

Sagittal slices have anterior on top, as axial ones: a brain is longest there, and the working grid is.
"""
THICK = 1.5
"""Least ratio of a voxel's largest side to its middle one in a scan of thick slices."""


def view_of(affine: Array) -> View | None:
    """The plane of a scan by its 4x4 ``affine``, voxels to RAS mm; None where no side of its voxels is thick.

    The normal is the axis of the thickest side, in scanner coordinates; an oblique one counts as the nearest.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.max() < THICK * np.median(sizes):
        return None
    nearest = int(np.abs(affine[:3, int(sizes.argmax())]).argmax())
    return next(view for view, axis in NORMAL.items() if axis == nearest)
