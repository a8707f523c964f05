"""The cells of a comparison's tables, as they are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from platform.reporting.tables import bounds_text
from platform.stats.ranks import Cell, cells
from platform.stats.scores import SystemResult

import numpy as np
from rich.text import Text

EMPTY = "—"


@dataclass(frozen=True)
class CellText:
    """A cell, its parts written."""

    value: str = EMPTY
    interval: str = ""
    spread: str = ""
    best: bool = False
    tied: bool = False

    @property
    def estimate(self) -> str:
        """The value with its mark."""
        return f"{self.value}†" if self.tied else self.value

    @property
    def markdown(self) -> str:
        """All parts, the best in bold."""
        bold = replace(self, value=f"**{self.value}**") if self.best else self
        return " ".join(part for part in (bold.estimate, self.interval, self.spread) if part)

    @property
    def screen(self) -> Text:
        """The estimate, digits below digits whether it has a mark or not."""
        return Text(self.estimate + ("" if self.tied else " "), "bold" if self.best else "")


def metric_column(rows: Sequence[SystemResult], metric: str, direction: str) -> list[CellText]:
    """The cells of a metric, one a row."""
    column = cells(rows, metric, direction)
    systems = [cell for cell, row in zip(column, rows, strict=True) if cell and row.kind == "system"]
    places = _places(systems or [cell for cell in column if cell])
    return [CellText() if cell is None else _text(cell, places) for cell in column]


def fact_cells(row: SystemResult) -> list[CellText]:
    """Steps, parameters, training time and time per volume."""
    return [
        CellText(write(row.facts[name])) if name in row.facts else CellText()
        for name, write in _WRITERS.items()
    ]


def _text(cell: Cell, places: int) -> CellText:
    write = partial(_fixed, places=max(0, places - 1))
    known = cell.sd is not None and np.isfinite(cell.sd)
    return CellText(
        value=_fixed(cell.mean, places),
        interval=bounds_text(cell.low, cell.high, write) if cell.low < cell.high else "",
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


_WRITERS: Mapping[str, Callable[[float], str]] = {
    "steps": "{:g}".format,
    "parameters": _count,
    "train_seconds": _duration,
    "seconds_per_volume": _duration,
}
