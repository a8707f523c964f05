"""Tables in Markdown and on the screen, and how their heads and cells are written."""

from collections.abc import Callable, Sequence
from platform.reporting.panels import metric_label, number
from typing import TYPE_CHECKING

import numpy as np

from trainers.metrics.frechet import Interval

if TYPE_CHECKING:
    from rich.table import Table

_ARROWS = {"minimize": "↓", "maximize": "↑", "none": ""}


def heading(metric: str, direction: str, detail: str = "") -> str:
    """A metric, a ``detail`` of it, and an arrow to where it is better: ``FID ↓``."""
    return f"{metric_label(metric)}{detail} {_ARROWS[direction]}".strip()


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table, its first ``left`` columns aligned left, the others right."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (heads, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def screen_table(title: str, heads: Sequence[str], left: int = 1) -> "Table":
    """A table of rich under a bold title, still without rows; columns as :func:`markdown_table` has them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for index, head in enumerate(heads):
        table.add_column(head, justify="left" if index < left else "right")
    return table


def bounds_text(low: float, high: float, write: Callable[[float], str] = number) -> str:
    """``[18.72, 19.41]``; empty where a bound is unknown."""
    return "" if np.isnan([low, high]).any() else f"[{write(low)}, {write(high)}]"


def interval_text(interval: Interval, between: str = " ") -> str:
    """``19.05 [18.72, 19.41]``, or the estimate alone where its bounds are unknown."""
    bounds = bounds_text(interval.low, interval.high)
    return f"{number(interval.estimate)}{between}{bounds}" if bounds else number(interval.estimate)
