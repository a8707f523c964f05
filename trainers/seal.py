"""A checksum inside what is written as JSON, so that a damaged value is never taken as true."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from trainers.errors import InputError

FORMAT = 2
"""Version of sealed files; files without a version are of earlier versions, which had no seal."""
KEYS = ("format", "seal")


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the version and a checksum of everything else; an earlier seal is replaced."""
    plain = {key: value for key, value in values.items() if key not in KEYS} | {"format": FORMAT}
    return plain | {"seal": checksum_of(plain)}


def opened(content: bytes, where: str) -> dict[str, Any]:
    """The values of a file that always had a seal; raises InputError, which names ``where``, if damaged."""
    try:
        values = json.loads(content)
    except ValueError as error:
        raise InputError(f"{where}: damaged (not JSON)") from error
    if not isinstance(values, dict) or "seal" not in values:
        raise InputError(f"{where}: damaged (it has no checksum)")
    if reason := why_not_true(values):
        raise InputError(f"{where}: {reason}")
    return values


def why_not_true(values: Mapping[str, Any]) -> str:
    """What is wrong with sealed values, in words; empty for intact ones, and for those without any seal."""
    if not any(key in values for key in KEYS):
        return ""
    plain = {key: value for key, value in values.items() if key != "seal"}
    if values.get("seal") != checksum_of(plain):
        return "damaged (its checksum differs)"
    if plain.get("format") != FORMAT:
        return f"of format {plain.get('format')}, which this version does not know; allowed: up to {FORMAT}"
    return ""


def checksum(text: bytes) -> str:
    """16 hex digits of a text's sha256: random damage passes once in 10^19 times."""
    return hashlib.sha256(text).hexdigest()[:16]


def checksum_of(values: Mapping[str, Any]) -> str:
    """Hex sha256 of values as JSON gives them back, whatever the order of their keys."""
    read = json.loads(json.dumps(values))
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()
