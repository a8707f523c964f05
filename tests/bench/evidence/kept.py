"""What parts of the evidence have found, kept beside their pages: for days and machines to come."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def known(path: Path) -> dict[str, dict[str, Any]]:
    """By name what was found; a file has a line of JSON for each."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return {entry.pop("name"): entry for entry in map(json.loads, lines)}


def keep(path: Path, name: str, found: Mapping[str, Any]) -> None:
    """Add a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, **found}) + "\n")
