"""Typed, bounded, frozen configurations: the form in which settings are sent to a worker."""

import difflib
import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from trainers import VERSION
from trainers.errors import InputError

C = TypeVar("C")

_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    tuple: "a list of integers",
}


@dataclass(frozen=True)
class Range:
    """Closed bounds of a number, written ``Annotated[float, Range(0, 1)]`` on a field."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


class FieldError(InputError):
    """One bad field: ``key``, its ``value`` and what is ``allowed``."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}: {value!r} is not allowed; allowed: {allowed}")
        self.key, self.value, self.allowed = key, value, allowed

    def __reduce__(self) -> tuple[type["FieldError"], tuple[str, object, str]]:
        """Pickled by its three parts, as workers return it."""
        return type(self), (self.key, self.value, self.allowed)


@dataclass(frozen=True)
class FieldType:
    """Allowed values of a field: its ``kind``, ``bounds`` of a number, ``choices`` of an enumeration."""

    kind: type
    bounds: Range | None = None
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return ", ".join("true" if choice is True else str(choice) for choice in self.choices)
        name = _NAMES[self.kind]
        return f"{name} in {self.bounds}" if self.bounds else name


def field_types(config: type) -> dict[str, FieldType]:
    """The settable fields of a configuration class, by name."""
    hints = get_type_hints(config, include_extras=True)
    return {f.name: _field_type(hints[f.name]) for f in fields(config) if f.init}


def build(config: type[C], values: Mapping[str, Any]) -> C:
    """Make a ``config`` from plain values; raises :class:`FieldError` for the first wrong one."""
    known = field_types(config)
    for key in values:
        if key not in known:
            raise FieldError(key, values[key], f"{suggest(key, known)}one of {', '.join(known)}")
    for f in fields(config):  # type: ignore[arg-type]
        if f.init and f.default is MISSING and f.default_factory is MISSING and f.name not in values:
            raise FieldError(f.name, None, f"{known[f.name]} (it has no default)")
    return config(**{key: check(key, value, known[key]) for key, value in values.items()})


def check(key: str, value: Any, kind: FieldType) -> Any:
    """Return ``value`` as the field's type, or raise :class:`FieldError`."""
    if kind.choices:
        # 1 == 1.0 == True: equality alone would accept another type
        valid = any(type(value) is type(choice) and value == choice for choice in kind.choices)
    elif kind.kind is tuple:
        valid = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        value = tuple(value) if valid else value
    elif kind.kind is float:
        valid = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if valid else value
    else:
        valid = type(value) is kind.kind
    if not valid or (kind.bounds and not kind.bounds.low <= value <= kind.bounds.high):
        raise FieldError(key, value, str(kind))
    return value


def suggest(key: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """``"did you mean x? "`` for a similar name, else an empty string."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(key.lower(), list(names), n=1)
    return f"did you mean {names[close[0]]}? " if close else ""


def plain_values(config: Any) -> dict[str, Any]:
    """The fields as plain values, to be saved.

    A class may have a class variable ``EARLIER``: what fields that were added later meant before they
    existed. With that value they are left out, so that hashes and files from before stay as they were.
    """
    earlier = earlier_meanings(type(config))
    return {key: value for key, value in asdict(config).items() if earlier.get(key, MISSING) != value}


def rebuild(config: type[C], values: Mapping[str, Any]) -> C:
    """What :func:`plain_values` saved, today or before a field was added; raises FieldError."""
    return build(config, {**earlier_meanings(config), **values})


def with_later_fields(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, and the defaults of fields that were added later: to be saved with today's meaning."""
    earlier = earlier_meanings(config)
    return {f.name: f.default for f in fields(config) if f.name in earlier} | dict(values)


def as_earlier(config: C) -> C:
    """What the same given settings meant before fields were added: each of those at its default changes.

    So do fields of the class variable ``EARLIER_DEFAULTS``, which always existed and had other defaults.
    """
    defaults = {f.name: f.default for f in fields(config)}  # type: ignore[arg-type]
    earlier = {**earlier_meanings(type(config)), **getattr(config, "EARLIER_DEFAULTS", {})}
    changed = {key: value for key, value in earlier.items() if getattr(config, key) == defaults[key]}
    return replace(config, **changed)  # type: ignore[type-var]


def canonical(config: Any) -> str:
    """The configuration as JSON with sorted keys: equal settings give equal text."""
    return json.dumps(plain_values(config), sort_keys=True, separators=(",", ":"))


def digest(*parts: str) -> str:
    """Content hash (hex sha256) of the parts and the code version."""
    return hashlib.sha256("\x00".join((VERSION, *parts)).encode()).hexdigest()


def earlier_meanings(config: type) -> Mapping[str, Any]:
    """What fields that were added later meant before they existed, by name: the class's own and inherited."""
    classes = reversed(config.__mro__)
    return {key: value for each in classes for key, value in vars(each).get("EARLIER", {}).items()}


def _field_type(hint: Any) -> FieldType:
    bounds = None
    if get_origin(hint) is Annotated:
        hint, *annotations = get_args(hint)
        bounds = next((a for a in annotations if isinstance(a, Range)), None)
    if get_origin(hint) is Literal:
        return FieldType(type(get_args(hint)[0]), None, get_args(hint))
    if get_origin(hint) is tuple:
        return FieldType(tuple)
    assert hint in (int, float, bool, str) and not isinstance(hint, types.UnionType), hint
    return FieldType(hint, bounds)
