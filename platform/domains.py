"""The domains of a search space: what values a searched field may take, and how they are read from YAML."""

from dataclasses import dataclass
from platform.placed import unknown
from platform.strict_yaml import Document, Where, shown
from typing import Any

from trainers.config import FieldError, FieldType, check


@dataclass(frozen=True)
class _Interval:
    name: str
    low: float
    high: float

    def holds(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the domain."""
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"


@dataclass(frozen=True)
class Uniform(_Interval):
    """A number, uniform in [low, high]."""


@dataclass(frozen=True)
class Log(_Interval):
    """A number, uniform in its logarithm in [low, high], low > 0."""


@dataclass(frozen=True)
class Int(_Interval):
    """An integer, uniform in low..high, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class IntLog(Int):
    """An integer in low..high, uniform in its logarithm, low > 0."""


@dataclass(frozen=True)
class Choice:
    """One of the values, in no order."""

    name: str
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the domain."""
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Uniform | Log | Int | IntLog | Choice

INTERVALS: dict[str, type[Uniform | Log | Int | IntLog]] = {
    "uniform": Uniform,
    "log": Log,
    "int": Int,
    "int_log": IntLog,
}


def kinds(field: FieldType) -> tuple[str, ...]:
    """The kinds of domain over which a field can be searched; none for a list, which Optuna cannot store."""
    if field.kind is tuple:
        return ()
    if field.kind is float and not field.choices:
        return ("uniform", "log", "choice")
    return ("int", "int_log", "choice") if field.kind is int and not field.choices else ("choice",)


def read_dimension(document: Document, where: Where, name: str, field: FieldType) -> Dimension:
    """The domain ``{kind: ...}`` at ``where``, for a field of type ``field``; raises PlacedError."""
    value: Any = document.data
    for part in where:
        value = value[part]
    known = kinds(field)
    if not known:
        raise document.error(
            where, "a list cannot be searched; allowed: fields that are numbers, text or true or false"
        )
    if not isinstance(value, dict) or len(value) != 1:
        forms = " or ".join(f"{{{kind}: {'[...]' if kind == 'choice' else '[low, high]'}}}" for kind in known)
        raise document.refusal(where, value, forms)
    (kind, values), *_ = value.items()
    if kind not in known:
        raise document.error((*where, kind), unknown(f"kind of domain for {field}", kind, known))
    read = _choice if kind == "choice" else _interval
    return read(document, (*where, kind), name, values, field)


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
    typed = tuple(_typed(document, (*where, i), value, field) for i, value in enumerate(values))
    for i, value in enumerate(typed):
        if value in typed[:i]:
            raise document.error((*where, i), f"{shown(value)} is there twice; allowed: distinct values")
    return Choice(name, typed)


def _typed(document: Document, where: Where, value: Any, field: FieldType) -> Any:
    try:
        return check("", value, field)
    except FieldError as error:
        raise document.refusal(where, value, f"{error.allowed}, as the field's own") from None
