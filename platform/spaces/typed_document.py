"""Values of a document in the types of configuration classes; every error gets its line and key."""

from collections.abc import Callable, Iterable
from platform.spaces.strict_yaml import Document, LocatedError, Where
from typing import Any, TypeVar

from trainers.config import FieldError, build, check, field_types, suggest
from trainers.errors import InputError

T = TypeVar("T")


def located(document: Document, where: Where, call: Callable[..., T], *args: Any) -> T:
    """The call's result; its InputError gets the line of the key in the section ``where``."""
    try:
        return call(*args)
    except FieldError as error:
        if (*where, error.key) in document.lines:
            raise document.refusal((*where, error.key), error.value, error.allowed) from None
        raise document.error(where, str(error)) from None
    except InputError as error:
        raise document.error(where, str(error)) from None


def mapping(document: Document, where: Where) -> dict[str, Any]:
    """The mapping at ``where``, empty if the file has none; raises LocatedError for anything else."""
    value: Any = document.data
    for part in where:
        value = value.get(part, {})
    if not isinstance(value, dict):
        raise document.refusal(where, value, "a mapping of keys to values")
    return value


def values(document: Document, where: Where, config: type, skip: str = "") -> dict[str, Any]:
    """The values at ``where`` in the types of ``config``'s fields; LocatedError for the first wrong one."""
    fields = field_types(config)
    checked = {}
    for key, value in mapping(document, where).items():
        if key != skip:
            known_key(document, (*where, key), fields)
            checked[key] = located(document, where, check, key, value, fields[key])
    return checked


def instance(document: Document, where: Where, config: type, skip: str = "") -> Any:
    """The ``config`` that the mapping at ``where`` describes; raises LocatedError."""
    return located(document, where, build, config, values(document, where, config, skip))


def find_class(document: Document, where: Where, find: Callable[[str], type]) -> type:
    """The class that ``find`` returns for the name at ``where``; raises LocatedError."""
    name: Any = document.data
    for part in where:
        name = name[part]
    if not isinstance(name, str):
        raise document.refusal(where, name, "a name")
    try:
        return find(name)
    except FieldError as error:
        raise document.refusal(where, name, error.allowed) from None
    except InputError as error:  # its message has the key already
        raise LocatedError(*document.location(where), str(error)) from None


def known_key(document: Document, where: Where, known: Iterable[str]) -> None:
    """Raises LocatedError if the last key of ``where`` is not one of ``known``."""
    key = str(where[-1])
    if key not in known:
        raise document.error(where, unknown("key", key, known))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """``"unknown key; did you mean fixed? allowed: fixed, search"``."""
    names = tuple(known)
    return f"unknown {what}; {suggest(name, names)}allowed: {', '.join(names) or 'none'}"
