"""The mapping between a scan and the working slices of its brain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.registration import Image
from trainers.data.arrays import Array
from trainers.data.grid import BACKGROUND, Grid
from trainers.errors import InputError


@dataclass(frozen=True)
class Frame:
    """Axial working slices [N, H, W] about the middle of a brain in a RAS volume [X, Y, Z]."""

    shape: tuple[int, int, int]
    """Of the volume."""
    affine: Array
    """Of the volume, voxels to RAS mm."""
    box: tuple[tuple[int, int], ...]
    """First and one past the last voxel of the brain, along X, Y and Z."""
    grid: Grid

    @classmethod
    def of(cls, mask: Array, affine: Array, grid: Grid) -> "Frame":
        """The frame of the brain ``mask``; raises InputError where it is empty or does not fit the grid."""
        if not mask.any():
            raise InputError("the brain mask is empty; allowed: a mask with brain in it")
        box = tuple((span.start, span.stop) for span in slicing.box(mask))
        frame = cls(mask.shape, affine, box, grid)
        largest = [n * grid.spacing for n in grid.shape]
        if any(n * d > most for n, d, most in zip(frame._native, frame._spacing, largest, strict=True)):
            sizes = " x ".join(f"{n * d:.0f}" for n, d in zip(frame._native, frame._spacing, strict=True))
            raise InputError(
                f"its brain is {sizes} mm in plane; allowed: at most {largest[0]:g} x {largest[1]:g}"
            )
        return frame

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "Frame":
        """The frame from the values of :meth:`facts`."""
        rows, columns = facts["grid"]["shape"]
        first, second, third = facts["shape"]
        box = tuple((low, high) for low, high in facts["box"])
        grid = Grid((rows, columns), facts["grid"]["spacing"])
        return cls((first, second, third), np.array(facts["affine"]), box, grid)

    def facts(self) -> dict[str, Any]:
        """The frame as JSON values."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "box": [list(pair) for pair in self.box],
            "grid": {"shape": list(self.grid.shape), "spacing": self.grid.spacing},
        }

    @property
    def image(self) -> Image:
        """The working pixels as an empty volume [W, H, N] in RAS: what another scan is resampled to."""
        (x0, x1), (y0, y1), (z0, z1) = self.box
        rows, columns = self._middle
        height, width = self.grid.shape
        middle = self.affine @ [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, z0, 1]
        affine = self.affine.copy()
        affine[:3, :2] *= self.grid.spacing / np.linalg.norm(affine[:3, :2], axis=0)
        # Slices have anterior rows first, so row r is the voxel height - 1 - r along Y.
        affine[:3, 3] = middle[:3] - affine[:3, :2] @ [columns, height - 1 - rows]
        return Image(np.empty((width, height, z1 - z0), np.float32), affine)

    def slices(self, values: Array, mask: Array) -> tuple[Array, Array]:
        """A volume on the frame's grid, normalised inside ``mask`` -> slices in [-1, 1], and their mask."""
        (x0, x1), (y0, y1), (z0, z1) = self.box
        cut = (slice(x0, x1), slice(y0, y1))
        return slicing.working_slices(values[cut], mask[cut], np.arange(z0, z1), self._spacing, self.grid)

    def volume(self, slices: Array) -> Array:
        """Slices in [-1, 1] -> a volume on the frame's grid in [0, 1], 0 beyond the brain's box."""
        (x0, x1), (y0, y1), (z0, z1) = self.box
        native = slicing.from_working(slices, self._native, self._spacing, self.grid, BACKGROUND)
        volume = np.zeros(self.shape, np.float32)
        unit = np.clip((slicing.from_axial(native) + 1) / 2, 0, 1)
        volume[x0:x1, y0:y1, z0:z1] = unit
        return volume

    @property
    def _native(self) -> tuple[int, int]:
        """Rows and columns of the brain's box."""
        (x0, x1), (y0, y1), _ = self.box
        return y1 - y0, x1 - x0

    @property
    def _spacing(self) -> tuple[float, float]:
        x, y = (float(d) for d in np.linalg.norm(self.affine[:3, :2], axis=0))
        return y, x

    @property
    def _middle(self) -> tuple[float, float]:
        """Row and column of the working slices at which the box has its middle."""
        full = slicing.full_shape(self._native, self._spacing, self.grid)
        rows, columns = (
            (n - 1) / 2 + (m - n) // 2 if m >= n else (n - 1) / 2 - (n - m) // 2
            for n, m in zip(full, self.grid.shape, strict=True)
        )
        return rows, columns
