"""Slices with the outline of a region on each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.reporting import matplotlib_plots
from platform.reporting.matplotlib_plots import Image
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS: Mapping[str, str] = MappingProxyType({"vanished": "#f79009", "appeared": "#53b1fd"})
"""By what became of a region."""


@dataclass(frozen=True)
class Outlined:
    """A grey image [H, W] in [0, 1] and a region of it, [H, W] bool."""

    name: str
    image: Image
    region: NDArray[np.bool_]
    colour: str


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
            ax.contour(cell.region, levels=[0.5], colors=[cell.colour], linewidths=1.2)
    return matplotlib_plots.save(picture, path)
