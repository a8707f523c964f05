"""How every picture and page looks: colours, markers, axes, legends."""

from platform.reporting.panels import UNTOUCHED
from typing import Any

INK, QUIET, GRID = "#1f2933", "#9aa5b1", "#e6e9ed"
FRONT, KNEE, INPUT = "#1f5fa8", "#d9822b", "#7b2d43"

SCATTER: dict[str, dict[str, Any]] = {
    "candidates": {"s": 24, "color": QUIET, "alpha": 0.6, "linewidths": 0, "zorder": 1},
    "front": {"s": 46, "color": FRONT, "edgecolors": "white", "linewidths": 0.8, "zorder": 3},
    "knee": {"s": 90, "color": KNEE, "marker": "D", "edgecolors": "white", "linewidths": 1.0, "zorder": 4},
    UNTOUCHED: {"s": 60, "color": INPUT, "marker": "X", "linewidths": 0},
}
"""Of matplotlib's ``scatter``, by a layer's kind."""

MARKERS: dict[str, dict[str, Any]] = {
    "candidates": {"size": 8, "color": QUIET, "opacity": 0.6},
    "front": {"size": 11, "color": FRONT, "line": {"color": "white", "width": 1}},
    "knee": {"size": 14, "color": KNEE, "symbol": "diamond", "line": {"color": "white", "width": 1}},
    UNTOUCHED: {"size": 12, "color": INPUT, "symbol": "x"},
}
"""Plotly's, by a layer's kind."""

PLOTLY_SYMBOLS = {"o": "circle", "D": "diamond", "X": "x"}
"""By matplotlib's marker."""

EDGE_LINE: dict[str, Any] = {"color": FRONT, "linewidth": 1.2, "alpha": 0.6, "zorder": 2}
"""Of matplotlib's ``plot``, for the edge of what a front dominates."""

EDGE_TRACE: dict[str, Any] = {
    "mode": "lines",
    "line": {"color": FRONT, "width": 1.4},
    "opacity": 0.6,
    "hoverinfo": "skip",
}
"""The same as a trace of plotly."""


def style_axes(ax: Any, x: str, y: str) -> None:
    """Matplotlib's axes: two labels, a light grid, no box."""
    ax.set_xlabel(x, color=INK, fontsize=10)
    ax.set_ylabel(y, color=INK, fontsize=10)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=9, length=0)
    ax.locator_params(nbins=6)
    ax.margins(0.08)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def set_legend(picture: Any, columns: int = 4, text_gap: float = 0.4) -> None:
    """One legend below a matplotlib figure, of all that its first axes hold; replaces an earlier one."""
    for legend in list(picture.legends):
        legend.remove()
    style = {"frameon": False, "fontsize": 9, "labelcolor": INK, "columnspacing": 1.4}
    handles, labels = picture.axes[0].get_legend_handles_labels()
    place = {"loc": "outside lower center", "ncols": columns, "handletextpad": text_gap}
    picture.legend(handles, labels, **place, **style)


def style_page(page: Any, title: str, width: int, height: int) -> Any:
    """A plotly page in pixels: bold title, white ground, light grid; returns the page."""
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
