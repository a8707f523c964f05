"""CSV and TSV tables."""

import csv
import io
from pathlib import Path

from trainers.errors import InputError


def rows(path: Path, delimiter: str = ",") -> "csv.DictReader[str]":
    """The rows of a table, by the columns of its first line; raises InputError where it is not UTF-8."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.__class__.__name__}); allowed: a table in UTF-8"
        ) from None
    return csv.DictReader(io.StringIO(text), delimiter=delimiter)
