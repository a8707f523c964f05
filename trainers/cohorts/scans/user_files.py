"""Text and JSON files of users."""

import json
from pathlib import Path
from typing import Any

from trainers.cohorts.scans.wording import short
from trainers.errors import InputError

LARGEST = 2**26
"""Bytes: a larger one is no sidecar and no table, and is not read."""


def read(path: Path, allowed: str, key: str = "") -> str:
    """A text; raises InputError, after the setting's ``key``, for one that is not UTF-8, or too large."""
    try:
        if path.exists() and not path.is_file():
            raise FileNotFoundError  # a folder; a pipe would be waited for
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = f"{key}{path}: cannot be read ({error.__class__.__name__})"
        raise InputError(f"{reason}; allowed: {allowed} in UTF-8") from None
    if len(content) > LARGEST or "\0" in text:
        why = "holds NUL characters" if "\0" in text else f"is larger than {LARGEST} bytes"
        raise InputError(f"{key}{path}: {why}; allowed: {allowed} in UTF-8")
    return text


def read_json(path: Path, key: str = "") -> Any:
    """The content; raises InputError, after the setting's ``key``, for no JSON, or a name with two values."""
    text = read(path, "a JSON object", key)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except InputError as error:
        raise InputError(f"{key}{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        reason = f"{key}{path}: cannot be read ({error.__class__.__name__})"
        raise InputError(f"{reason}; allowed: a JSON object in UTF-8") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    for name, value in pairs:
        if found[name] != value:
            raise InputError(f"{short(name)} is there with two values; allowed: one")
    return found
