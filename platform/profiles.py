"""Profiles: a document's own variants, each merged into it like a JSON merge patch (RFC 7396)."""

from collections.abc import Iterable
from platform.placed import known_key, mapping
from platform.strict_yaml import Document, Where
from typing import Any

from trainers.config import suggest


def profile_names(document: Document, keys: Iterable[str]) -> tuple[str, ...]:
    """The names under ``profiles``; PlacedError for a profile with a top-level key not among ``keys``."""
    names = tuple(mapping(document, ("profiles",)))
    for name in names:
        for key in mapping(document, ("profiles", name)):
            known_key(document, ("profiles", name, key), keys)
    return names


def overlay(document: Document, profile: str | None) -> Document:
    """The document without its profiles, varied by one: sections merge key by key, null drops.

    A section with a ``source`` (the cohort) merges only with one of the same source. What a profile says
    keeps its line. Raises PlacedError for a null that drops nothing.
    """
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    if profile is None:
        return Document(document.path, data, document.lines)
    top: Where = ("profiles", profile)
    changes = dict(document.data["profiles"][profile])
    for key, change in changes.items():
        base = data.get(key)
        if isinstance(base, dict) and isinstance(change, dict) and _same_source(base, change):
            changes[key] = _merged(document, (*top, key), base, change)
    moved = {where[2:]: line for where, line in document.lines.items() if where[:2] == top and len(where) > 2}
    return Document(document.path, _merged(document, top, data, changes), {**document.lines, **moved})


def _same_source(base: dict[str, Any], change: dict[str, Any]) -> bool:
    return bool(change.get("source", base.get("source")) == base.get("source"))


def _merged(
    document: Document, where: Where, base: dict[str, Any], changes: dict[str, Any]
) -> dict[str, Any]:
    dropped = [key for key, value in changes.items() if value is None]
    for key in dropped:
        if key not in base:
            text = f"null drops nothing; {suggest(key, base)}allowed: {', '.join(base)}"
            raise document.error((*where, key), text)
    return {key: value for key, value in {**base, **changes}.items() if key not in dropped}
