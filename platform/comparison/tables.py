"""The comparison as tables: Markdown for the report, CSV for other tools, rich for the screen."""

import csv as comma_separated
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from platform.comparison import published_table
from platform.comparison.published_table import PAIRED, UNPAIRED, WHOLE_SLICES
from platform.comparison.systems import LABELS
from platform.comparison.table_cells import CellText, fact_cells, metric_column
from platform.reporting.tables import heading, markdown_table, screen_table
from platform.stats.ranks import interval
from platform.stats.scores import SystemResult, measured_on
from types import MappingProxyType

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trainers.metrics.measures import MEASURES
from trainers.metrics.names import METRICS

NO_MEASURES: Mapping[str, str] = MappingProxyType({})
FACTS = ("parameters", "train_seconds", "seconds_per_volume", "steps")
REALISM = ("patch_fd", "fid_spatial", "fid", "fid_infinity", "kid", "rad_fid", "piqe")
"""Columns of the unpaired tables, those that were measured: first what sees anatomy."""
ALWAYS = ("fid", "kid", "piqe")
"""Columns that need neither a large cohort nor given weights."""
TITLES = {
    "A": "A. Unpaired: realism of the translated test slices against the 3 T pool",
    "B": "B. Paired: fidelity to the same subjects' own 3 T",
    "C": "C. Extended measures",
    "D": "D. Unpaired, shifted: test subjects of another population and other scanners",
    "E": "E. Paired, shifted",
}
UNPAIRED_ONLY = "no paired subjects"
_KINDS = ("input", "truth", "system")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(
    rows: Sequence[SystemResult],
    *,
    radiology: str,
    extended: Mapping[str, str] = NO_MEASURES,
    shifted: Sequence[SystemResult] = (),
) -> str:
    """Tables A and B, the published Table 1 beside them, and C of ``extended`` measures (name to direction).

    ``radiology`` names the encoder of Rad-FID, whose column is left out where no system has it; ``shifted``:
    the same systems on the shifted test split, in tables D and E.
    """
    tables = _tables(rows, radiology, extended, shifted)
    parts = [
        f"### {name}\n\n{table if isinstance(table, str) else table.markdown}"
        for name, table in tables.items()
    ]
    parts.insert(2, _published(rows))
    if extended:
        parts.append(_legend(extended))
    return "\n\n".join([*parts, *_notes(rows), published_table.agreement(rows)]) + "\n"


def terminal(
    rows: Sequence[SystemResult],
    *,
    radiology: str,
    extended: Mapping[str, str] = NO_MEASURES,
    shifted: Sequence[SystemResult] = (),
) -> Group:
    """The same tables for the screen: means alone, and not the published ones."""
    parts: list[RenderableType] = []
    for name, table in _tables(rows, radiology, extended, shifted).items():
        parts.append(Text(f"{name}: {table}") if isinstance(table, str) else table.screen(name))
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
class _Table:
    heads: list[str]
    labels: list[str]
    body: list[list[CellText]]
    """One list a row, as long as the heads."""

    @property
    def caption(self) -> str:
        """Explains what occurs in the table, and nothing else."""
        cells = [cell for line in self.body for cell in line]
        parts = {
            "mean over seeds": any(cell.spread for cell in cells),
            "[95 % interval over test subjects]": any(cell.interval for cell in cells),
            "± standard deviation over seeds": any(cell.spread for cell in cells),
            "**bold** best system": any(cell.best for cell in cells),
            "† not distinguishable from the best by these subjects and seeds": any(c.tied for c in cells),
        }
        return "; ".join(text for text, occurs in parts.items() if occurs)

    @property
    def markdown(self) -> str:
        """With the caption below it."""
        lines = zip(self.labels, self.body, strict=True)
        rows = [[label, *(cell.markdown for cell in line)] for label, line in lines]
        table = markdown_table(["system", *self.heads], rows)
        return f"{table}\n\n{self.caption}" if self.caption else table

    def screen(self, title: str) -> Table:
        """Estimates alone."""
        table = screen_table(title, ["", *self.heads])
        if any(cell.best for line in self.body for cell in line):
            table.caption = "bold: best; † not distinguishable from it"
        table.caption_justify = "left"
        for label, line in zip(self.labels, self.body, strict=True):
            table.add_row(Text(label), *(cell.screen for cell in line))
        return table


def _tables(
    rows: Sequence[SystemResult],
    radiology: str,
    extended: Mapping[str, str],
    shifted: Sequence[SystemResult],
) -> dict[str, "_Table | str"]:
    tables = _both_parts(rows, radiology, ("A", "B"), facts=True)
    if extended:
        tables[TITLES["C"]] = _table(rows, extended, radiology)
    return tables | (_both_parts(shifted, radiology, ("D", "E")) if shifted else {})


def _both_parts(
    rows: Sequence[SystemResult], radiology: str, titles: tuple[str, str], facts: bool = False
) -> dict[str, "_Table | str"]:
    """The unpaired and the paired table of one split."""
    compared, known = _measured(rows, PAIRED + WHOLE_SLICES), (*_measured(rows, REALISM), *ALWAYS)
    realism = _directions([name for name in REALISM if name in known])
    return {
        TITLES[titles[0]]: _table(
            rows, _directions([name for name in REALISM if name in (*realism, *ALWAYS)]), radiology, facts
        ),
        TITLES[titles[1]]: _table(rows, _directions(compared), radiology) if compared else UNPAIRED_ONLY,
    }


def _measured(rows: Sequence[SystemResult], metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that some system has."""
    return [metric for metric in metrics if any(metric in seed for row in rows for seed in row.seeds)]


def _table(
    rows: Sequence[SystemResult], metrics: Mapping[str, str], radiology: str, facts: bool = False
) -> _Table:
    rows = sorted(rows, key=lambda row: _KINDS.index(row.kind))
    marks = _note_marks(rows)
    columns = [metric_column(rows, metric, direction) for metric, direction in metrics.items()]
    body = [list(line) for line in zip(*columns, strict=True)]
    for row, line in zip(rows, body, strict=True):
        if not row.seeds and row.note:
            line[:] = [CellText(_line(row.note)), *(CellText("") for _ in line[1:])]
        if facts:
            line += fact_cells(row)
    heads = [_heading(rows, metric, direction, radiology) for metric, direction in metrics.items()]
    labels = [f"{row.label}{marks.get(row.name, '')}" for row in rows]
    costs = ("steps", "parameters", "training", "per volume") if facts else ()
    return _Table([*heads, *costs], labels, body)


def _heading(rows: Sequence[SystemResult], metric: str, direction: str, radiology: str) -> str:
    measured = measured_on(seed[metric] for row in rows for seed in row.seeds if metric in seed)
    detail = radiology if metric == "rad_fid" else measured
    return heading(metric, direction, f" ({detail})" if detail else "")


def _directions(metrics: Sequence[str]) -> dict[str, str]:
    return {metric: METRICS[metric] for metric in metrics}


def _published(rows: Sequence[SystemResult]) -> str:
    """The paper's table; a system that is in both has its rank there and here, among those that are."""
    metrics = _directions(UNPAIRED + PAIRED)
    columns = [published_table.compared(rows, metric, direction) for metric, direction in metrics.items()]
    heads = ["system", *(heading(metric, direction) for metric, direction in metrics.items())]
    systems = LABELS.items()
    table = markdown_table(heads, [[label, *(column[name] for column in columns)] for name, label in systems])
    title = "### Published Table 1\n\nthe paper's figures, on its own cohorts: compare rankings, not values"
    caption = "**bold** best system; (rank there → rank here), among the systems in both"
    return f"{title}\n\n{table}\n\n{caption}"


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


def _note_marks(rows: Sequence[SystemResult]) -> dict[str, str]:
    """Of the rows whose note is below the table, by name."""
    noted = [row.name for row in rows if row.note and row.seeds]
    return {name: str(n).translate(_SUPERSCRIPTS) for n, name in enumerate(noted, 1)}


def _notes(rows: Sequence[SystemResult]) -> list[str]:
    marks = _note_marks(rows)
    return [f"{marks[row.name]} {row.label}: {_line(row.note)}" for row in rows if row.name in marks]


def _line(text: str) -> str:
    return " ".join(text.split())
