"""The working grid of a cohort's slices, and their intensities (DATA.md sections B3, D3)."""

from dataclasses import dataclass

BACKGROUND = -1.0
"""Intensity of a pixel outside the brain."""
PERCENTILES = (0.5, 99.5)
"""Of a volume's intensities in the brain: what -1 and 1 stand for."""


@dataclass(frozen=True)
class Grid:
    """The in-plane working grid: ``shape`` (rows, columns) and ``spacing`` (mm)."""

    shape: tuple[int, int]
    spacing: float


GRIDS = {"2mm": Grid((112, 96), 2.0), "1mm": Grid((224, 192), 1.0)}
"""By the setting ``size`` of a cohort."""
