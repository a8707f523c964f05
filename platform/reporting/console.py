"""The terminal: one console for every command, and times as it shows them."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

console = Console(soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else 120)
"""Markup is off, as printed text holds paths and messages of others; a file is as wide as the tables."""


def clock(seconds: float | None) -> str:
    """``1:02:03``, or a dash for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counting_bar(console: Console) -> Progress:
    """Progress bars that count items."""
    return _bar(console, MofNCompleteColumn(), TimeElapsedColumn())


def download_bar(console: Console) -> Progress:
    """Progress bars that count bytes."""
    return _bar(console, DownloadColumn(), TransferSpeedColumn())


def _bar(console: Console, *columns: ProgressColumn) -> Progress:
    return Progress(TextColumn("{task.description:<20}"), BarColumn(), *columns, console=console)
