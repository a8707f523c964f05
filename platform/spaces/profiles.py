"""Variants of a document, laid on it like a JSON merge patch (RFC 7396): profiles, and what it extends."""

from collections.abc import Iterable
from pathlib import Path
from platform.spaces import strict_yaml
from platform.spaces.strict_yaml import Document, Where
from platform.spaces.typed_document import known_key, mapping
from typing import Any

from trainers.config import suggest


def read(path: Path | str, above: tuple[Path, ...] = ()) -> Document:
    """A file laid on the one that it extends, if it does; raises PlacedError. ``above`` are extending it."""
    document = strict_yaml.load(path)
    if "extends" not in document.data:
        return document
    name = document.data["extends"]
    file = document.path.parent / str(name)
    if not isinstance(name, str) or not file.is_file():
        raise document.refusal(("extends",), name, "the path of a YAML file, from this file's folder")
    seen = (*above, document.path.resolve())
    if file.resolve() in seen:
        raise document.refusal(("extends",), name, "a file that does not extend this one")
    base = read(file, seen)
    both = {key: value for key, value in document.data.items() if key not in ("extends", "profiles")}
    profiles = dict(mapping(base, ("profiles",)))
    for profile in mapping(document, ("profiles",)):
        own = mapping(document, ("profiles", profile))
        top = ("profiles", profile)
        profiles[profile] = _laid(document, top, mapping(base, top), own, kept=True)
    data = _laid(document, (), {k: v for k, v in base.data.items() if k != "profiles"}, both)
    lines = {**base.lines, **document.lines}
    files = {where: base.place(where)[0] for where in base.lines if where not in document.lines}
    return Document(document.path, data | ({"profiles": profiles} if profiles else {}), lines, files)


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
        return Document(document.path, data, document.lines, document.files)
    top: Where = ("profiles", profile)
    moved = {where[2:]: line for where, line in document.lines.items() if where[:2] == top and len(where) > 2}
    files = {where: file for where, file in document.files.items() if where not in moved}
    files |= {where[2:]: file for where, file in document.files.items() if where[:2] == top and where[2:]}
    laid = _laid(document, top, data, document.data["profiles"][profile])
    return Document(document.path, laid, {**document.lines, **moved}, files)


def _laid(
    document: Document, where: Where, base: dict[str, Any], changes: dict[str, Any], kept: bool = False
) -> dict[str, Any]:
    """``changes`` laid on ``base``: sections key by key, anything else whole.

    ``kept``: a null that drops nothing here stays, to drop something in the next layer.
    """
    sections = dict(changes)
    for key, change in changes.items():
        section = base.get(key)
        if isinstance(section, dict) and isinstance(change, dict) and _same_source(section, change):
            sections[key] = _merged(document, (*where, key), section, change, kept)
    return _merged(document, where, base, sections, kept)


def _same_source(base: dict[str, Any], change: dict[str, Any]) -> bool:
    return bool(change.get("source", base.get("source")) == base.get("source"))


def _merged(
    document: Document, where: Where, base: dict[str, Any], changes: dict[str, Any], kept: bool
) -> dict[str, Any]:
    dropped = [key for key, value in changes.items() if value is None and not (kept and key not in base)]
    for key in dropped:
        if key not in base:
            text = f"null drops nothing; {suggest(key, base)}allowed: {', '.join(base)}"
            raise document.error((*where, key), text)
    return {key: value for key, value in {**base, **changes}.items() if key not in dropped}
