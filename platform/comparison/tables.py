"""The comparison as tables: Markdown for the report, CSV for other tools, rich for the screen."""

import csv as comma_separated
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from platform.comparison import published_table
from platform.comparison.published_table import PAIRED, UNPAIRED, ranks
from platform.reporting.panels import metric_label
from platform.stats.ranks import Cell, cells, interval
from platform.stats.scores import SystemResult
from types import MappingProxyType

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trainers.metrics.extended import MEASURES
from trainers.metrics.names import METRICS

__all__ = ["csv", "markdown", "ranks", "terminal"]

NONE: Mapping[str, str] = MappingProxyType({})
FACTS = ("parameters", "train_seconds", "seconds_per_volume", "steps")
TITLES = {
    "A": "A. Unpaired: realism of the translated test slices against the 3 T pool",
    "B": "B. Paired: fidelity to the same subjects' own 3 T",
    "C": "C. Extended measures",
}
UNPAIRED_ONLY = "no paired subjects"
EMPTY = "—"
_ARROWS = {"minimize": "↓", "maximize": "↑", "none": ""}
_KINDS = ("input", "truth", "system")
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(rows: Sequence[SystemResult], *, radiology: str, extended: Mapping[str, str] = NONE) -> str:
    """Tables A and B, the published Table 1 beside them, and C of ``extended`` measures (name to direction).

    ``radiology`` names the encoder of Rad-FID: "radimagenet" or "rad-fallback".
    """
    tables = _tables(rows, radiology, extended)
    parts = [f"### {name}\n\n{_pipes(t) if isinstance(t, _Grid) else t}" for name, t in tables.items()]
    parts.insert(2, _published(rows))
    if extended:
        parts.append(_legend(extended))
    return "\n\n".join([*parts, *_notes(rows), published_table.agreement(rows)]) + "\n"


def terminal(rows: Sequence[SystemResult], *, radiology: str, extended: Mapping[str, str] = NONE) -> Group:
    """The same tables for the screen: means alone, and not the published ones."""
    parts: list[RenderableType] = []
    for name, table in _tables(rows, radiology, extended).items():
        parts.append(_rich(name, table) if isinstance(table, _Grid) else Text(f"{name}: {table}"))
    return Group(*parts, *map(Text, _notes(rows)), Text(published_table.agreement(rows)))


def csv(rows: Sequence[SystemResult], metrics: Sequence[str]) -> str:
    """A line for each system, seed and metric, in full precision; one empty line where no seed finished."""
    facts = [*FACTS, *sorted({name for row in rows for name in row.facts} - {*FACTS})]
    text = io.StringIO()
    writer = comma_separated.writer(text, lineterminator="\n")
    writer.writerow(["system", "label", "kind", "seed", "metric", "estimate", "low", "high", *facts, "note"])
    for row in rows:
        known = [_exact(row.facts.get(name)) for name in facts]
        for numbers in _scores(row, metrics) or [[""] * 5]:
            writer.writerow([row.name, row.label, row.kind, *numbers, *known, _line(row.note)])
    return text.getvalue()


@dataclass(frozen=True)
class _Shown:
    """One cell in words."""

    value: str = EMPTY
    interval: str = ""
    spread: str = ""
    best: bool = False
    tied: bool = False

    def written(self, *parts: str) -> str:
        return " ".join(part for part in (f"{self.value}{'†' if self.tied else ''}", *parts) if part)


@dataclass(frozen=True)
class _Grid:
    heads: list[str]
    labels: list[str]
    body: list[list[_Shown]]
    """One list a row, as long as the heads."""

    @property
    def caption(self) -> str:
        """Explains what occurs in the table, and nothing else."""
        shown = [cell for line in self.body for cell in line]
        parts = {
            "mean over seeds": any(cell.spread for cell in shown),
            "[95 % interval over test subjects]": any(cell.interval for cell in shown),
            "± standard deviation over seeds": any(cell.spread for cell in shown),
            "**bold** best system": any(cell.best for cell in shown),
            "† not told apart from the best by these subjects and seeds": any(cell.tied for cell in shown),
        }
        return "; ".join(text for text, occurs in parts.items() if occurs)


def _tables(
    rows: Sequence[SystemResult], radiology: str, extended: Mapping[str, str]
) -> dict[str, "_Grid | str"]:
    found: dict[str, _Grid | str] = {
        TITLES["A"]: _grid(rows, _directions(UNPAIRED), radiology, facts=True),
        TITLES["B"]: _grid(rows, _directions(PAIRED), radiology),
    }
    if not any(metric in seed for row in rows for seed in row.seeds for metric in PAIRED):
        found[TITLES["B"]] = UNPAIRED_ONLY
    return found | ({TITLES["C"]: _grid(rows, extended, radiology)} if extended else {})


def _grid(
    rows: Sequence[SystemResult], metrics: Mapping[str, str], radiology: str, facts: bool = False
) -> _Grid:
    rows = sorted(rows, key=lambda row: _KINDS.index(row.kind))
    marks = _noted(rows)
    columns = [_column(rows, metric, direction) for metric, direction in metrics.items()]
    body = [list(line) for line in zip(*columns, strict=True)]
    for row, line in zip(rows, body, strict=True):
        if not row.seeds and row.note:
            line[:] = [_Shown(_line(row.note)), *(_Shown("") for _ in line[1:])]
        if facts:
            line += [_Shown(say(row.facts[name])) if name in row.facts else _Shown() for name, say in _SAID]
    heads = [_heading(metric, direction, radiology) for metric, direction in metrics.items()]
    labels = [f"{row.label}{marks.get(row.name, '')}" for row in rows]
    costs = ("steps", "parameters", "training", "per volume") if facts else ()
    return _Grid([*heads, *costs], labels, body)


def _column(rows: Sequence[SystemResult], metric: str, direction: str) -> list[_Shown]:
    column = cells(rows, metric, direction)
    systems = [cell for cell, row in zip(column, rows, strict=True) if cell and row.kind == "system"]
    places = _places(systems or [cell for cell in column if cell])
    return [_Shown() if cell is None else _shown(cell, places) for cell in column]


def _shown(cell: Cell, places: int) -> _Shown:
    low, high = (_fixed(bound, max(0, places - 1)) for bound in (cell.low, cell.high))
    known = cell.sd is not None and np.isfinite(cell.sd)
    return _Shown(
        value=_fixed(cell.mean, places),
        interval="" if not cell.low < cell.high else f"[{low}, {high}]",
        spread=f"± {cell.sd:.{places}f}" if known else "",
        best=cell.best,
        tied=cell.tied,
    )


def _places(column: Sequence[Cell]) -> int:
    """Decimals of a column: four digits of a typical value, three of its interval's half width at most."""
    sizes = [abs(cell.mean) for cell in column if np.isfinite(cell.mean) and cell.mean]
    halves = [(cell.high - cell.low) / 2 for cell in column if cell.high > cell.low]
    wanted = [
        digits - 1 - int(np.floor(np.log10(np.median(values))))
        for digits, values in ((4, sizes), (3, halves))
        if values
    ]
    return min(5, max(0, min(wanted, default=0)))


def _fixed(value: float, places: int) -> str:
    if not np.isfinite(value):
        return "undefined" if np.isnan(value) else "∞" if value > 0 else "-∞"
    return f"{round(value, places) + 0.0:.{places}f}"  # adding 0.0 takes the sign off -0.0


def _heading(metric: str, direction: str, radiology: str = "") -> str:
    encoder = f" ({radiology})" if radiology and metric == "rad_fid" else ""
    return f"{metric_label(metric)}{encoder} {_ARROWS[direction]}".strip()


def _directions(metrics: Sequence[str]) -> dict[str, str]:
    return {metric: METRICS[metric] for metric in metrics}


def _count(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:#.2g} s" if seconds < 10 else f"{seconds:.0f} s"


_SAID: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("steps", "{:g}".format),
    ("parameters", _count),
    ("train_seconds", _duration),
    ("seconds_per_volume", _duration),
)


def _pipes(grid: _Grid) -> str:
    lines = [["system", *grid.heads], ["---", *(["---:"] * len(grid.heads))]]
    for label, line in zip(grid.labels, grid.body, strict=True):
        lines.append([label, *(_bold(cell).written(cell.interval, cell.spread) for cell in line)])
    return f"{_piped(lines)}\n\n{grid.caption}" if grid.caption else _piped(lines)


def _piped(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _bold(cell: _Shown) -> _Shown:
    return replace(cell, value=f"**{cell.value}**") if cell.best else cell


def _rich(name: str, grid: _Grid) -> Table:
    caption = "bold: best; † not told apart from it" if "best" in grid.caption else None
    table = Table(box=SIMPLE_HEAD, title=name, title_justify="left", title_style="bold", caption=caption)
    table.caption_justify = "left"
    table.add_column("")
    for head in grid.heads:
        table.add_column(head, justify="right")
    for label, line in zip(grid.labels, grid.body, strict=True):
        table.add_row(Text(label), *(Text(_aligned(cell), "bold" if cell.best else "") for cell in line))
    return table


def _published(rows: Sequence[SystemResult]) -> str:
    """The paper's table; a system that stands in both has its rank there and here, among those that do."""
    metrics = _directions(UNPAIRED + PAIRED)
    columns = [published_table.compared(rows, metric, direction) for metric, direction in metrics.items()]
    lines = [["system", *(_heading(*metric) for metric in metrics.items())]]
    lines.append(["---", *(["---:"] * len(metrics))])
    lines += [
        [label, *(column[name] for column in columns)] for name, label in published_table.LABELS.items()
    ]
    title = "### Published Table 1\n\nthe paper's figures, on its own cohorts: compare rankings, not values"
    caption = "**bold** best system; (rank there → rank here), among the systems in both"
    return f"{title}\n\n{_piped(lines)}\n\n{caption}"


def _scores(row: SystemResult, metrics: Sequence[str]) -> list[list[str]]:
    return [
        [str(seed), metric, _exact(scores[metric].estimate), *map(_exact, interval(scores[metric], metric))]
        for seed, scores in enumerate(row.seeds)
        for metric in metrics
        if metric in scores
    ]


def _exact(value: float | None) -> str:
    if value is None or np.isnan(value):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _legend(extended: Iterable[str]) -> str:
    """What the extended measures mean, one a line."""
    known = [MEASURES[name] for name in extended if name in MEASURES]
    return "\n".join(f"- {measure.label}: {measure.meaning}" for measure in known)


def _noted(rows: Sequence[SystemResult]) -> dict[str, str]:
    """Rows whose note stands below the table: name to its mark."""
    noted = [row.name for row in rows if row.note and row.seeds]
    return {name: str(n).translate(_RAISED) for n, name in enumerate(noted, 1)}


def _notes(rows: Sequence[SystemResult]) -> list[str]:
    marks = _noted(rows)
    return [f"{marks[row.name]} {row.label}: {_line(row.note)}" for row in rows if row.name in marks]


def _aligned(cell: _Shown) -> str:
    """Digits below digits, whether there is a mark or not."""
    return cell.written() + ("" if cell.tied else " ")


def _line(text: str) -> str:
    return " ".join(text.split())
