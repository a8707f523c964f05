"""Realism against fidelity as a picture and a page, every system labelled."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.comparison.label_placement import place_labels
from platform.comparison.realism_fidelity import Spot, View, views
from platform.pareto.dominance import Values
from platform.reporting import figures, matplotlib_plots
from platform.reporting.error_bars import ErrorBars
from platform.reporting.panels import metric_label, number
from platform.reporting.style import (
    EDGE_LINE,
    EDGE_TRACE,
    FRONT,
    INK,
    INPUT,
    PLOTLY_SYMBOLS,
    QUIET,
    style_axes,
    style_page,
)
from platform.reporting.tables import bounds_text
from platform.stats.scores import SystemResult
from typing import Any

import numpy as np

TITLE = "Realism against fidelity (bars: 95 % over subjects)"
PICTURE_FONT, PAGE_FONT = 9.5, 12.5
"""Of the labels, in points and in pixels."""
_COLORS = {"front": FRONT, "system": "#6b7f95", "input": INPUT}
_LABEL_COLORS = {"front": FRONT, "system": INK, "input": INPUT}
_MARKERS = {"front": "o", "system": "o", "input": "X"}


@dataclass(frozen=True, eq=False)
class Label:
    """A name beside its anchor [2] in data, ``offset`` [2] from it in units of the frame."""

    text: str
    color: str
    anchor: Values
    offset: Values


def realism_fidelity_figure(rows: Sequence[SystemResult], path_stem: Path) -> tuple[Path, ...]:
    """Realism over PSNR and over MS-SSIM, a labelled point a system; the HTML and the PNG.

    Bars are 95 % intervals over subjects; the line is the edge of the region that the systems dominate. The
    untouched input is a cross, the 3 T's own realism a line. Nothing is written where no row has
    both measures.
    """
    drawn = views(rows)
    return figures.save(page(drawn), picture(drawn), path_stem) if drawn else ()


def picture(views: Sequence[View]) -> Any:
    """The views side by side, for matplotlib."""
    made = matplotlib_plots.figure(6.6 * len(views), 5.4, TITLE)
    axes = made.subplots(1, len(views), squeeze=False)[0]
    for ax, view in zip(axes, views, strict=True):
        _draw(ax, view)
    made.draw_without_rendering()  # settles the layout, which the labels need and do not change
    for ax, view in zip(axes, views, strict=True):
        width, height = 72 * ax.get_window_extent().size / made.dpi
        for label in labels(view, (width, height), PICTURE_FONT):
            _write(ax, label)
    return made


def page(views: Sequence[View]) -> Any:
    """The views side by side, for plotly."""
    from plotly.subplots import make_subplots

    width, height, spacing = 640 * len(views), 600, 0.09 if len(views) > 1 else 0.0
    made = style_page(make_subplots(1, len(views), horizontal_spacing=spacing), TITLE, width, height)
    made.update_layout(showlegend=False)
    margin = made.layout.margin
    inner = (width - margin.l - margin.r) * (1 - spacing * (len(views) - 1)) / len(views)
    for column, view in enumerate(views, 1):
        made.add_traces(_traces(view), rows=1, cols=column)
        x, y = view.scaled(view.limits.T).T.tolist()
        scale = {"type": "log", "dtick": "D2"} if view.log else {"type": "linear"}
        made.update_xaxes(title=view.titles[0], range=x, **scale, row=1, col=column)
        made.update_yaxes(title=view.titles[1], range=y, row=1, col=column)
        for label in labels(view, (inner, height - margin.t - margin.b), PAGE_FONT):
            made.add_annotation(**_annotation(view, label), row=1, col=column)
    return made


def labels(view: View, frame: tuple[float, float], size: float) -> list[Label]:
    """The names of all spots and of the floor; ``size`` is the font's, in units of ``frame``."""
    names = [(spot.label, _LABEL_COLORS[spot.kind]) for spot in view.spots]
    anchors = view.means
    if view.floor:
        names.append((f"floor: {view.floor[0]}", INK))
        anchors = np.concatenate([anchors, [[view.floor[1], view.limits[1] @ (0.97, 0.03)]]])
    pixels = view.unit(anchors) * frame
    sizes = np.array([[0.6 * size * len(name), 1.35 * size] for name, _ in names])
    offsets = place_labels(pixels, sizes, frame, _obstacles(view, np.array(frame))) - pixels
    return [Label(*name, *where) for name, *where in zip(names, anchors, offsets, strict=True)]


def _obstacles(view: View, frame: Values) -> Values:
    """Bars, edge and floor as boxes [m, 4] three wide."""
    middle, bars, ends = view.means, view.bars, view.limits[1]
    lines = [
        np.stack([bars[:, 0], np.repeat(middle[:, 1:], 2, 1)], 2),
        np.stack([np.repeat(middle[:, :1], 2, 1), bars[:, 1]], 2),
        np.stack([view.edge[:-1], view.edge[1:]], 1),
        np.array([[[view.floor[1], y] for y in ends]] if view.floor else np.empty((0, 2, 2))),
    ]
    points = np.concatenate(lines)
    pixels = view.unit(points.reshape(-1, 2)).reshape(points.shape) * frame
    return np.concatenate([pixels.min(1) - 1.5, pixels.max(1) + 1.5], 1)


def _draw(ax: Any, view: View) -> None:
    ax.plot(*view.edge.T, **EDGE_LINE)
    for spot, bars, (x, y) in zip(view.spots, view.bars, view.means, strict=True):
        color = _COLORS[spot.kind]
        ax.hlines(y, *bars[0], color=color, linewidth=0.8, alpha=0.45, zorder=1)
        ax.vlines(x, *bars[1], color=color, linewidth=0.8, alpha=0.45, zorder=1)
        ax.scatter(x, y, s=52, color=color, marker=_MARKERS[spot.kind], linewidths=0, zorder=3)
    if view.floor:
        ax.axvline(view.floor[1], color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    style_axes(ax, *view.titles)
    if view.log:
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlim=view.limits[0], ylim=view.limits[1])


def _write(ax: Any, label: Label) -> None:
    line = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
    style = {"ha": "center", "va": "center", "fontsize": PICTURE_FONT, "zorder": 4, "arrowprops": line}
    place = {"textcoords": "offset points", "color": label.color}
    ax.annotate(label.text, label.anchor, label.offset, **place, **style)


def _traces(view: View) -> list[Any]:
    import plotly.graph_objects as go

    x, y = view.edge.T.tolist()
    traces = [go.Scatter(x=x, y=y, **EDGE_TRACE)]
    if view.floor:
        dashes = {"color": QUIET, "width": 1.4, "dash": "dash"}
        ends = {"x": [view.floor[1]] * 2, "y": view.limits[1].tolist()}
        traces.append(go.Scatter(**ends, mode="lines", line=dashes, hoverinfo="skip"))
    lengths = (view.bars - view.means[:, :, None]) * (-1, 1) + 0.0  # adding 0.0 takes the sign off -0.0
    for spot, mean, ends in zip(view.spots, view.means, lengths, strict=True):
        traces.append(_marker(view, spot, ErrorBars(mean[None], ends[None])))
    return traces


def _marker(view: View, spot: Spot, bars: ErrorBars) -> Any:
    color = _COLORS[spot.kind]
    marker = {"size": 11, "color": color, "symbol": PLOTLY_SYMBOLS[_MARKERS[spot.kind]]}
    hover = {"hoverinfo": "text", "hovertext": _hover(view, spot), "name": html.escape(spot.label)}
    return bars.trace({"thickness": 0.8, "width": 0, "color": color}, marker=marker, **hover)


def _hover(view: View, spot: Spot) -> str:
    lines = [f"<b>{html.escape(spot.label)}</b>"]
    for metric, cell in ((view.realism, spot.x), (view.metric, spot.y)):
        words = (f"{metric_label(metric)} <b>{number(cell.mean)}</b>", bounds_text(cell.low, cell.high))
        lines.append(" ".join(word for word in words if word))
    return "<br>".join(lines)


def _annotation(view: View, label: Label) -> dict[str, Any]:
    (x, y), (right, up) = view.scaled(label.anchor[None])[0].tolist(), label.offset.tolist()
    line = {"showarrow": True, "arrowhead": 0, "arrowwidth": 0.7, "arrowcolor": QUIET, "standoff": 6}
    words = {"text": html.escape(label.text), "font": {"size": PAGE_FONT, "color": label.color}}
    return {"x": x, "y": y, "ax": right, "ay": -up, **words, **line}
