"""Changes to a document by its profiles and files that extend it, as JSON merge patches (RFC 7396)."""

from collections.abc import Iterable
from pathlib import Path
from platform.spaces import strict_yaml
from platform.spaces.strict_yaml import Document, Where
from platform.spaces.typed_document import known_key, mapping
from typing import Any

from trainers.config import suggest

LIKE = "like"
"""Key of a profile: the name of one that it changes."""


def read(path: Path | str, extending: tuple[Path, ...] = ()) -> Document:
    """A file, merged into the one that it extends, if any; ``extending``: the files that extend it.

    Raises LocatedError.
    """
    document = strict_yaml.load(path)
    if "extends" not in document.data:
        return document
    name = document.data["extends"]
    file = document.path.parent / str(name)
    if not isinstance(name, str) or not file.is_file():
        raise document.refusal(("extends",), name, "the path of a YAML file, from this file's folder")
    chain = (*extending, document.path.resolve())
    if file.resolve() in chain:
        raise document.refusal(("extends",), name, "a file that does not extend this one")
    base = read(file, chain)
    own = {key: value for key, value in document.data.items() if key not in ("extends", "profiles")}
    profiles = dict(mapping(base, ("profiles",)))
    for profile in mapping(document, ("profiles",)):
        top = ("profiles", profile)
        changes = mapping(document, top)
        profiles[profile] = _merge(document, top, mapping(base, top), changes, keep_nulls=True)
    data = _merge(document, (), {k: v for k, v in base.data.items() if k != "profiles"}, own)
    lines = {**base.lines, **document.lines}
    files = {where: base.location(where)[0] for where in base.lines if where not in document.lines}
    return Document(document.path, data | ({"profiles": profiles} if profiles else {}), lines, files)


def profile_names(document: Document, keys: Iterable[str]) -> tuple[str, ...]:
    """The names under ``profiles``; LocatedError for a profile with a top-level key not among ``keys``."""
    names = tuple(mapping(document, ("profiles",)))
    for name in names:
        for key in mapping(document, ("profiles", name)):
            known_key(document, ("profiles", name, key), (*keys, LIKE))
    return names


def overlay(document: Document, profile: str | None) -> Document:
    """The document, changed by one of its profiles and without the others; null removes a key.

    Before it by the profile that it is like, if any. Sections merge key by key, but one with a ``source``
    (the cohort) only with one of the same source. Values of a profile keep their lines. Raises LocatedError
    for a null that removes nothing.
    """
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    lines, files = dict(document.lines), dict(document.files)
    for name in _chain(document, profile):
        top: Where = ("profiles", name)
        changes = {key: value for key, value in document.data["profiles"][name].items() if key != LIKE}
        data = _merge(document, top, data, changes)
        own = {where: where[2:] for where in document.lines if where[:2] == top and len(where) > 2}
        lines |= {moved: document.lines[where] for where, moved in own.items()}
        for where, moved in own.items():
            files.pop(moved, None)
            if where in document.files:
                files[moved] = document.files[where]
    return Document(document.path, data, lines, files)


def _chain(document: Document, profile: str | None) -> list[str]:
    """The profile, after the one that it is like, after the one that this is like."""
    names: list[str] = []
    profiles = mapping(document, ("profiles",))
    while profile is not None:
        names.insert(0, profile)
        other = profiles[profile].get(LIKE)
        free = [name for name in profiles if name not in names]
        if other is not None and other not in free:
            raise document.refusal(("profiles", profile, LIKE), other, ", ".join(free) or "none")
        profile = other
    return names


def _merge(
    document: Document, where: Where, base: dict[str, Any], changes: dict[str, Any], keep_nulls: bool = False
) -> dict[str, Any]:
    """``base`` with ``changes``: sections are merged key by key, anything else is replaced.

    ``keep_nulls``: a null that removes nothing here is kept, to remove a key in a later merge.
    """
    sections = dict(changes)
    for key, change in changes.items():
        section = base.get(key)
        if isinstance(section, dict) and isinstance(change, dict) and _same_source(section, change):
            sections[key] = _merge_keys(document, (*where, key), section, change, keep_nulls)
    return _merge_keys(document, where, base, sections, keep_nulls)


def _same_source(base: dict[str, Any], change: dict[str, Any]) -> bool:
    return bool(change.get("source", base.get("source")) == base.get("source"))


def _merge_keys(
    document: Document, where: Where, base: dict[str, Any], changes: dict[str, Any], keep_nulls: bool
) -> dict[str, Any]:
    removed = [key for key, value in changes.items() if value is None and (key in base or not keep_nulls)]
    for key in removed:
        if key not in base:
            text = f"null removes nothing; {suggest(key, base)}allowed: {', '.join(base)}"
            raise document.error((*where, key), text)
    return {key: value for key, value in {**base, **changes}.items() if key not in removed}
