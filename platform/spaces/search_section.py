"""Reads the section ``search``: domains, their steps and their conditions."""

from collections.abc import Mapping
from dataclasses import replace
from platform.spaces.strict_yaml import Document, LocatedError, Where, shown
from platform.spaces.typed_document import known_key, mapping, unknown
from platform.study.config_classes import fields_of, union
from platform.study.dimensions import INTERVALS, Choice, Dimension, Int, IntLog, Uniform
from platform.study.study import METHOD
from typing import Any

from trainers.config import FieldError, FieldType, check, suggest

Methods = Mapping[str, type]
"""The configuration classes of a study's methods."""

_OPTIONS = ("step", "when")
FINEST = 1e6
"""Steps in the largest value: with more, rounded values miss their step by more than Optuna accepts."""
_NOT_SEARCHED = {
    "seed": "the best of several seeds is chance, which platform.confirm averages out",
    "rungs": "it changes no result",
}
"""Fields that cannot be searched, with the reason."""


def read_search(document: Document, methods: Methods) -> tuple[Dimension, ...]:
    """The searched dimensions, the method first where there are several; raises LocatedError."""
    known, fixed = union(tuple(methods.values())), document.data.get("fixed")
    dimensions: dict[str, Dimension] = {METHOD: Choice(METHOD, tuple(methods))}
    for name in (fields := mapping(document, ("search",))):
        where = ("search", name)
        known_key(document, where, known)
        if name in _NOT_SEARCHED:
            raise document.error(where, f"is not searched, as {_NOT_SEARCHED[name]}; allowed: under fixed")
        if isinstance(fixed, dict) and name in fixed:
            file, line = document.location(("fixed", name))
            place = f"line {line}" if file == document.location(where)[0] else f"{file}:{line}"
            hint = f"remove one of them, in a profile with {name}: null"
            raise document.error(where, f"both searched and fixed ({place}); {hint}")
        dimensions[name] = _dimension(document, name, methods, dimensions)
    if not fields:
        raise document.error(
            ("search",), "nothing is searched; allowed: at least one field of the method's Config"
        )
    if len(methods) == 1:
        del dimensions[METHOD]
    return tuple(dimensions.values())


def _dimension(document: Document, name: str, methods: Methods, above: Mapping[str, Dimension]) -> Dimension:
    """One dimension, checked against every method that has the field and meets its condition."""
    value, when = document.data["search"][name], dict[str, tuple[Any, ...]]()
    owners = tuple(method for method, config in methods.items() if name in fields_of(config))
    if isinstance(value, dict) and "when" in value:
        when = _when(document, name, {**above, METHOD: Choice(METHOD, owners)})
        owners = when.pop(METHOD, owners)
    if len(owners) < len(methods):
        when = {METHOD: owners, **when}
    read = []
    for owner in owners:
        try:
            read.append(_domain(document, name, fields_of(methods[owner])[name]))
        except LocatedError as error:
            if len(owners) > 1:  # other methods may accept it
                error.args = (f"{error} (method {owner})",)
            raise
    _require_possible(document, name, when, above)
    return replace(read[0], when=when)


def kinds(field: FieldType) -> tuple[str, ...]:
    """The kinds of domain that a field can have; none for a list, which Optuna cannot store."""
    if field.kind is tuple:
        return ()
    if field.kind is float and not field.choices:
        return ("uniform", "log", "choice")
    return ("int", "int_log", "choice") if field.kind is int and not field.choices else ("choice",)


def _domain(document: Document, name: str, field: FieldType) -> Dimension:
    """The domain ``{kind: ...}`` of a searched field of type ``field``."""
    where, value, known = ("search", name), document.data["search"][name], kinds(field)
    if not known:
        raise document.error(
            where, "a list cannot be searched; allowed: fields that are numbers, text or true or false"
        )
    keys = list(value) if isinstance(value, dict) else []
    given = [key for key in keys if key in known]
    for key in keys:
        if key not in (*known, *_OPTIONS):
            wrong = ("key", key, _OPTIONS) if given else (f"kind of domain for {field}", key, known)
            raise document.error((*where, key), unknown(*wrong))
    if len(given) != 1:
        forms = " or ".join(f"{{{kind}: {'[...]' if kind == 'choice' else '[low, high]'}}}" for kind in known)
        raise document.refusal(where, value, forms)
    read = _choice if given == ["choice"] else _interval
    dimension = read(document, (*where, given[0]), name, value[given[0]], field)
    return _stepped(document, given[0], dimension, value["step"]) if "step" in value else dimension


def _interval(document: Document, where: Where, name: str, values: Any, field: FieldType) -> Dimension:
    if not isinstance(values, list) or len(values) != 2:
        raise document.refusal(where, values, "[low, high]")
    low, high = (_typed(document, (*where, i), value, field) for i, value in enumerate(values))
    if low >= high:
        raise document.refusal(where, values, "low below high")
    if str(where[-1]).endswith("log") and low <= 0:
        raise document.refusal(where, values, "low above 0, as its logarithm is searched")
    return INTERVALS[str(where[-1])](name, low, high)


def _choice(document: Document, where: Where, name: str, values: Any, field: FieldType) -> Choice:
    if not isinstance(values, list) or len(values) < 2:
        raise document.refusal(where, values, "a list of at least two values")
    return Choice(name, _distinct(document, where, values, field))


def _stepped(document: Document, kind: str, dimension: Dimension, step: Any) -> Dimension:
    """The domain with its step; raises LocatedError for a step that it cannot have."""
    where = ("search", dimension.name, "step")
    if isinstance(dimension, IntLog) or not isinstance(dimension, Uniform | Int):
        raise document.error(where, f"there are no steps with {kind}; allowed: with uniform and int")
    try:
        step = check("", step, FieldType(int if isinstance(dimension, Int) else float))
    except FieldError as error:
        raise document.refusal(where, step, f"{error.allowed} above 0") from None
    if step <= 0 or (stepped := replace(dimension, step=step)).size == 1:
        raise document.refusal(where, step, f"above 0 and at most the length of {dimension}")
    largest = max(abs(dimension.low), abs(dimension.high), dimension.high - dimension.low)
    if isinstance(dimension, Uniform) and largest / step > FINEST:
        raise document.refusal(where, step, f"at least {largest / FINEST:g}, or no step: values are rounded")
    return stepped


def _when(document: Document, name: str, above: Mapping[str, Dimension]) -> dict[str, tuple[Any, ...]]:
    """The condition of a dimension: other ones above it, each with values of its domain."""
    where, search = ("search", name, "when"), document.data["search"]
    given = search[name]["when"]
    if not isinstance(given, dict) or not given:
        raise document.refusal(where, given, "{searched field: a value, or a list of values}")
    known = {key: parent for key, parent in above.items() if isinstance(parent, Choice | Int)}
    condition = {}
    for parent, values in given.items():
        here = (*where, parent)
        if parent in search and parent not in above:
            raise document.error(here, f"does not come before {name}; allowed: fields searched before it")
        if parent in above and parent not in known:
            raise document.error(here, "has no distinct values; allowed: fields searched by choice or int")
        if parent not in known:
            raise document.error(here, unknown("searched field", parent, known))
        condition[parent] = _condition_values(document, here, values, known[parent])
    return condition


def _condition_values(
    document: Document, where: Where, given: Any, dimension: Choice | Int
) -> tuple[Any, ...]:
    """The values of a condition: one, or a list, each in the domain of ``dimension``."""
    listed = given if isinstance(given, list) else [given]
    field = FieldType(int if isinstance(dimension, Int) else type(dimension.values[0]))
    for value in listed or [given]:
        try:
            inside = dimension.holds(check("", value, field))
        except FieldError:
            inside = False
        if not inside:
            near = suggest(str(value), tuple(map(str, getattr(dimension, "values", ()))))
            raise document.refusal(where, value, f"{near}values of {dimension.name}: {dimension}")
    return _distinct(document, where, listed, field)


def _require_possible(
    document: Document, name: str, when: Mapping[str, tuple[Any, ...]], above: Mapping[str, Dimension]
) -> None:
    """Raises LocatedError for a condition that the conditions of the dimensions in it exclude."""
    required = dict(when)
    for parent in [key for key in reversed(list(above)) if above[key].when]:
        for other, values in above[parent].when.items() if parent in required else ():
            required[other] = tuple(value for value in required.get(other, values) if value in values)
            if not required[other]:
                reason = f"{parent} is searched only where {other} is {', '.join(map(str, values))}"
                raise document.error(("search", name), f"its condition never holds, as {reason}")


def _distinct(document: Document, where: Where, values: list[Any], field: FieldType) -> tuple[Any, ...]:
    """Values of the field's type, each once; raises LocatedError."""
    typed = tuple(_typed(document, (*where, i), value, field) for i, value in enumerate(values))
    for i, value in enumerate(typed):
        if value in typed[:i]:
            raise document.error((*where, i), f"{shown(value)} is there twice; allowed: distinct values")
    return typed


def _typed(document: Document, where: Where, value: Any, field: FieldType) -> Any:
    try:
        return check("", value, field)
    except FieldError as error:
        raise document.refusal(where, value, f"{error.allowed}, as for the field itself") from None
