"""``study.json``: what a study was begun as and is judged by, for every other command to read."""

import json
from collections.abc import Mapping
from pathlib import Path
from platform.study.criteria import Terms
from platform.study.study import Study
from typing import Any

from trainers.files import write_text

FILE = "study.json"


def load_saved(folder: Path) -> tuple[Study, Mapping[str, Any]]:
    """A study's frozen copy, and what else was fixed at its start."""
    saved = json.loads((folder / FILE).read_text())
    return Study.from_json(saved["study"]), saved


def freeze(folder: Path, study: Study, terms: Terms, **facts: str | int) -> Terms:
    """Write it, once, with other facts of its start; returns the terms on which the study was begun."""
    path = folder / FILE
    if not path.exists():
        plain = {"study": study.to_json(), **facts, **terms.plain()}
        write_text(path, json.dumps(plain, indent=1))
    return Terms.from_plain(json.loads(path.read_text()))


def extend(folder: Path, study: Study, extended_at: int) -> None:
    """Give a study that was begun another budget."""
    saved = json.loads((folder / FILE).read_text())
    plain = {**saved, "study": study.to_json(), "extended_at": extended_at}
    write_text(folder / FILE, json.dumps(plain, indent=1))
