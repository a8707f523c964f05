"""Which scans a user wants, by the entities of their names (as fMRIPrep's ``--bids-filter-file``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.cohorts.scans import json_files, names
from trainers.config import FieldError
from trainers.errors import InputError

CONTRASTS = {"t1w": "T1", "t2w": "T2"}
ANY = "*"
"""Any value; the entity must be there."""
Wanted = Mapping[str, tuple[str | None, ...]]
"""By entity the values that are taken, None being a name without it."""


@dataclass(frozen=True)
class Filters:
    """What is wanted of each contrast."""

    wanted: Mapping[str, Wanted] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str = "", file: str = "") -> "Filters":
        """``text`` is ``acq=AXI,run=2``, for both contrasts, or with ``acq=`` names without the entity.

        ``file`` is JSON: ``{"t1w": {"acquisition": "AXI", "ceagent": null}, "t2w": {"run": [1, 2]}}``. Raises
        InputError for a wrong one.
        """
        both = dict(_pair(part) for part in text.split(",")) if text else {}
        by_contrast = _from_file(Path(file)) if file else {}
        return cls({c: {**by_contrast.get(c, {}), **both} for c in CONTRASTS.values()})

    def unmet(self, contrast: str, entities: Mapping[str, str]) -> str:
        """The first condition that a name does not meet, as ``acq=AXI``; empty where it meets all."""
        for key, values in self.wanted.get(contrast, {}).items():
            if not any(_same(value, entities.get(key)) for value in values):
                return f"{key}={'|'.join(value or '' for value in values)}"
        return ""

    def names(self, contrast: str, key: str) -> bool:
        """Whether there is a condition on an entity: then it is the user's choice alone."""
        return key in self.wanted.get(contrast, {})


def _same(wanted: str | None, given: str | None) -> bool:
    if wanted is None or given is None or wanted == ANY:
        return (wanted is None) == (given is None)
    if wanted.isdigit() and given.isdigit():
        return int(wanted) == int(given)
    return wanted.lower() == given.lower()


def _pair(part: str) -> tuple[str, tuple[str | None, ...]]:
    key, sign, value = (piece.strip() for piece in part.partition("="))
    if not sign or not key:
        raise FieldError("filter", part, "entity=value, as acq=AXI, more of them separated by commas")
    return names.LONG.get(key, key), (value or None,)


def _from_file(path: Path) -> dict[str, Wanted]:
    content = json_files.read(path, "filters: ")
    allowed = ", ".join(CONTRASTS)
    if not isinstance(content, dict) or not all(isinstance(each, dict) for each in content.values()):
        raise InputError(f"filters: {path}: is no object of objects; allowed: {allowed}, entities by each")
    if unknown := [key for key in content if key.lower() not in CONTRASTS]:
        raise InputError(f"filters: {path}: {unknown[0]!r} is not known; allowed: {allowed}")
    return {
        CONTRASTS[contrast.lower()]: {
            names.LONG.get(key, key): _values(path, key, value) for key, value in wanted.items()
        }
        for contrast, wanted in content.items()
    }


def _values(path: Path, key: str, value: Any) -> tuple[str | None, ...]:
    given = value if isinstance(value, list) else [value]
    if wrong := [v for v in given if v is not None and (isinstance(v, bool) or not isinstance(v, str | int))]:
        named = f"{key}: {wrong[0]!r} is not allowed"
        raise InputError(f"filters: {path}: {named}; allowed: text, an integer, null, or a list of them")
    return tuple(None if v is None else str(v) for v in given)
