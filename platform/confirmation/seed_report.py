"""A confirmation as tables and pictures: confirmed means with their intervals beside what the search saw."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from platform.confirmation.ranking import Finalist, optimism
from platform.confirmation.retraining import Retrainings
from platform.pareto.dominance import Values
from platform.reporting import matplotlib_plots, plotly_plots
from platform.reporting.panels import (
    INK,
    KNEE,
    UNTOUCHED,
    Panel,
    PlottedCandidate,
    layers,
    metric_label,
    number,
    panels,
)
from platform.study.settings import Objective
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.metrics.frechet import Interval

if TYPE_CHECKING:
    from rich.table import Table

TITLE = "Confirmed with new seeds"
LINE = "\n"


def terminal(
    finalists: Sequence[Finalist], objectives: Sequence[Objective], untouched: Mapping[str, Interval]
) -> "Table":
    """The finalists by rank; under each mean, what the search saw."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=TITLE, title_justify="left", title_style="bold")
    for head in ("rank", "trial", "steps", *(heading(o) for o in objectives), "P(non-dom.)", "seeds"):
        table.add_column(head, justify="right")
    for finalist in finalists:
        both = [(finalist.values[o.name], finalist.searched[o.name]) for o in objectives]
        cells = [f"{shown(value, LINE)}{LINE}search {number(seen)}" for value, seen in both]
        style = "bold" if finalist.rank == 1 and not finalist.broken else None
        named = [str(finalist.rank), str(finalist.trial), str(finalist.steps)]
        table.add_row(*named, *cells, chance(finalist), trainings(finalist), style=style)
    values = [shown(untouched[o.name], LINE) if o.name in untouched else "" for o in objectives]
    table.add_row("", UNTOUCHED, "", *values, "", "", style="dim")
    return table


def markdown(
    finalists: Sequence[Finalist], objectives: Sequence[Objective], untouched: Mapping[str, Interval]
) -> str:
    """The same as a Markdown table, with what its numbers are."""
    columns = [text for o in objectives for text in (heading(o), "search")]
    heads = ["rank", "trial", "steps", *columns, "P(non-dominated)", "trainings"]
    lines = [heads, ["---:"] * len(heads)]
    for f in finalists:
        cells = [t for o in objectives for t in (shown(f.values[o.name]), number(f.searched[o.name]))]
        named = [str(f.rank), str(f.trial), str(f.steps)]
        lines.append([*named, *cells, chance(f), trainings(f)])
    values = [t for o in objectives for t in (shown(untouched[o.name]) if o.name in untouched else "", "")]
    lines.append(["", UNTOUCHED, "", *values, "", ""])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {TITLE}\n\n{table}\n\n{NOTE}\n"


NOTE = (
    "Means over the trainings named, on validation subjects, with 95 % intervals over seeds and subjects; "
    '"search" is the value by which the search chose the candidate. P(non-dominated): probability that no '
    "other of these candidates is truly better; it knows that all are judged on the same subjects, which the "
    "overlap of two intervals does not. Ranked by it, times the share of trainings that did not diverge; "
    "what breaks a constraint of the study by its means is last."
)


def closing(
    finalists: Sequence[Finalist], objectives: Sequence[Objective], found: Retrainings, folder: Path
) -> str:
    """How far the search flattered itself, failures, and what to do next."""
    gaps = optimism(finalists, objectives).items()
    told = ", ".join(f"{metric_label(name)} {gap:+.3g}" for name, gap in gaps)
    lines = [f"winner's curse (how much better the search saw them, on average): {told}"] if told else []
    lines += [f"{reason}; the same command tries it again" for reason in found.failed]
    return "\n".join([*lines, f"report: {folder}"])


def heading(objective: Objective) -> str:
    """A metric and where it is better."""
    return f"{metric_label(objective.name)} {'↓' if objective.direction == 'minimize' else '↑'}"


def shown(interval: Interval, between: str = " ") -> str:
    """``19.05 [18.72, 19.41]``, or the estimate alone where nothing bounds it."""
    estimate, bounds = number(interval.estimate), (interval.low, interval.high)
    return estimate if np.isnan(bounds).any() else f"{estimate}{between}[{', '.join(map(number, bounds))}]"


def chance(finalist: Finalist) -> str:
    """P(non-dominated), or the constraints that are broken."""
    told = ", ".join(f"{metric_label(name)} {number(mean)}" for name, mean in finalist.broken.items())
    return f"breaks a constraint: {told}" if told else f"{finalist.nondominated:.2f}"


def trainings(finalist: Finalist) -> str:
    """Which seeds are averaged, and how many diverged."""
    lost = f", {finalist.diverged} diverged" if finalist.diverged else ""
    return f"{', '.join(map(str, finalist.seeds))}{lost}"


def figure(
    finalists: Sequence[Finalist],
    objectives: Sequence[Objective],
    points: Sequence[PlottedCandidate],
    baseline: Mapping[str, float],
    path_stem: Path,
) -> tuple[Path, Path]:
    """Every pair of objectives: the search's candidates and front, the finalists with bars over it.

    A line leads from what the search saw of a finalist to what its new seeds are. Returns HTML and PNG.
    """
    plain = [dataclasses.replace(point, knee=False) for point in points]
    base, stack = panels(plain, objectives, baseline), layers(plain)
    drawn = [overlay(finalists, pair) for pair in pairs(objectives)]
    title = f"{TITLE} (bars: 95 % over seeds and subjects)"
    texts = [plotly_plots.hover(point, objectives) for point in plain]
    page = plotly_plots.pareto_page(base, stack, texts, title)
    names = [f"{f}: rank {f.rank}, {'' if f.broken else 'P(non-dominated) '}{chance(f)}" for f in finalists]
    columns = min(3, len(base))
    for index, (panel, bars) in enumerate(zip(base, drawn, strict=True)):
        row, column = divmod(index, columns)
        page.add_traces(_traces(bars, names, index == 0), rows=row + 1, cols=column + 1)
        x, y = limits(panel, bars)
        page.update_xaxes(range=x, row=row + 1, col=column + 1)
        page.update_yaxes(range=y, row=row + 1, col=column + 1)
    saved = plotly_plots.save(page, path_stem.with_name(f"{path_stem.name}.html"))
    picture = matplotlib_plots.pareto_picture(base, stack, title)
    for ax, panel, bars in zip(picture.axes, base, drawn, strict=True):
        _draw(ax, bars, [str(f) for f in finalists])
        x, y = limits(panel, bars)
        ax.set_xlim(x)
        ax.set_ylim(y)
    _legend(picture)
    return saved, matplotlib_plots.save(picture, path_stem.with_name(f"{path_stem.name}.png"))


@dataclasses.dataclass(frozen=True, eq=False)
class Bars:
    """Finalists in one panel: ``seen`` and ``mean`` [n, 2], bars ``arms`` [n, 2, 2] down and up from it."""

    seen: Values
    mean: Values
    arms: Values


def pairs(objectives: Sequence[Objective]) -> list[tuple[str, str]]:
    """The panels' axes, as :func:`panels` has them; a single objective is over the trials."""
    names = [o.name for o in objectives]
    return list(combinations(names, 2)) if len(names) > 1 else [("trial", names[0])]


def overlay(finalists: Sequence[Finalist], axes: tuple[str, str]) -> Bars:
    """The finalists in a panel; an unknown interval has no length."""

    def column(f: Finalist, name: str) -> tuple[float, float, float, float]:
        if name == "trial":
            return f.trial, f.trial, 0.0, 0.0
        value = f.values[name]
        down, up = np.nan_to_num([value.estimate - value.low, value.high - value.estimate])
        return f.searched[name], value.estimate, down, up

    found = np.array([[column(f, name) for name in axes] for f in finalists], float)
    return Bars(found[:, :, 0], found[:, :, 1], found[:, :, 2:])


def limits(panel: Panel, bars: Bars) -> list[list[float]]:
    """Of x and of y: all points, and of the bars as much as leaves the points to be told apart."""
    found = []
    for i, axis in enumerate((panel.x, panel.y)):
        known = [] if axis.untouched is None else [axis.untouched]
        values = np.concatenate([axis.values, bars.mean[:, i], bars.seen[:, i], known])
        found.append(bounded(values, bars.mean[:, i, None] + bars.arms[:, i] * (-1, 1)))
    return found


def bounded(points: Values, ends: Values) -> list[float]:
    """Limits that show all ``points``, and the bars' ``ends`` no further than the points' own range."""
    low, high = float(points.min()), float(points.max())
    room = (high - low) or abs(high) or 1.0
    low, high = max(low - room, min(low, float(ends.min()))), min(high + room, max(high, float(ends.max())))
    return [low - 0.06 * room, high + 0.06 * room]


def _draw(ax: Any, bars: Bars, names: Sequence[str]) -> None:
    for seen, mean in zip(bars.seen, bars.mean, strict=True):
        ax.plot(*np.stack([seen, mean]).T, color=KNEE, linewidth=1.0, linestyle=":", zorder=4)
    x, y = bars.mean.T
    style = {"fmt": "D", "color": KNEE, "markersize": 5.5, "elinewidth": 1.1, "capsize": 2.5, "zorder": 5}
    ax.errorbar(x, y, xerr=bars.arms[:, 0].T, yerr=bars.arms[:, 1].T, label=TITLE.lower(), **style)
    for name, place in zip(names, bars.mean, strict=True):
        offset = {"xytext": (5, 5), "textcoords": "offset points", "fontsize": 7.5, "color": INK}
        ax.annotate(name, place, zorder=6, **offset)


def _legend(picture: Any) -> None:
    """Once more, now that the finalists are drawn."""
    for legend in list(picture.legends):
        legend.remove()
    handles, labels = picture.axes[0].get_legend_handles_labels()
    style = {"frameon": False, "fontsize": 9, "labelcolor": INK, "handletextpad": 0.4, "columnspacing": 1.4}
    picture.legend(handles, labels, loc="outside lower center", ncols=4, **style)


def _traces(bars: Bars, names: Sequence[str], legend: bool) -> list[Any]:
    import plotly.graph_objects as go

    thread = {"color": KNEE, "width": 1, "dash": "dot"}
    lines = [
        go.Scatter(x=x.tolist(), y=y.tolist(), mode="lines", line=thread, showlegend=False, hoverinfo="skip")
        for x, y in np.stack([bars.seen, bars.mean], axis=2)
    ]
    ends = [
        {
            "type": "data",
            "symmetric": False,
            "array": up.tolist(),
            "arrayminus": down.tolist(),
            "thickness": 1.2,
        }
        for down, up in bars.arms.transpose(1, 2, 0)
    ]
    marker = {"size": 10, "color": KNEE, "symbol": "diamond", "line": {"color": "white", "width": 1}}
    named = {"name": TITLE.lower(), "legendgroup": TITLE, "showlegend": legend}
    x, y = bars.mean.T.tolist()
    found = go.Scatter(
        x=x, y=y, mode="markers", marker=marker, error_x=ends[0], error_y=ends[1], hovertext=names, **named
    )
    return [*lines, found]
