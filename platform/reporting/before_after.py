"""The picture of a translated visit: planes before and after, the change, the spread and the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from platform.reporting.matplotlib_plots import Image, axes_at, colour_bar, figure, show
from typing import Any

import numpy as np

INPUT, OUTPUT, CHANGE, REFERENCE = "input", "output", "output − input", "3 T reference"
SPREAD, DISAGREEMENT = "spread", "disagreement of views"
KINDS = (INPUT, OUTPUT, CHANGE, SPREAD, DISAGREEMENT, REFERENCE)
SIDE, GUTTER, HEAD, BAR, TITLE = 2.2, 0.1, 0.28, 0.5, 0.7
"""Inches: an image's width, between images, above a row for its names, below all for the colour
bars, above all for a title of two lines."""


@dataclass(frozen=True)
class Column:
    """How the images of one kind are drawn."""

    colors: str
    """Of matplotlib."""
    low: float
    high: float
    extend: str = ""
    """Ends of its colour bar beyond which there may be values; empty for none."""


def picture(rows: Sequence[tuple[str, Mapping[str, Image]]], title: str) -> Any:
    """A row for each plane, named as ``T1 axial``: its images [H, W] in [0, 1] by kind, and the change.

    Grey is [0, 1]; the change is red where the output is brighter. The scales of change and spread end at
    the 99.5th percentile of all rows, and are at least 0.05 and 0.01.
    """
    from matplotlib.ticker import MaxNLocator

    known = {kind for _, images in rows for kind in images}
    filled = [(name, {**images, CHANGE: images[OUTPUT] - images[INPUT]}) for name, images in rows]
    kinds = [kind for kind in KINDS if kind in known | {CHANGE}]
    columns = {
        kind: _column(kind, [images[kind] for _, images in filled if kind in images]) for kind in kinds
    }
    heights = [SIDE * max(i.shape[0] / i.shape[1] for i in images.values()) for _, images in filled]
    width = len(kinds) * (SIDE + GUTTER) + GUTTER
    height = sum(heights) + len(rows) * HEAD + BAR + TITLE
    drawn = figure(width, height, title)
    drawn.set_layout_engine("none")

    top, shown = height - TITLE, {}
    for (name, images), high in zip(filled, heights, strict=True):
        top -= HEAD + high
        for c, (kind, column) in enumerate(columns.items()):
            if kind in images:
                ax = axes_at(drawn, GUTTER + c * (SIDE + GUTTER), top, SIDE, high)
                ax.set_axis_off()
                scale = column.colors, column.high, column.low
                shown[kind] = show(ax, images[kind], f"{name}: {kind}", *scale)
    for c, (kind, column) in enumerate(columns.items()):
        if column.extend:
            place = axes_at(drawn, GUTTER + c * (SIDE + GUTTER) + 0.1 * SIDE, 0.3, 0.8 * SIDE, 0.09)
            how = {"orientation": "horizontal", "extend": column.extend, "ticks": MaxNLocator(4)}
            colour_bar(drawn, shown[kind], place, **how)
    return drawn


def _column(kind: str, images: Sequence[Image]) -> Column:
    if kind == CHANGE:
        end = max(0.05, *(float(np.percentile(np.abs(image), 99.5)) for image in images))
        return Column("RdBu_r", -end, end, "both")
    if kind in (SPREAD, DISAGREEMENT):
        end = max(0.01, *(float(np.percentile(image, 99.5)) for image in images))
        return Column("magma", 0, end, "max")
    return Column("gray", 0, 1)
