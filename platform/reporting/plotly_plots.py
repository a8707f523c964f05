"""HTML pages by plotly, to explore a front; each holds all it needs and opens without a network."""

import html
from collections.abc import Sequence
from pathlib import Path
from platform.reporting.panels import (
    FRONT,
    GRID,
    INK,
    INPUT,
    KNEE,
    QUIET,
    UNTOUCHED,
    Layer,
    Panel,
    PlottedCandidate,
    metric_label,
    number,
)
from platform.study.settings import Objective
from typing import Any

_LOOKS: dict[str, dict[str, Any]] = {
    "candidates": {"size": 8, "color": QUIET, "opacity": 0.6},
    "front": {"size": 11, "color": FRONT, "line": {"color": "white", "width": 1}},
    "knee": {"size": 14, "color": KNEE, "symbol": "diamond", "line": {"color": "white", "width": 1}},
    UNTOUCHED: {"size": 12, "color": INPUT, "symbol": "x"},
}


def pareto_page(panels: Sequence[Panel], layers: Sequence[Layer], texts: Sequence[str], title: str) -> Any:
    """The panels in rows of three; ``texts`` [n] appear over the points."""
    from plotly.subplots import make_subplots

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    page = make_subplots(rows, columns, horizontal_spacing=0.08, vertical_spacing=0.12)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        for trace in _traces(panel, layers, texts, legend=index == 0):
            page.add_trace(trace, row + 1, column + 1)
        page.update_xaxes(title=panel.x.label, row=row + 1, col=column + 1)
        page.update_yaxes(title=panel.y.label, row=row + 1, col=column + 1)
    return dress(page, title, 760 if columns == 1 else 460 * columns, 460 * rows + 120)


def hypervolume_page(curve: Sequence[float], title: str) -> Any:
    """A step curve over the finished trials."""
    import plotly.graph_objects as go

    line = {"shape": "hv", "color": FRONT, "width": 2}
    count = list(range(1, len(curve) + 1))
    page = go.Figure(go.Scatter(x=count, y=list(curve), line=line, mode="lines"))
    page.update_xaxes(title="finished trials").update_yaxes(title="hypervolume", rangemode="tozero")
    return dress(page, title, 900, 480)


def hover(point: PlottedCandidate, objectives: Sequence[Objective]) -> str:
    """Trial, steps, values and parameters of a point; what the user wrote is escaped."""
    values = [f"{metric_label(o.name)} <b>{number(point.values[o.name])}</b>" for o in objectives]
    params = [html.escape(f"{key} = {_shown(value)}") for key, value in point.params.items()]
    return "<br>".join([f"<b>{point}</b>", *values, *params])


def save(page: Any, path: Path) -> Path:
    """Write the page with plotly inside, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.write_html(path, include_plotlyjs=True, div_id="figure")
    return path


def _traces(panel: Panel, layers: Sequence[Layer], texts: Sequence[str], legend: bool) -> list[Any]:
    import plotly.graph_objects as go

    edge = {"mode": "lines", "line": {"color": FRONT, "width": 1.4}, "opacity": 0.6, "hoverinfo": "skip"}
    traces = [go.Scatter(x=panel.edge[:, 0].tolist(), y=panel.edge[:, 1].tolist(), showlegend=False, **edge)]
    for layer in layers:
        x, y = panel.x.values[layer.members], panel.y.values[layer.members]
        chosen = [texts[i] for i in layer.members]
        traces.append(_markers(layer.kind, layer.label, (x.tolist(), y.tolist()), chosen, legend))
    if panel.untouched is not None:
        x0, y0 = panel.untouched
        traces.append(_markers(UNTOUCHED, UNTOUCHED, ([x0], [y0]), [UNTOUCHED], legend))
    return traces


def _markers(
    kind: str, label: str, xy: tuple[list[float], list[float]], texts: list[str], legend: bool
) -> Any:
    import plotly.graph_objects as go

    named = {"name": label, "legendgroup": kind, "showlegend": legend}
    return go.Scatter(
        x=xy[0], y=xy[1], mode="markers", marker=_LOOKS[kind], hoverinfo="text", hovertext=texts, **named
    )


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def dress(page: Any, title: str, width: int, height: int) -> Any:
    """The house's page in pixels: bold title, white ground, quiet grid; returns the page."""
    page.update_layout(
        title={"text": f"<b>{title}</b>", "x": 0.01, "font": {"size": 18}},
        width=width,
        height=height,
        plot_bgcolor="white",
        font={"family": "Helvetica, Arial, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": -0.12, "yanchor": "top", "x": 0.5, "xanchor": "center"},
        hoverlabel={"bgcolor": "white", "align": "left"},
        margin={"l": 70, "r": 30, "t": 70, "b": 60},
    )
    page.update_xaxes(gridcolor=GRID, linecolor=QUIET, zeroline=False)
    page.update_yaxes(gridcolor=GRID, linecolor=QUIET, zeroline=False)
    return page
