"""Realism against fidelity: where each system stands between the untouched input and the 3 T itself."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from platform.pareto.dominance import Values, minimised, nondominated
from platform.reporting import matplotlib_plots, plotly_plots
from platform.reporting.panels import FRONT, INK, INPUT, QUIET, metric_label, number, staircase
from platform.stats.ranks import Cell, cells
from platform.stats.scores import SystemResult
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIDELITY = ("psnr", "ms_ssim")
DIRECTIONS = ("minimize", "maximize")
SPAN = 8.0
"""From the smallest to the largest FID: beyond this, only a logarithm shows them all."""

_COLOURS = {"front": FRONT, "system": "#6b7f95", "input": INPUT}
_MARKS = {"front": "o", "system": "o", "input": "X"}
_SYMBOLS = {"front": "circle", "system": "circle", "input": "x"}


@dataclass(frozen=True)
class Spot:
    """A row in a view; ``kind`` is "front" or another "system", or "input"."""

    label: str
    kind: str
    x: Cell
    y: Cell


@dataclass(frozen=True, eq=False)
class Label:
    """A name beside its anchor [2] in data, ``offset`` [2] from it in units of the frame."""

    text: str
    colour: str
    anchor: Values
    offset: Values


@dataclass(frozen=True)
class View:
    """FID against one fidelity."""

    metric: str
    spots: tuple[Spot, ...]
    floor: tuple[str, float] | None
    """Label and FID of the 3 T itself."""
    edge: Values
    """[k, 2], of what the systems attain."""
    log: bool
    limits: Values
    """[2, 2]: of x, of y."""

    def unit(self, points: Values) -> Values:
        """Where points [n, 2] lie between the limits, in [0, 1] from the lower left."""
        scaled = self.scaled(points)
        low, high = self.scaled(self.limits.T)
        return np.asarray((scaled - low) / (high - low))

    def scaled(self, points: Values) -> Values:
        """Points [n, 2] as the axes count, in decades where they are logarithmic."""
        return np.stack([np.log10(points[:, 0]), points[:, 1]], 1) if self.log else points

    @property
    def means(self) -> Values:
        """[n, 2], of the spots."""
        return np.array([[s.x.mean, s.y.mean] for s in self.spots])

    @property
    def bars(self) -> Values:
        """[n, 2, 2]: of x and of y, low and high, within the limits; the mean twice without an interval."""
        found = np.array([[_bounds(s.x), _bounds(s.y)] for s in self.spots])
        return np.asarray(np.clip(found, self.limits[:, 0, None], self.limits[:, 1, None]))


def plane(rows: Sequence[SystemResult], path_stem: Path) -> tuple[Path, ...]:
    """FID over PSNR and over MS-SSIM, a labelled point a system; the HTML and the PNG.

    Bars are 95 % intervals over subjects; the line is the edge of what the systems attain. The untouched
    input is a cross, the 3 T's own FID a line. Nothing is written where no row has both measures.
    """
    drawn = views(rows)
    if not drawn:
        return ()
    title = "Realism against fidelity (bars: 95 % over subjects)"
    page = plotly_plots.save(plane_page(drawn, title), path_stem.with_name(f"{path_stem.name}.html"))
    return page, matplotlib_plots.save(
        plane_picture(drawn, title), path_stem.with_name(f"{path_stem.name}.png")
    )


def views(rows: Sequence[SystemResult]) -> list[View]:
    """A view for each fidelity that a row has beside its FID."""
    found = [_view(rows, metric) for metric in FIDELITY]
    return [view for view in found if view]


def plane_picture(views: Sequence[View], title: str) -> Any:
    """The views side by side, for matplotlib."""
    picture = matplotlib_plots.figure(6.6 * len(views), 5.4, title)
    axes = picture.subplots(1, len(views), squeeze=False)[0]
    for ax, view in zip(axes, views, strict=True):
        _draw(ax, view)
    picture.draw_without_rendering()  # settles the layout, which the labels need and do not change
    for ax, view in zip(axes, views, strict=True):
        width, height = 72 * ax.get_window_extent().size / picture.dpi
        for label in labels(view, (width, height), 9.5):
            _write(ax, label)
    return picture


def plane_page(views: Sequence[View], title: str) -> Any:
    """The views side by side, for plotly."""
    from plotly.subplots import make_subplots

    width, height, spacing = 640 * len(views), 600, 0.09 if len(views) > 1 else 0.0
    page = plotly_plots.dress(make_subplots(1, len(views), horizontal_spacing=spacing), title, width, height)
    page.update_layout(showlegend=False)
    margin = page.layout.margin
    inner = (width - margin.l - margin.r) * (1 - spacing * (len(views) - 1)) / len(views)
    for column, view in enumerate(views, 1):
        page.add_traces(_traces(view), rows=1, cols=column)
        _axes(page, view, column)
        for label in labels(view, (inner, height - margin.t - margin.b), 12.5):
            page.add_annotation(**_annotation(view, label), row=1, col=column)
    return page


def labels(view: View, frame: tuple[float, float], size: float) -> list[Label]:
    """The names of all spots and of the floor; ``size`` is the font's, in units of ``frame``."""
    colours = {"front": FRONT, "system": INK, "input": INPUT}
    names = [(spot.label, colours[spot.kind]) for spot in view.spots]
    anchors = view.means
    if view.floor:
        names.append((f"floor: {view.floor[0]}", INK))
        anchors = np.concatenate([anchors, [[view.floor[1], view.limits[1] @ (0.97, 0.03)]]])
    pixels = view.unit(anchors) * frame
    sizes = np.array([[0.6 * size * len(name), 1.35 * size] for name, _ in names])
    offsets = place(pixels, sizes, frame, _blocks(view, np.array(frame))) - pixels
    return [Label(*name, *where) for name, *where in zip(names, anchors, offsets, strict=True)]


def place(anchors: Values, sizes: Values, frame: tuple[float, float], blocks: Values) -> Values:
    """Centres [n, 2] for labels of ``sizes`` [n, 2] near ``anchors`` [n, 2], within ``frame``.

    Clear of one another, of the anchors and, less strictly, of ``blocks`` [m, 4] (left, low, right, high);
    the line from anchor to label passes no other anchor. Each takes the cheapest of 112 places around its
    anchor given the others', three times over.
    """
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ways, reach = np.stack([np.cos(angles), np.sin(angles)], 1), np.array([8.0, 14, 22, 34, 50, 70, 95])
    shift = np.concatenate([ways * r for r in reach])
    lean = np.tile(ways / np.abs(ways).max(1, keepdims=True), (len(reach), 1)) / 2
    marks = np.concatenate([anchors - 6, anchors + 6], 1)
    centres = np.full(anchors.shape, -1e6)
    for index in [*range(len(anchors))] * 3:
        places = anchors[index] + shift + lean * sizes[index]
        boxes = _boxes(places, sizes[index])
        others = np.delete(_boxes(centres, sizes + 4), index, 0)
        outside = np.maximum(-boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - frame, 0)
        cost = 10 * _overlap(boxes, others) + 5 * _overlap(boxes, marks) + _overlap(boxes, blocks)
        cost += 1e3 * outside.sum(1) + 3 * np.repeat(reach, len(ways))
        cost += 150 * _passed(anchors[index], places, np.delete(anchors, index, 0))
        centres[index] = places[cost.argmin()]
    return centres


def _boxes(centres: Values, sizes: Values) -> Values:
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)


def _passed(start: Values, ends: Values, marks: Values) -> NDArray[np.int64]:
    """How many ``marks`` [m, 2] each line [n] from ``start`` [2] to one of ``ends`` [n, 2] comes near."""
    ways, gaps = ends - start, marks - start
    along = np.clip(ways @ gaps.T / (ways**2).sum(1)[:, None], 0, 1)
    missed = gaps - along[..., None] * ways[:, None]
    return np.asarray((np.hypot(missed[..., 0], missed[..., 1]) < 7).sum(1))


def _overlap(boxes: Values, others: Values) -> Values:
    """Area [n] of each box [n, 4] that ``others`` [m, 4] cover."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2).sum(1))


def _blocks(view: View, frame: Values) -> Values:
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


def _view(rows: Sequence[SystemResult], metric: str) -> View | None:
    both = zip(rows, cells(rows, "fid", "minimize"), cells(rows, metric, "maximize"), strict=True)
    found = [(row, x, y) for row, x, y in both if x and np.isfinite(x.mean)]
    floor = next(((row.label, x.mean) for row, x, _ in found if row.kind == "truth"), None)
    found = [(row, x, y) for row, x, y in found if row.kind != "truth"]
    spots = [Spot(row.label, row.kind, x, y) for row, x, y in found if y and np.isfinite(y.mean)]
    if not spots:
        return None
    systems = [spot for spot in spots if spot.kind == "system"]
    x, y = np.array([spot.x.mean for spot in systems]), np.array([spot.y.mean for spot in systems])
    front = nondominated(minimised(np.stack([x, y], 1), DIRECTIONS))
    best = [system for system, on in zip(systems, front, strict=True) if on]
    spots = [replace(spot, kind="front") if spot in best else spot for spot in spots]
    return View(metric, tuple(spots), floor, staircase(x, y, DIRECTIONS), *_limits(spots, floor))


def _limits(spots: Sequence[Spot], floor: tuple[str, float] | None) -> tuple[bool, Values]:
    """Whether x is logarithmic, and limits [2, 2] around all means and bars."""
    fids = np.array([*(spot.x.mean for spot in spots), *(floor or ())[1:]])
    x = np.array([*fids, *(bound for spot in spots for bound in _bounds(spot.x))])
    y = np.array([bound for spot in spots for bound in _bounds(spot.y)])
    if fids.min() > 0 and fids.max() > SPAN * fids.min():
        return True, np.array([np.exp(_around(np.log(np.maximum(x, fids.min() / 2)))), _around(y)])
    return False, np.array([_around(x), _around(y)])


def _around(values: Values) -> tuple[float, float]:
    margin = 0.07 * np.ptp(values) or 0.1 * abs(values[0]) or 1.0
    return float(values.min() - margin), float(values.max() + margin)


def _bounds(cell: Cell) -> tuple[float, float]:
    return (cell.mean, cell.mean) if np.isnan(cell.low) else (cell.low, cell.high)


def _titles(view: View) -> tuple[str, str]:
    return f"{metric_label('fid')}, lower is better", f"{metric_label(view.metric)}, higher is better"


def _draw(ax: Any, view: View) -> None:
    ax.plot(*view.edge.T, color=FRONT, linewidth=1.2, alpha=0.6, zorder=2)
    for spot, bars, (x, y) in zip(view.spots, view.bars, view.means, strict=True):
        colour = _COLOURS[spot.kind]
        ax.hlines(y, *bars[0], color=colour, linewidth=0.8, alpha=0.45, zorder=1)
        ax.vlines(x, *bars[1], color=colour, linewidth=0.8, alpha=0.45, zorder=1)
        ax.scatter(x, y, s=52, color=colour, marker=_MARKS[spot.kind], linewidths=0, zorder=3)
    if view.floor:
        ax.axvline(view.floor[1], color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    matplotlib_plots.dress(ax, *_titles(view))
    if view.log:
        from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlim=view.limits[0], ylim=view.limits[1])


def _write(ax: Any, label: Label) -> None:
    line = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
    style = {"ha": "center", "va": "center", "fontsize": 9.5, "zorder": 4, "arrowprops": line}
    ax.annotate(
        label.text, label.anchor, label.offset, textcoords="offset points", color=label.colour, **style
    )


def _traces(view: View) -> list[Any]:
    import plotly.graph_objects as go

    edge = {"mode": "lines", "line": {"color": FRONT, "width": 1.4}, "opacity": 0.6, "hoverinfo": "skip"}
    traces = [go.Scatter(x=view.edge[:, 0].tolist(), y=view.edge[:, 1].tolist(), **edge)]
    if view.floor:
        dashes = {"color": QUIET, "width": 1.4, "dash": "dash"}
        ends = {"x": [view.floor[1]] * 2, "y": view.limits[1].tolist()}
        traces.append(go.Scatter(**ends, mode="lines", line=dashes, hoverinfo="skip"))
    for spot, bars, mean in zip(view.spots, view.bars, view.means, strict=True):
        traces.append(_dot(view, spot, bars, mean))
    return traces


def _dot(view: View, spot: Spot, bars: Values, mean: Values) -> Any:
    import plotly.graph_objects as go

    colour = _COLOURS[spot.kind]
    bar = {"type": "data", "symmetric": False, "thickness": 0.8, "width": 0, "color": colour}
    error = [
        bar | {"array": [high - value], "arrayminus": [value - low]}
        for (low, high), value in zip(bars.tolist(), mean.tolist(), strict=True)
    ]
    marker = {"size": 11, "color": colour, "symbol": _SYMBOLS[spot.kind]}
    hover = {"hoverinfo": "text", "hovertext": _hover(view, spot), "name": html.escape(spot.label)}
    return go.Scatter(
        x=[mean[0]], y=[mean[1]], error_x=error[0], error_y=error[1], mode="markers", marker=marker, **hover
    )


def _hover(view: View, spot: Spot) -> str:
    lines = [f"<b>{html.escape(spot.label)}</b>"]
    for metric, cell in (("fid", spot.x), (view.metric, spot.y)):
        interval = "" if np.isnan(cell.low) else f" [{number(cell.low)}, {number(cell.high)}]"
        lines.append(f"{metric_label(metric)} <b>{number(cell.mean)}</b>{interval}")
    return "<br>".join(lines)


def _axes(page: Any, view: View, column: int) -> None:
    x, y = view.scaled(view.limits.T).T.tolist()
    kind = {"type": "log", "dtick": "D2"} if view.log else {"type": "linear"}
    page.update_xaxes(title=_titles(view)[0], range=x, **kind, row=1, col=column)
    page.update_yaxes(title=_titles(view)[1], range=y, row=1, col=column)


def _annotation(view: View, label: Label) -> dict[str, Any]:
    (x, y), (right, up) = view.scaled(label.anchor[None])[0].tolist(), label.offset.tolist()
    line = {"showarrow": True, "arrowhead": 0, "arrowwidth": 0.7, "arrowcolor": QUIET, "standoff": 6}
    words = {"text": html.escape(label.text), "font": {"size": 12.5, "color": label.colour}}
    return {"x": x, "y": y, "ax": right, "ay": -up, **words, **line}
