"""A confirmation as tables and pictures: means with their intervals beside the search's values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from platform.confirmation.ranking import Finalist, optimism
from platform.confirmation.retraining import Retrainings
from platform.pareto.dominance import Values
from platform.reporting import figures, matplotlib_plots, plotly_plots
from platform.reporting.error_bars import ErrorBars, limits
from platform.reporting.panels import (
    Panel,
    PlottedCandidate,
    candidate_label,
    grid_shape,
    layers,
    metric_label,
    number,
    panels,
)
from platform.reporting.style import INK, KNEE, MARKERS, set_legend
from platform.reporting.tables import heading, interval_text, markdown_table, screen_table
from platform.study.settings import Objective
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.metrics.frechet import Interval
from trainers.metrics.names import BASELINES
from trainers.places import mounts

if TYPE_CHECKING:
    from rich.table import Table

LINE = "\n"
TITLE = "Confirmed with new seeds"
NOTE = (
    "Means over the trainings named, on validation subjects, with 95 % intervals over seeds and subjects; "
    '"search" is the value by which the search chose the candidate. P(non-dominated): probability that no '
    "other of these candidates is truly better; it takes into account that all are evaluated on the same "
    "subjects, which the overlap of two intervals does not. Ranked by it, times the share of trainings that "
    "did not diverge; candidates whose means violate a constraint of the study are last."
)


Baselines = Mapping[str, Mapping[str, Interval]]
"""The intervals of what is no candidate, by its name, then by metric."""

ALL: Mapping[str, str] = MappingProxyType({})
"""Every objective was measured on all subjects."""


def terminal(
    finalists: Sequence[Finalist],
    objectives: Sequence[Objective],
    baselines: Baselines,
    measured: Mapping[str, str] = ALL,
) -> "Table":
    """The finalists by rank, under each mean the search's value; below them the baselines.

    ``measured``: by objective, on how many subjects, where some have no value.
    """
    columns = [_heading(o, measured) for o in objectives]
    table = screen_table(TITLE, ["rank", "trial", "steps", *columns, "P(non-dom.)", "seeds"], left=0)
    for finalist in finalists:
        both = [(finalist.values[o.name], finalist.searched[o.name]) for o in objectives]
        cells = [f"{interval_text(value, LINE)}{LINE}search {number(searched)}" for value, searched in both]
        style = "bold" if finalist.rank == 1 and not finalist.broken else None
        table.add_row(*_names(finalist), *cells, chance(finalist), trainings(finalist), style=style)
    for name, known in baselines.items():
        values = [interval_text(known[o.name], LINE) if o.name in known else "" for o in objectives]
        table.add_row("", BASELINES[name], "", *values, "", "", style="dim")
    return table


def markdown(
    finalists: Sequence[Finalist],
    objectives: Sequence[Objective],
    baselines: Baselines,
    measured: Mapping[str, str] = ALL,
) -> str:
    """The same as a Markdown table, with an explanation of its numbers."""
    columns = [text for o in objectives for text in (_heading(o, measured), "search")]
    rows = []
    for f in finalists:
        cells = [t for o in objectives for t in (interval_text(f.values[o.name]), number(f.searched[o.name]))]
        rows.append([*_names(f), *cells, chance(f), trainings(f)])
    for name, known in baselines.items():
        values = [interval_text(known[o.name]) if o.name in known else "" for o in objectives]
        rows.append(["", BASELINES[name], "", *(text for value in values for text in (value, "")), "", ""])
    heads = ["rank", "trial", "steps", *columns, "P(non-dominated)", "trainings"]
    return f"### {TITLE}\n\n{markdown_table(heads, rows, left=0)}\n\n{NOTE}\n"


def closing(
    finalists: Sequence[Finalist], objectives: Sequence[Objective], retrainings: Retrainings, folder: Path
) -> str:
    """By how much the search was too optimistic, failures, and where the report is."""
    gaps = optimism(finalists, objectives).items()
    values = ", ".join(f"{metric_label(name)} {gap:+.3g}" for name, gap in gaps)
    meaning = "how much better the search's values are, on average"
    lines = [f"winner's curse ({meaning}): {values}"] if values else []
    lines += [f"{reason}; the same command tries it again" for reason in retrainings.failed]
    return "\n".join([*lines, f"report: {mounts.shown(folder)}"])


def _heading(objective: Objective, measured: Mapping[str, str]) -> str:
    known = measured.get(objective.name)
    return heading(objective.name, objective.direction, f" ({known})" if known else "")


def chance(finalist: Finalist) -> str:
    """P(non-dominated), or the violated constraints."""
    means = ", ".join(f"{metric_label(name)} {number(mean)}" for name, mean in finalist.broken.items())
    return f"violates a constraint: {means}" if means else f"{finalist.nondominated:.2f}"


def trainings(finalist: Finalist) -> str:
    """Which seeds are averaged, and how many diverged."""
    diverged = f", {finalist.diverged} diverged" if finalist.diverged else ""
    return f"{', '.join(map(str, finalist.seeds))}{diverged}"


def figure(
    finalists: Sequence[Finalist],
    objectives: Sequence[Objective],
    candidates: Sequence[PlottedCandidate],
    baseline: Mapping[str, float],
    path_stem: Path,
) -> tuple[Path, Path]:
    """Every pair of objectives: the search's candidates and front, the finalists with bars over it.

    A line leads from the search's value of a finalist to the mean of its new seeds. Returns HTML and PNG.
    """
    plain = [replace(candidate, knee=False) for candidate in candidates]
    base, stack = panels(plain, objectives, baseline), layers(plain)
    drawn = [overlay(finalists, pair) for pair in pairs(objectives)]
    title = f"{TITLE} (bars: 95 % over seeds and subjects)"
    page = plotly_plots.pareto_page(base, stack, [plotly_plots.hover(c, objectives) for c in plain], title)
    picture = matplotlib_plots.pareto_picture(base, stack, title)
    labels = [candidate_label(f.key) for f in finalists]
    texts = [
        f"{label}: rank {f.rank}, {'' if f.broken else 'P(non-dominated) '}{chance(f)}"
        for label, f in zip(labels, finalists, strict=True)
    ]
    for index, (panel, shown, ax) in enumerate(zip(base, drawn, picture.axes, strict=True)):
        row, column = divmod(index, grid_shape(len(base))[1])
        page.add_traces(_traces(shown, texts, index == 0), rows=row + 1, cols=column + 1)
        _draw(ax, shown, labels)
        x, y = axis_limits(panel, shown)
        page.update_xaxes(range=x, row=row + 1, col=column + 1)
        page.update_yaxes(range=y, row=row + 1, col=column + 1)
        ax.set(xlim=x, ylim=y)
    set_legend(picture)
    return figures.save(page, picture, path_stem)


@dataclass(frozen=True, eq=False)
class Overlay:
    """Finalists in one panel: the search's values [n, 2], and means with bars."""

    searched: Values
    bars: ErrorBars


def pairs(objectives: Sequence[Objective]) -> list[tuple[str, str]]:
    """The panels' axes, as :func:`panels` has them; a single objective is over the trials."""
    names = [o.name for o in objectives]
    return list(combinations(names, 2)) if len(names) > 1 else [("trial", names[0])]


def overlay(finalists: Sequence[Finalist], axes: tuple[str, str]) -> Overlay:
    """The finalists in a panel."""

    def both(finalist: Finalist, name: str) -> tuple[float, Interval]:
        if name == "trial":
            return finalist.trial, Interval(finalist.trial, finalist.trial, finalist.trial)
        return finalist.searched[name], finalist.values[name]

    values = [[both(finalist, name) for name in axes] for finalist in finalists]
    searched = np.array([[value for value, _ in pair] for pair in values], float)
    return Overlay(searched, ErrorBars.of([(x[1], y[1]) for x, y in values]))


def axis_limits(panel: Panel, shown: Overlay) -> list[list[float]]:
    """Of x and of y: all points, and of the bars as much as keeps the points apart."""
    made = []
    for i, axis in enumerate((panel.x, panel.y)):
        known = [] if axis.untouched is None else [axis.untouched]
        points = np.concatenate([axis.values, shown.bars.points[:, i], shown.searched[:, i], known])
        made.append(limits(points, shown.bars.ends[:, i]))
    return made


def _names(finalist: Finalist) -> list[str]:
    return [str(finalist.rank), str(finalist.trial), str(finalist.steps)]


def _draw(ax: Any, shown: Overlay, names: Sequence[str]) -> None:
    for searched, mean in zip(shown.searched, shown.bars.points, strict=True):
        ax.plot(*np.stack([searched, mean]).T, color=KNEE, linewidth=1.0, linestyle=":", zorder=4)
    style = {"fmt": "D", "color": KNEE, "markersize": 5.5, "elinewidth": 1.1, "zorder": 5}
    shown.bars.draw(ax, label=TITLE.lower(), **style)
    for name, mean in zip(names, shown.bars.points, strict=True):
        offset = {"xytext": (5, 5), "textcoords": "offset points", "fontsize": 7.5, "color": INK}
        ax.annotate(name, mean, zorder=6, **offset)


def _traces(shown: Overlay, texts: Sequence[str], legend: bool) -> list[Any]:
    import plotly.graph_objects as go

    dots = {"color": KNEE, "width": 1, "dash": "dot"}
    lines = [
        go.Scatter(x=x.tolist(), y=y.tolist(), mode="lines", line=dots, showlegend=False, hoverinfo="skip")
        for x, y in np.stack([shown.searched, shown.bars.points], axis=2)
    ]
    named = {"name": TITLE.lower(), "legendgroup": TITLE, "showlegend": legend, "hovertext": texts}
    return [*lines, shown.bars.trace({"thickness": 1.2}, marker={**MARKERS["knee"], "size": 10}, **named)]
