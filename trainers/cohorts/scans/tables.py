"""CSV and TSV tables of users, read strictly: what is misread silently is refused with its line."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.errors import InputError


@dataclass(frozen=True)
class Table:
    """Columns, and the rows that are not empty, each with the number of its first line."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, Mapping[str, str]]]


def read(path: Path, delimiter: str = ",") -> Table:
    """A table; cells are stripped, those that a row lacks are empty.

    Raises InputError for a table that is not UTF-8, a column that is there twice, a quote that is not closed
    and a row with more cells than columns.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.__class__.__name__}); allowed: a table in UTF-8"
        ) from None
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    lines, first = [], 1
    try:
        for cells in reader:
            lines.append((first, [cell.strip() for cell in cells]))
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}: line {first}: {error}; allowed: quotes in pairs, no control characters"
        ) from None
    columns = lines[0][1] if lines else []
    while columns and not columns[-1]:  # spreadsheets write them
        columns.pop()
    if twice := [name for name, n in Counter(columns).items() if n > 1]:
        raise InputError(f"{path}: column {twice[0]!r} is there twice; allowed: once")
    return Table(columns, [(at, _row(path, at, columns, cells)) for at, cells in lines[1:] if any(cells)])


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if any(cells[len(columns) :]):
        raise InputError(
            f"{path}: line {line}: has {len(cells)} cells; allowed: as many as columns, {len(columns)}"
        )
    return dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))
