"""Which scans a user wants, by the entities of their names (as fMRIPrep's ``--bids-filter-file``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.cohorts.scans import names, user_files
from trainers.cohorts.scans.wording import short
from trainers.config import FieldError
from trainers.errors import InputError

CONTRASTS = {"t1w": "T1", "t2w": "T2"}
ANY = "*"
"""Any value; the entity must be there."""
QUERIES: Mapping[str, tuple[str | None, ...]] = {
    **{"query.none": (None,), "query.any": (ANY,)},
    **{"query.required": (ANY,), "query.optional": (None, ANY)},
}
"""What pybids writes for no value, for any and for either."""
SAID: Mapping[str, str] = {"datatype": "anat", "suffix": "{contrast}w"}
"""Keys of fMRIPrep's files that are no entities; with these values they say what holds anyway."""
NO_ENTITIES = (*SAID, "extension", "scope", "target", "return_type", "regex_search", "invalid_filters")
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
        both: dict[str, tuple[str | None, ...]] = {}
        for key, value in map(_pair, text.split(",") if text else ()):
            if key in both:
                allowed = "each entity once; several values in a file of filters"
                raise FieldError("filter", text, allowed)
            both[key] = value
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
    if wanted.isdecimal() and given.isdecimal():
        return wanted.lstrip("0") == given.lstrip("0")
    return wanted.lower() == given.lower()


def _pair(part: str) -> tuple[str, tuple[str | None, ...]]:
    key, sign, value = (piece.strip() for piece in part.partition("="))
    if not sign or not key or key in NO_ENTITIES:
        raise FieldError("filter", part, "entity=value, as acq=AXI, more of them separated by commas")
    return entity(key), (value or None,)


def entity(key: str) -> str:
    """The key in names of an entity by its key or its name, as ``acquisition``."""
    return names.LONG.get(key.lower(), key.lower())


def _from_file(path: Path) -> dict[str, Wanted]:
    content = user_files.read_json(path, "filters: ")
    allowed = ", ".join(CONTRASTS)
    if not isinstance(content, dict) or not all(isinstance(each, dict) for each in content.values()):
        raise InputError(f"filters: {path}: is no object of objects; allowed: {allowed}, entities by each")
    found: dict[str, Wanted] = {}
    for name, wanted in content.items():
        if name.lower() not in CONTRASTS or CONTRASTS[name.lower()] in found:
            why = "is there twice" if name.lower() in CONTRASTS else "is not known"
            raise InputError(f"filters: {path}: {short(name)} {why}; allowed: {allowed}, each once")
        contrast = CONTRASTS[name.lower()]
        found[contrast] = _entities(path, contrast, wanted)
    return found


def _entities(path: Path, contrast: str, given: Mapping[str, Any]) -> Wanted:
    found: dict[str, tuple[str | None, ...]] = {}
    for key, value in given.items():
        if key in SAID and value == SAID[key].format(contrast=contrast):
            continue
        if key in NO_ENTITIES:
            allowed = ", ".join(f"{k} {v.format(contrast=contrast)}" for k, v in SAID.items())
            wrong = f"{contrast.lower()}w: {key}: {short(value)} is not supported"
            raise InputError(f"filters: {path}: {wrong}; allowed: entities, {allowed}")
        if entity(key) in found:
            raise InputError(f"filters: {path}: {key} is there twice; allowed: each entity once")
        found[entity(key)] = _values(path, key, value)
    return found


def _values(path: Path, key: str, value: Any) -> tuple[str | None, ...]:
    given = value if isinstance(value, list) else [value]
    wrong = [v for v in given if v is not None and (isinstance(v, bool) or not isinstance(v, str | int))]
    if wrong or not given or "" in given:
        named = f"{key}: {short(wrong[0] if wrong else value)} is not allowed"
        raise InputError(f"filters: {path}: {named}; allowed: text, an integer, null, or a list of them")
    texts = [None if v is None else str(v) for v in given]
    return tuple(each for v in texts for each in QUERIES.get((v or "").lower(), (v,)))
