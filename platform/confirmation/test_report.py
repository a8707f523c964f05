"""Validation against test: how much remains of the search's values (the winner's curse)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from platform.confirmation.ranking import place
from platform.pareto.front import CandidateKey
from platform.reporting import figures, matplotlib_plots
from platform.reporting.error_bars import ErrorBars, limits
from platform.reporting.panels import UNTOUCHED, metric_label, number
from platform.reporting.style import (
    FRONT,
    INPUT,
    KNEE,
    PLOTLY_SYMBOLS,
    QUIET,
    set_legend,
    style_axes,
    style_page,
)
from platform.reporting.tables import heading, interval_text, markdown_table, screen_table
from platform.stats.scores import interval_to_json
from platform.study.settings import Objective
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.metrics.frechet import Interval
from trainers.metrics.names import BASELINES

if TYPE_CHECKING:
    from rich.table import Table

TITLE = "Validation against test"
NOTE = (
    "search: the validation value that the candidate was chosen by; validation and test: means over the same "
    "trainings with 95 % intervals over seeds and subjects; checkpoint: the search's own training on test. "
    "shifted: test subjects of another population and other scanners."
)
HEADS = ("objective", "candidate", "search", "validation", "test", "shifted", "checkpoint", "trainings")
OWN, MEAN = "the search's own training", "mean over trainings"
_LOOKS = {OWN: ("o", QUIET), MEAN: ("D", KNEE), UNTOUCHED: ("X", INPUT)}
"""Marker and colour, by a series' label."""


@dataclass(frozen=True)
class SplitComparison:
    """A candidate, or a baseline, on both splits."""

    label: str
    key: CandidateKey | None
    searched: Mapping[str, float]
    """Objectives by which the search chose it; empty for a baseline."""
    validation: Mapping[str, Interval]
    test: Mapping[str, Interval]
    own: Mapping[str, float]
    """On the test split, of the search's own training alone."""
    trainings: int = 0
    """How many are averaged."""
    baseline: str = ""
    """Its name, unless it is a candidate."""
    shifted: Mapping[str, Interval] = field(default_factory=dict)
    """On the shifted test split, of a cohort that has one."""
    measured: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By split, then metric: ``3 of 16 subjects``, where some have no value."""

    @property
    def splits(self) -> dict[str, Mapping[str, Interval]]:
        """The intervals of each split."""
        return {"validation": self.validation, "test": self.test, "shifted": self.shifted}

    @property
    def place(self) -> str:
        """Its name in MLflow's metrics."""
        return place(self.key) if self.key else self.baseline

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        intervals = {
            split: {name: interval_to_json(interval) for name, interval in values.items()}
            for split, values in self.splits.items()
        }
        return {**asdict(self), **intervals}


def baseline(
    name: str,
    validation: Mapping[str, Interval],
    test: Mapping[str, Interval],
    shifted: Mapping[str, Interval],
) -> SplitComparison:
    """What is no candidate: the 64 mT input untouched, or translated without a network."""
    label = BASELINES[name]
    return SplitComparison(label, None, {}, validation, test, {}, baseline=name, shifted=shifted)


def terminal(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> "Table":
    """A line for each candidate and objective."""
    shown = _shown(rows)
    table = screen_table(TITLE, [HEADS[i] for i in shown], left=2)
    for objective, row, cells in _lines(rows, objectives):
        first, last = row is rows[0], row is rows[-1]
        title = heading(objective.name, objective.direction) if first else ""
        line = [title, row.label, *cells]
        table.add_row(*(line[i] for i in shown), end_section=last, style=None if row.key else "dim")
    return table


def markdown(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> str:
    """The same as a Markdown table, with an explanation of its numbers."""
    lines = [
        [heading(objective.name, objective.direction), row.label, *cells]
        for objective, row, cells in _lines(rows, objectives)
    ]
    shown = _shown(rows)
    table = markdown_table([HEADS[i] for i in shown], [[line[i] for i in shown] for line in lines], left=2)
    return f"### {TITLE}\n\n{table}\n\n{NOTE}\n"


def _shown(rows: Sequence[SplitComparison]) -> list[int]:
    """The columns: that of the shifted split only where a row has it."""
    shifted = any(row.shifted for row in rows)
    return [i for i, head in enumerate(HEADS) if head != "shifted" or shifted]


def figure(
    rows: Sequence[SplitComparison], objectives: Sequence[Objective], folder: Path
) -> tuple[Path, Path]:
    """A panel for each objective with its identity line; HTML and PNG."""
    known = [o for o in objectives if any(o.name in row.test for row in rows)]
    return figures.save(_page(rows, known), _picture(rows, known), folder / "test")


def _lines(
    rows: Sequence[SplitComparison], objectives: Sequence[Objective]
) -> Iterator[tuple[Objective, SplitComparison, list[str]]]:
    for objective in objectives:
        for row in rows:
            name = objective.name
            searched, own = (number(of[name]) if name in of else "" for of in (row.searched, row.own))
            intervals = [_cell(row, split, name) for split in row.splits]
            yield objective, row, [searched, *intervals, own, str(row.trainings) if row.key else ""]


def _cell(row: SplitComparison, split: str, name: str) -> str:
    if name not in row.splits[split]:
        return ""
    measured = row.measured.get(split, {}).get(name, "")
    return f"{interval_text(row.splits[split][name])} {measured and f'({measured})'}".rstrip()


@dataclass(frozen=True)
class _Series:
    """Candidates of one kind in a panel, test over validation."""

    label: str
    names: list[str]
    bars: ErrorBars


def _series(rows: Sequence[SplitComparison], name: str) -> list[_Series]:
    candidates = [row for row in rows if row.key and name in row.test]
    inputs = [row for row in rows if row.baseline == "input" and name in row.test]
    own = np.array([[row.searched[name], row.own[name]] for row in candidates]).reshape(-1, 2)
    series = [_Series(OWN, [r.label for r in candidates], ErrorBars(own, np.zeros((len(own), 2, 2))))]
    for label, group in ((MEAN, candidates), (UNTOUCHED, inputs)):
        if group:
            bars = ErrorBars.of([(row.validation[name], row.test[name]) for row in group])
            series.append(_Series(label, [row.label for row in group], bars))
    return series


def _limits(series: Sequence[_Series]) -> list[float]:
    """Of both axes alike."""
    points = np.concatenate([s.bars.points for s in series])
    return limits(points, np.concatenate([s.bars.ends for s in series]))


def _picture(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> Any:
    picture = matplotlib_plots.figure(max(4.6, 4.4 * len(objectives)), 4.7, TITLE)
    axes = picture.subplots(1, len(objectives), squeeze=False)[0]
    for ax, objective in zip(axes, objectives, strict=True):
        series = _series(rows, objective.name)
        ends = _limits(series)
        ax.plot(ends, ends, color=FRONT, linewidth=1.0, linestyle="--", label="test = validation")
        for each in series:
            marker, color = _LOOKS[each.label]
            style = {"fmt": marker, "color": color, "markersize": 6, "elinewidth": 1.0}
            filled = "white" if marker == "o" else color
            each.bars.draw(ax, label=each.label, markerfacecolor=filled, **style)
        label = metric_label(objective.name)
        style_axes(ax, f"{label}, validation", f"{label}, test")
        ax.set(xlim=ends, ylim=ends, aspect="equal")
    set_legend(picture, columns=2 if len(axes) == 1 else 4)
    return picture


def _page(rows: Sequence[SplitComparison], objectives: Sequence[Objective]) -> Any:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    page = make_subplots(1, len(objectives), horizontal_spacing=0.08)
    for column, objective in enumerate(objectives, 1):
        series = _series(rows, objective.name)
        ends = _limits(series)
        line = {"color": FRONT, "width": 1, "dash": "dash"}
        same = {"name": "test = validation", "legendgroup": "same", "showlegend": column == 1}
        page.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, **same), 1, column)
        page.add_traces([_trace(each, column == 1) for each in series], rows=1, cols=column)
        label = metric_label(objective.name)
        page.update_xaxes(title=f"{label}, validation", range=ends, row=1, col=column)
        page.update_yaxes(title=f"{label}, test", range=ends, row=1, col=column)
    return style_page(page, TITLE, max(640, 460 * len(objectives)), 580)


def _trace(series: _Series, legend: bool) -> Any:
    marker, color = _LOOKS[series.label]
    symbol = "circle-open" if marker == "o" else PLOTLY_SYMBOLS[marker]
    named = {"name": series.label, "legendgroup": series.label, "showlegend": legend}
    look = {"size": 9, "color": color, "symbol": symbol}
    return series.bars.trace({}, marker=look, hovertext=series.names, **named)
