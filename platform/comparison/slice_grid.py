"""Every system of a comparison on the same slice."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.reporting import matplotlib_plots
from platform.reporting.matplotlib_plots import Image
from platform.reporting.style import INK, KNEE, QUIET
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

TITLE = "Every system on the same slice"
TRUTH = "3 T"
"""The column that errors are taken against."""
WIDTH = 24.0
"""Of the grid of images (inches), at most."""
LETTER = 0.11
"""Width of a heading's letter (inches): longer headings take more lines."""

Window = tuple[slice, slice]


def slice_grid_figure(images: Mapping[str, Mapping[str, Image]], path: Path) -> Path:
    """A PNG with a column a system; for each contrast its slice, a detail of it, its error.

    ``images`` maps a column's label to contrast to image [H, W] in [0, 1]. The detail is where ``3 T`` (else
    the first column) has most of it, the error ``|output − 3 T|`` on one scale; without ``3 T`` none.
    """
    images = trimmed(images)
    model = images.get(TRUTH) or next(iter(images.values()))
    where, top = window(list(model.values())), _error_scale(images)
    height, width = next(iter(model.values())).shape
    ratios = [height / width, 1.0] if top is None else [height / width, 1.0, height / width]
    picture, grid = _axes_grid(ratios, len(model), len(images))
    for rows, contrast in zip(grid, model, strict=True):
        _fill(rows, {label: column[contrast] for label, column in images.items()}, contrast, where, top)
    for ax, label in zip(grid[0, 0], images, strict=True):
        name = textwrap.fill(label.replace("_", " "), round(_width(len(images)) / LETTER))
        ax.set_title(name, fontsize=13, color=INK, pad=6)
    return matplotlib_plots.save(picture, path)


def window(images: Sequence[Image]) -> Window:
    """The square of 0.4 of the shorter side where ``images`` [H, W] together have most detail.

    Detail is the squared gradient two pixels and more inside the brain, as the gradient at its rim is larger.
    """
    detail = sum(_detail(image) for image in images)
    side = max(2, round(0.4 * min(images[0].shape)))
    sums = sliding_window_view(detail, (side, side)).sum((-2, -1))
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    return slice(int(row), int(row) + side), slice(int(column), int(column) + side)


def trimmed(images: Mapping[str, Mapping[str, Image]]) -> dict[str, dict[str, Image]]:
    """The images without the margin that is black in all of them, but for three pixels."""
    visible = np.any([image > 0 for column in images.values() for image in column.values()], axis=0)
    bounds = []
    for axis in (1, 0):
        lines = np.flatnonzero(visible.any(axis))
        start, stop = (lines[0], lines[-1] + 1) if len(lines) else (0, visible.shape[1 - axis])
        bounds.append(slice(max(0, int(start) - 3), int(stop) + 3))
    rows, columns = bounds
    return {label: {c: x[rows, columns] for c, x in column.items()} for label, column in images.items()}


def _detail(image: Image) -> NDArray[np.float64]:
    """Squared gradient well inside the brain, adding up to 1."""
    down, right = np.gradient(np.asarray(image, float))
    inside = sliding_window_view(np.pad(image > 0, 2), (5, 5)).all((-2, -1))
    energy = np.where(inside, down**2 + right**2, 0.0)
    return np.asarray(energy / (energy.sum() or 1.0))


def _error_scale(images: Mapping[str, Mapping[str, Image]]) -> float | None:
    """The end of the errors' scale: their 99.5th percentile over all systems; None without ``3 T``."""
    truth = images.get(TRUTH)
    if truth is None:
        return None
    errors = [
        np.abs(x - truth[c]) for label, column in images.items() if label != TRUTH for c, x in column.items()
    ]
    return max(0.05, float(np.percentile(errors, 99.5))) if errors else 0.05


def _width(columns: int) -> float:
    return min(2.6, WIDTH / columns)


def _axes_grid(ratios: Sequence[float], blocks: int, columns: int) -> tuple[Any, NDArray[Any]]:
    """A figure and its axes [blocks, rows, columns]; ``ratios`` are height to width of a block's rows.

    Positions are computed, so that a panel has its image's shape and only the gap is between two.
    """
    width, gap, left, head = _width(columns), 0.05, 0.45, 1.0
    tops = np.cumsum([0.0, *([r * width + gap for r in ratios] * blocks)])
    tops += head + 0.12 * (np.arange(len(tops)) // len(ratios))
    whole = left + columns * (width + gap) + 0.1, tops[-1]
    picture = matplotlib_plots.figure(*whole, TITLE)
    picture.set_layout_engine("none")
    above = {"x": left / whole[0], "y": 1 - 0.14 / whole[1], "ha": "left", "va": "top"}
    picture.suptitle(TITLE, fontsize=15, fontweight="bold", color=INK, **above)
    grid = np.empty((blocks, len(ratios), columns), object)
    for index in np.ndindex(*grid.shape):
        block, row, column = index
        high = ratios[row] * width
        corner = left + column * (width + gap), whole[1] - tops[block * len(ratios) + row] - high
        size = width / whole[0], high / whole[1]
        ax: Any = picture.add_axes((corner[0] / whole[0], corner[1] / whole[1], *size))
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        grid[index] = ax
    return picture, grid


def _fill(
    rows: NDArray[Any], column: Mapping[str, Image], contrast: str, where: Window, top: float | None
) -> None:
    """One contrast: ``rows`` of axes [2 or 3, columns]."""
    for axes, name in zip(rows, (contrast, f"{contrast} detail", f"{contrast} error"), strict=False):
        axes[0].set_ylabel(name, fontsize=13, color=INK)
    for ax, zoomed, image in zip(rows[0], rows[1], column.values(), strict=True):
        matplotlib_plots.show(ax, image, "", "gray", 1.0)
        matplotlib_plots.show(zoomed, image[where], "", "gray", 1.0)
        _frame(ax, zoomed, where)
    if top is not None:
        _errors(rows[2], column, top)


def _frame(ax: Any, zoomed: Any, where: Window) -> None:
    """The window as a box on the slice and around its detail."""
    from matplotlib.patches import Rectangle

    rows, columns = where
    size = columns.stop - columns.start, rows.stop - rows.start
    box: dict[str, Any] = {"fill": False, "edgecolor": KNEE, "linewidth": 1.2}
    ax.add_patch(Rectangle((columns.start - 0.5, rows.start - 0.5), *size, **box))
    zoomed.spines[:].set(visible=True, color=KNEE, linewidth=1.2)


def _errors(axes: NDArray[Any], column: Mapping[str, Image], top: float) -> None:
    """Absolute errors; the scale is drawn below ``3 T``, which has no error."""
    truth = column[TRUTH]
    for ax, (label, image) in zip(axes, column.items(), strict=True):
        if label != TRUTH:
            shown = matplotlib_plots.show(ax, np.abs(image - truth), "", "magma", top)
    if len(column) > 1:
        blank = axes[list(column).index(TRUTH)]
        bar = blank.figure.colorbar(shown, cax=blank.inset_axes((0.12, 0.08, 0.1, 0.84)), extend="max")
        bar.set_label(f"|output − {TRUTH}|", fontsize=11, color=INK)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=10, length=2, color=QUIET)
