"""HTML pages by plotly, to explore a front; each holds all that it needs and opens without a network."""

import html
from collections.abc import Sequence
from pathlib import Path
from platform.reporting.panels import (
    UNTOUCHED,
    Layer,
    Panel,
    PlottedCandidate,
    grid_shape,
    metric_label,
    number,
)
from platform.reporting.style import EDGE_TRACE, FRONT, MARKERS, style_page
from platform.study.settings import Objective
from typing import Any


def pareto_page(panels: Sequence[Panel], layers: Sequence[Layer], texts: Sequence[str], title: str) -> Any:
    """The panels in rows; ``texts`` [n] appear over the candidates."""
    from plotly.subplots import make_subplots

    rows, columns = grid_shape(len(panels))
    page = make_subplots(rows, columns, horizontal_spacing=0.08, vertical_spacing=0.12)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        for trace in _traces(panel, layers, texts, legend=index == 0):
            page.add_trace(trace, row + 1, column + 1)
        page.update_xaxes(title=panel.x.label, row=row + 1, col=column + 1)
        page.update_yaxes(title=panel.y.label, row=row + 1, col=column + 1)
    return style_page(page, title, 760 if columns == 1 else 460 * columns, 460 * rows + 120)


def hypervolume_page(curve: Sequence[float], title: str) -> Any:
    """A step curve over the finished trials."""
    import plotly.graph_objects as go

    line = {"shape": "hv", "color": FRONT, "width": 2}
    count = list(range(1, len(curve) + 1))
    page = go.Figure(go.Scatter(x=count, y=list(curve), line=line, mode="lines"))
    page.update_xaxes(title="finished trials").update_yaxes(title="hypervolume", rangemode="tozero")
    return style_page(page, title, 900, 480)


def hover(candidate: PlottedCandidate, objectives: Sequence[Objective]) -> str:
    """Trial, steps, values and parameters of a candidate; what the user wrote is escaped."""
    values = [f"{metric_label(o.name)} <b>{number(candidate.values[o.name])}</b>" for o in objectives]
    params = [html.escape(f"{key} = {_written(value)}") for key, value in candidate.params.items()]
    return "<br>".join([f"<b>{candidate}</b>", *values, *params])


def save(page: Any, path: Path) -> Path:
    """Write the page with plotly inside, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.write_html(path, include_plotlyjs=True, div_id="figure")
    return path


def _traces(panel: Panel, layers: Sequence[Layer], texts: Sequence[str], legend: bool) -> list[Any]:
    import plotly.graph_objects as go

    x, y = panel.edge.T.tolist()
    traces = [go.Scatter(x=x, y=y, showlegend=False, **EDGE_TRACE)]
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
        x=xy[0], y=xy[1], mode="markers", marker=MARKERS[kind], hoverinfo="text", hovertext=texts, **named
    )


def _written(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
