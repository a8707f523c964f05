"""Slices with the outlines of regions on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.reporting import matplotlib_plots
from platform.reporting.matplotlib_plots import Image
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS: Mapping[str, str] = MappingProxyType(
    {"standing": "#47b881", "vanished": "#f79009", "appeared": "#53b1fd"}
)
"""By what a region is."""


@dataclass(frozen=True)
class Outlined:
    """A grey image [H, W] in [0, 1] and regions of it, [H, W] bool, by what they are."""

    name: str
    image: Image
    regions: Mapping[str, NDArray[np.bool_]]


def draw(rows: Sequence[Sequence[Outlined]], path: Path, title: str) -> Path:
    """Rows of images with their outlines as a PNG."""
    columns = max(len(row) for row in rows)
    tall = rows[0][0].image.shape[0] / rows[0][0].image.shape[1]
    picture = matplotlib_plots.figure(2.4 * columns, (2.4 * tall + 0.3) * len(rows) + 0.4, title)
    grid: Any = picture.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        for ax, cell in zip(axes, row, strict=False):
            ax.set_axis_off()
            matplotlib_plots.show(ax, cell.image, cell.name, "gray", 1.0)
            for kind, region in cell.regions.items():
                if region.any():
                    ax.contour(region, levels=[0.5], colors=[COLOURS[kind]], linewidths=1.2)
    return matplotlib_plots.save(picture, path)
