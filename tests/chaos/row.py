"""A row of the chaos table: what is done to the product so many times, and how often it stood."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How often it stood, of how often it was tried, and what was measured besides."""

    stood: int
    tried: int
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row: ``run(folder, count)`` does it so many times in an empty folder."""

    name: str
    what: str
    full: int
    few: int
    """Times of a quick run."""
    run: Callable[[Path, int], Outcome]
