"""Validation against test: how much of what a search saw remains (the winner's curse), told and drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from platform.confirmation.seed_report import bounded, heading, shown
from platform.pareto.front import CandidateKey
from platform.reporting import matplotlib_plots, plotly_plots
from platform.reporting.panels import FRONT, INK, INPUT, KNEE, QUIET, UNTOUCHED, metric_label, number
from platform.stats.scores import interval_to_json
from platform.study.settings import Objective
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainers.metrics.frechet import Interval

if TYPE_CHECKING:
    from rich.table import Table

TITLE = "Validation against test"
NOTE = (
    "search: the validation value that the candidate was chosen by; validation and test: means over the same "
    "trainings with 95 % intervals over seeds and subjects; checkpoint: the search's own training on test."
)
HEADS = ("search", "validation", "test", "checkpoint")


@dataclass(frozen=True)
class SplitComparison:
    """A candidate, or the untouched input, on both splits."""

    label: str
    key: CandidateKey | None
    searched: Mapping[str, float]
    """Objectives as the search saw them; empty for the untouched input."""
    validation: Mapping[str, Interval]
    test: Mapping[str, Interval]
    own: Mapping[str, float]
    """On the test split, of the search's own training alone."""
    trainings: int = 0
    """How many are averaged."""

    @property
    def place(self) -> str:
        """What MLflow's metrics call it."""
        return f"{self.key[0]}_{self.key[1]}" if self.key else "input"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        splits = {"validation": self.validation, "test": self.test}
        intervals = {
            split: {name: interval_to_json(interval) for name, interval in values.items()}
            for split, values in splits.items()
        }
        return {**asdict(self), **intervals}


def untouched(validation: Mapping[str, Interval], test: Mapping[str, Interval]) -> SplitComparison:
    """The 64 mT input as it is."""
    return SplitComparison(UNTOUCHED, None, {}, validation, test, {})


def terminal(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> "Table":
    """A line a candidate and objective."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=TITLE, title_justify="left", title_style="bold")
    table.add_column("objective")
    table.add_column("candidate")
    for head in (*HEADS, "trainings"):
        table.add_column(head, justify="right")
    for objective, row, cells in _lines(rows, objectives):
        first, last = row is rows[0], row is rows[-1]
        named = heading(objective) if first else ""
        table.add_row(named, row.label, *cells, end_section=last, style=None if row.key else "dim")
    return table


def markdown(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> str:
    """The same as a Markdown table."""
    lines = [["objective", "candidate", *HEADS, "trainings"], ["---", "---"] + ["---:"] * (len(HEADS) + 1)]
    lines += [[heading(objective), row.label, *cells] for objective, row, cells in _lines(rows, objectives)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {TITLE}\n\n{table}\n\n{NOTE}\n"


def figure(
    rows: Sequence[SplitComparison], objectives: Sequence[Objective], folder: Path
) -> tuple[Path, Path]:
    """A panel an objective with its identity line; HTML and PNG."""
    known = [o for o in objectives if any(o.name in row.test for row in rows)]
    page = plotly_plots.save(_page(rows, known), folder / "test.html")
    return page, matplotlib_plots.save(_picture(rows, known), folder / "test.png")


def _lines(
    rows: Sequence[SplitComparison], objectives: Sequence[Objective]
) -> Iterator[tuple[Objective, SplitComparison, list[str]]]:
    for objective in objectives:
        for row in rows:
            name = objective.name
            values = [number(row.searched[name])] if name in row.searched else [""]
            values += [shown(side[name]) if name in side else "" for side in (row.validation, row.test)]
            values += [number(row.own[name]) if name in row.own else ""]
            yield objective, row, [*values, str(row.trainings) if row.key else ""]


@dataclass(frozen=True, eq=False)
class _Series:
    """Points of one kind in a panel: validation and test [n, 2], bars' arms [n, 2, 2] down and up."""

    label: str
    names: list[str]
    points: NDArray[np.float64]
    arms: NDArray[np.float64]


def _series(rows: Sequence[SplitComparison], name: str) -> list[_Series]:
    candidates = [row for row in rows if row.key and name in row.test]
    inputs = [row for row in rows if not row.key and name in row.test]
    seen = np.array([[row.searched[name], row.own[name]] for row in candidates]).reshape(-1, 2)
    found = [
        _Series("the search's own training", [r.label for r in candidates], seen, np.zeros((len(seen), 2, 2)))
    ]
    for label, group in (("mean over trainings", candidates), (UNTOUCHED, inputs)):
        if group:
            both = [(row.validation[name], row.test[name]) for row in group]
            points = np.array([[side.estimate for side in sides] for sides in both])
            arms = np.array([[[s.estimate - s.low, s.high - s.estimate] for s in sides] for sides in both])
            found.append(_Series(label, [row.label for row in group], points, np.nan_to_num(arms)))
    return found


def _limits(series: Sequence[_Series]) -> list[float]:
    """Of both axes alike."""
    points = np.concatenate([s.points for s in series])
    ends = np.concatenate([s.points[:, :, None] + s.arms * (-1, 1) for s in series])
    return bounded(points, ends)


_COLOURS = {"the search's own training": QUIET, "mean over trainings": KNEE, UNTOUCHED: INPUT}
_MARKS = {"the search's own training": "o", "mean over trainings": "D", UNTOUCHED: "X"}
_SYMBOLS = {"o": "circle-open", "D": "diamond", "X": "x"}


def _picture(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> Any:
    picture = matplotlib_plots.figure(max(4.6, 4.4 * len(objectives)), 4.7, TITLE)
    axes = picture.subplots(1, len(objectives), squeeze=False)[0]
    for ax, objective in zip(axes, objectives, strict=True):
        series = _series(rows, objective.name)
        limits = _limits(series)
        ax.plot(limits, limits, color=FRONT, linewidth=1.0, linestyle="--", label="test = validation")
        for one in series:
            _draw(ax, one)
        label = metric_label(objective.name)
        matplotlib_plots.dress(ax, f"{label}, validation", f"{label}, test")
        ax.set_xlim(limits)
        ax.set_ylim(limits)
        ax.set_aspect("equal")
    handles, labels = axes[0].get_legend_handles_labels()
    style = {"frameon": False, "fontsize": 9, "labelcolor": INK, "handletextpad": 0.4, "columnspacing": 1.4}
    picture.legend(handles, labels, loc="outside lower center", ncols=2 if len(axes) == 1 else 4, **style)
    return picture


def _draw(ax: Any, series: _Series) -> None:
    (x, y), colour = series.points.T, _COLOURS[series.label]
    style = {"color": colour, "markersize": 6, "elinewidth": 1.0, "capsize": 2.5}
    filled = "white" if _MARKS[series.label] == "o" else colour
    ax.errorbar(
        *(x, y),
        fmt=_MARKS[series.label],
        xerr=series.arms[:, 0].T,
        yerr=series.arms[:, 1].T,
        label=series.label,
        markerfacecolor=filled,
        **style,
    )


def _page(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> Any:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    page = make_subplots(1, len(objectives), horizontal_spacing=0.08)
    for column, objective in enumerate(objectives, 1):
        series = _series(rows, objective.name)
        limits = _limits(series)
        line = {"color": FRONT, "width": 1, "dash": "dash"}
        same = {"name": "test = validation", "legendgroup": "same", "showlegend": column == 1}
        page.add_trace(go.Scatter(x=limits, y=limits, mode="lines", line=line, **same), 1, column)
        page.add_traces([_markers(one, column == 1) for one in series], rows=1, cols=column)
        label = metric_label(objective.name)
        page.update_xaxes(title=f"{label}, validation", range=limits, row=1, col=column)
        page.update_yaxes(title=f"{label}, test", range=limits, row=1, col=column)
    return plotly_plots.dress(page, TITLE, max(640, 460 * len(objectives)), 580)


def _markers(series: _Series, legend: bool) -> Any:
    import plotly.graph_objects as go

    bars = [
        {"type": "data", "symmetric": False, "array": up.tolist(), "arrayminus": down.tolist()}
        for down, up in series.arms.transpose(1, 2, 0)
    ]
    marker = {"size": 9, "color": _COLOURS[series.label], "symbol": _SYMBOLS[_MARKS[series.label]]}
    named = {"name": series.label, "legendgroup": series.label, "showlegend": legend}
    x, y = series.points.T.tolist()
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker=marker,
        error_x=bars[0],
        error_y=bars[1],
        hovertext=series.names,
        **named,
    )
