"""A strict subset of YAML: one document of plain values, each with its line.

Scalars follow the YAML 1.2 core schema: ``1e-4`` is a number, ``on`` and ``1:30`` are text, ``010`` is 10.
Refused: anchors, aliases, tags, duplicate keys, keys that are not text, numbers that are not finite or exceed
64 bits, more than 20 levels, more than 256 KiB.
"""

import json
import math
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainers.errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

Where = tuple[str | int, ...]

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class LocatedError(InputError):
    """A wrong input at a known ``line`` (from 1) of a file; its text is one printable line."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(_printable(f"{path}:{line}: {_cut(message, 2000)}"))
        self.line = line


@dataclass(frozen=True)
class Document:
    """A file's mapping as plain values, and the line of everything in it."""

    path: Path
    data: dict[str, Any]
    lines: dict[Where, int] = field(repr=False)
    """Line of each key and list item by its path from the top, such as ``("search", "tau", "log", 0)``."""
    files: dict[Where, Path] = field(repr=False, default_factory=dict)
    """The file of each key that comes from another file than ``path``, which extends it."""

    def location(self, where: Where) -> tuple[Path, int]:
        """File and line of ``where``, or of the innermost part of it that is in a file."""
        known = next(where[:n] for n in range(len(where), -1, -1) if where[:n] in self.lines)
        return self.files.get(known, self.path), self.lines[known]

    def error(self, where: Where, message: str) -> LocatedError:
        """An error that reads ``file:line: key: message``."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" for part in where)
        return LocatedError(*self.location(where), ": ".join(filter(None, ("".join(parts)[1:], message))))

    def refusal(self, where: Where, value: object, allowed: str) -> LocatedError:
        """An error that reads ``file:line: key: value is not allowed; allowed: ...``."""
        return self.error(where, f"{shown(value)} is not allowed; allowed: {allowed}")


def load(path: Path | str) -> Document:
    """Read a YAML file that holds a mapping; any problem is an InputError of one line, ``file:line: ...``."""
    path = Path(path)
    reader = _Reader(path, _text(path))
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise LocatedError(path, line, " ".join(filter(None, (error.context, error.problem)))) from None
    except (
        ValueError,
        OverflowError,
    ) as error:  # PyYAML raises these for a bad \U escape or %YAML version
        if isinstance(error, InputError):
            raise
        raise LocatedError(path, reader.loader.line + 1, f"not YAML ({error})") from None


def shown(value: object) -> str:
    """A value for a message, written as in YAML, cut at 80 characters."""
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(_printable(f"{path}: not a file"))
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(_printable(f"{path}: cannot be read: {error.strerror}")) from None
    except ValueError:  # a NUL in the name
        raise InputError(f"{str(path)!r}: not a file name") from None
    if len(raw) > MAX_BYTES:
        raise LocatedError(path, 1, f"larger than {MAX_BYTES // 1024} KiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LocatedError(path, raw.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from None


class _Reader:
    """Builds the values from the events of PyYAML's parser, which have no types and need no recursion."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, dict[Where, int]()
        try:
            self.loader: Any = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise LocatedError(path, line, f"character {error.character!r} is not allowed") from None

    def document(self) -> Document:
        self.loader.get_event()  # the start of the stream
        if self.loader.check_event(yaml.StreamEndEvent):
            raise LocatedError(self.path, 1, "is empty")
        self.loader.get_event()  # the start of the document
        start = self.loader.peek_event()
        data = self._value(())
        if not isinstance(data, dict):
            raise self._error(start, "the top level must be a mapping of keys to values")
        self.loader.get_event()  # the end of the document
        if not self.loader.check_event(yaml.StreamEndEvent):
            raise self._error(self.loader.peek_event(), "a second document; allowed: one")
        return Document(self.path, data, self.lines)

    def _error(self, event: Any, message: str) -> LocatedError:
        return LocatedError(self.path, event.start_mark.line + 1, message)

    def _value(self, where: Where) -> Any:
        event: Any = self._event()
        self.lines.setdefault(where, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(where) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        return self._mapping(where) if isinstance(event, yaml.MappingStartEvent) else self._sequence(where)

    def _event(self) -> Any:
        event: Any = self.loader.get_event()
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, f"alias *{_cut(str(event.anchor))} is not allowed; write the value out")
        if getattr(event, "anchor", None) is not None:
            raise self._error(event, f"anchor &{_cut(event.anchor)} is not allowed; write the value out")
        if getattr(event, "tag", None) is not None:
            raise self._error(event, f"tag {_cut(event.tag)} is not allowed; write a plain value")
        return event

    def _mapping(self, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            event = self._event()
            key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                text = getattr(event, "value", "a mapping or list")
                raise self._error(event, f"{text}: a key must be text; quote it if it is one")
            if key in values:
                first = self.lines[(*where, key)]
                raise self._error(event, f"{_cut(key)}: duplicate key, first on line {first}")
            self.lines[(*where, key)] = event.start_mark.line + 1
            values[key] = self._value((*where, key))
        self.loader.get_event()
        return values

    def _sequence(self, where: Where) -> list[Any]:
        values: list[Any] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            values.append(self._value((*where, len(values))))
        self.loader.get_event()
        return values

    def _scalar(self, event: Any) -> Any:
        try:
            event.value.encode()
        except UnicodeEncodeError:  # "\ud800" in quotes
            raise self._error(event, f"{shown(event.value)} is not valid Unicode") from None
        value = _scalar_value(event.value) if event.implicit[0] else event.value
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(
                event, f"{_cut(event.value)} is not allowed; allowed: finite numbers of at most 64 bits"
            )
        return value


def _scalar_value(text: str) -> Any:
    """An unquoted scalar by the core schema (YAML 1.2.2, section 10.3.2); infinite beyond 64 bits."""
    if text in _NULL:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        value = int(text, base) if len(text) <= 100 else 2**63
        return value if -(2**63) <= value < 2**63 else math.inf
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.nan if _NOT_FINITE.fullmatch(text) else text
