"""PNG pictures by matplotlib, without its global state or a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.reporting.panels import UNTOUCHED, Layer, Panel, grid_shape, number
from platform.reporting.style import EDGE_LINE, FRONT, INK, QUIET, SCATTER, set_legend, style_axes
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating[Any]]
"""[H, W] in [0, 1], anterior rows first, as the cohort store has them."""


def pareto_picture(panels: Sequence[Panel], layers: Sequence[Layer], title: str) -> Any:
    """The panels in rows over one legend."""
    rows, columns = grid_shape(len(panels))
    picture = figure(6.6 if columns == 1 else 4.4 * columns, 4.1 * rows + 0.3, title)
    grid = picture.subplots(rows, columns, squeeze=False)
    for ax, panel in zip(grid.flat, panels, strict=True):
        _draw(ax, panel, layers)
    set_legend(picture, text_gap=0.2)
    return picture


def hypervolume_picture(curve: Sequence[float], title: str) -> Any:
    """A step curve over the finished trials, its last value written out."""
    picture = figure(6.4, 3.8, title)
    ax = picture.subplots()
    count = np.arange(1, len(curve) + 1)
    ax.step(count, curve, where="post", color=FRONT, linewidth=1.8)
    ax.fill_between(count, curve, step="post", color=FRONT, alpha=0.08, linewidth=0)
    if len(curve):
        ax.plot(count[-1], curve[-1], "o", color=FRONT, markersize=5)
        place = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "fontsize": 9}
        ax.annotate(number(curve[-1]), (count[-1], curve[-1]), color=FRONT, **place)
    style_axes(ax, "finished trials", "hypervolume")
    ax.set_xlim(0, max(1.0, 1.05 * len(curve)))
    ax.set_ylim(0, 1.12 * max(curve, default=1.0) or 1.0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return picture


def sample_picture(rows: Sequence[Mapping[str, Image]], gaps: Sequence[Image | None], title: str) -> Any:
    """Rows of grey images, each with its difference ``gap`` in the last column on one common scale.

    Placed by arithmetic, as a layout engine takes twice as long and a study has one picture per trial.
    """
    known = [gap for gap in gaps if gap is not None]
    top = max([0.05, *(float(np.percentile(gap, 99.5)) for gap in known)])
    columns = max(len(row) for row in rows) + bool(known)
    side, gutter, head = 2.3, 0.1, 0.3  # inches: an image's width, between images, above a row for its names
    height = side * max(image.shape[0] / image.shape[1] for row in rows for image in row.values())
    width, depth = columns * (side + gutter) + gutter, len(rows) * (height + head) + 0.4
    picture = figure(width + 0.6 * bool(known), depth + gutter, title)
    picture.set_layout_engine("none")

    def draw(r: int, c: int, *cell: Any) -> Any:
        bottom = gutter + (len(rows) - 1 - r) * (height + head)
        ax = axes_at(picture, gutter + c * (side + gutter), bottom, side, height)
        ax.set_axis_off()
        return show(ax, *cell)

    for r, (row, gap) in enumerate(zip(rows, gaps, strict=True)):
        for c, (name, image) in enumerate(row.items()):
            draw(r, c, image, name, "gray", 1.0)
        if gap is not None:
            shown = draw(r, columns - 1, gap, "|output − 3 T|", "magma", top)
    if known:
        colour_bar(picture, shown, axes_at(picture, width, gutter, 0.12, height), extend="max")
    return picture


def axes_at(picture: Any, left: float, bottom: float, wide: float, high: float) -> Any:
    """New axes at a place of a figure, in inches."""
    w, h = picture.get_size_inches()
    return picture.add_axes((left / w, bottom / h, wide / w, high / h))


def colour_bar(picture: Any, shown: Any, place: Any, **options: Any) -> None:
    """The scale of what :func:`show` returned, in axes of its own; ``options`` are matplotlib's."""
    bar = picture.colorbar(shown, cax=place, **options)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2, color=QUIET)


def save(picture: Any, path: Path) -> Path:
    """Write the PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=160)
    return path


def figure(width: float, height: float, title: str) -> Any:
    """An empty matplotlib figure in inches, its bold title on the left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    picture = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(picture)
    picture.suptitle(title, x=0.015, ha="left", fontsize=12, fontweight="bold", color=INK)
    return picture


def _draw(ax: Any, panel: Panel, layers: Sequence[Layer]) -> None:
    ax.plot(*panel.edge.T, **EDGE_LINE)
    for layer in layers:
        x, y = panel.x.values[layer.members], panel.y.values[layer.members]
        ax.scatter(x, y, label=layer.label, **SCATTER[layer.kind])
    if panel.untouched is not None:
        ax.scatter(*panel.untouched, label=UNTOUCHED, **SCATTER[UNTOUCHED])
    style_axes(ax, panel.x.label, panel.y.label)


def show(ax: Any, image: Image, name: str, colors: str, top: float, low: float = 0) -> Any:
    """One image on [``low``, ``top``] under its name; returns what a colour bar takes."""
    ax.set_title(name, fontsize=9, color=INK, pad=3)
    return ax.imshow(image, cmap=colors, vmin=low, vmax=top, interpolation="nearest")
