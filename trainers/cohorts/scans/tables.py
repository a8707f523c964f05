"""CSV and TSV tables of users, read strictly: what is misread silently is refused with its line."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts.scans import user_files
from trainers.cohorts.scans.wording import short
from trainers.errors import InputError


@dataclass(frozen=True)
class Table:
    """Columns, and the rows that are not empty, each with the number of its first line."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, Mapping[str, str]]]


def read(path: Path, delimiter: str = ",") -> Table:
    """A table, its columns in the first line that is not empty; cells are stripped, missing ones empty.

    Raises InputError for a table that is not UTF-8, a column that is there twice, a quote that is not closed
    and a row with more cells than columns.
    """
    text = user_files.read(path, "a table")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    lines, first = [], 1
    try:
        for cells in reader:
            if any(stripped := [cell.strip() for cell in cells]):
                lines.append((first, stripped))
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}: line {first}: {error}; allowed: quotes in pairs, no control characters"
        ) from None
    columns = lines[0][1] if lines else []
    while columns and not columns[-1]:  # spreadsheets write them
        columns.pop()
    if twice := [name for name, n in Counter(columns).items() if n > 1]:
        raise InputError(f"{path}: column {short(twice[0])} is there twice; allowed: once")
    return Table(columns, [(at, _row(path, at, columns, cells)) for at, cells in lines[1:]])


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if any(cells[len(columns) :]):
        raise InputError(
            f"{path}: line {line}: has {len(cells)} cells; allowed: as many as columns, {len(columns)}"
        )
    return dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))
