"""What parts of the evidence have found, kept beside their pages: for days and machines to come."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from platform.storage.jsonl import JsonLines, read_lines
from typing import Any


def known(path: Path) -> dict[str, dict[str, Any]]:
    """By name what was found; a file has a line of JSON for each."""
    entries = [entry for entry, _ in read_lines(path) if entry] if path.is_file() else []
    return {entry.pop("name"): entry for entry in entries}


def keep(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Add a line."""
    with closing(JsonLines(path)) as lines:
        lines.append({"name": name, **found})
