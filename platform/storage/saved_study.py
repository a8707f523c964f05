"""``study.json``: a study as it was started and its criteria, for every other command to read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from platform.study.criteria import Criteria
from platform.study.study import Study
from typing import Any

from trainers.errors import InputError
from trainers.files import write_text
from trainers.metrics.names import VERSION
from trainers.seal import sealed, why_not_true

FILE = "study.json"
REMEDY = "allowed: the file as this program has written it, from a copy"


@dataclass(frozen=True)
class StartFacts:
    """What else was fixed when a study started."""

    tracking: str
    """URI of its MLflow without credentials; empty: the database of its storage."""
    cohort: str
    """Content hash of its cohort."""
    slots: int
    """Trials at a time: the size of a deterministic study's waves."""
    measures: int = VERSION
    """Version of the measures by which all of its trials are scored."""


@dataclass(frozen=True)
class SavedStudy:
    """A study as ``study.json`` in its ``folder`` has it."""

    folder: Path
    study: Study
    criteria: Criteria
    facts: StartFacts


def is_saved(folder: Path) -> bool:
    """Whether a study was started in the folder."""
    return (folder / FILE).exists()


def load_saved(folder: Path) -> SavedStudy:
    """The study of a folder; raises InputError if a class or field no longer exists."""
    values = _read(folder)
    measures = values.get("measures", 1)  # studies before version 2 do not name it
    facts = StartFacts(values["tracking"], values["cohort"], values["slots"], measures)
    return SavedStudy(folder, Study.from_json(values["study"]), Criteria.from_json(values), facts)


def save_new(folder: Path, study: Study, criteria: Criteria, facts: StartFacts) -> SavedStudy:
    """Write ``study.json`` unless it exists; returns the study as it is in the file."""
    if not is_saved(folder):
        _write(folder, {"study": study.to_json(), **asdict(facts), **criteria.to_json()})
    return load_saved(folder)


def save_extended(folder: Path, study: Study, extended_at: int) -> SavedStudy:
    """Save the study with a larger budget, extended after ``extended_at`` completed trials."""
    _write(folder, {**_read(folder), "study": study.to_json(), "extended_at": extended_at})
    return load_saved(folder)


def save_tracking(folder: Path, uri: str) -> SavedStudy:
    """Save another URI of the study's MLflow."""
    _write(folder, {**_read(folder), "tracking": uri})
    return load_saved(folder)


def _read(folder: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / FILE).read_text())
    except ValueError as error:
        raise InputError(f"{folder / FILE}: damaged (not JSON: {error}); {REMEDY}") from error
    if reason := why_not_true(values):
        raise InputError(f"{folder / FILE}: {reason}; {REMEDY}")
    return values


def _write(folder: Path, values: Mapping[str, Any]) -> None:
    write_text(folder / FILE, json.dumps(sealed(values), indent=1), 0o600)
