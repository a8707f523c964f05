"""The dimensions of a search space: the values that a searched field may take, and on what conditions.

Every dimension maps its values to [0, 1] and back: equal shares for a finite domain, else a scale.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

When = Mapping[str, tuple[Any, ...]]
"""A condition: names of other dimensions, each with the values at which it holds."""

TOLERANCE = 1e-6
"""Share of a step by which a value may miss it, as sums of floating-point steps do."""


@dataclass(frozen=True)
class _Dimension:
    name: str
    when: When = field(default_factory=dict, kw_only=True, hash=False)
    """Searched only where each named dimension is searched and has one of the values."""

    @property
    def size(self) -> int | None:
        """Number of values; None where they are continuous."""
        raise NotImplementedError

    def at(self, u: float) -> Any:
        """The value at ``u`` in [0, 1]."""
        raise NotImplementedError

    def unit(self, value: Any) -> float:
        """Where in [0, 1] a value of the domain lies: in a finite domain, the middle of its share."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Interval(_Dimension):
    low: float
    high: float

    @property
    def size(self) -> int | None:
        """None: the values are continuous."""
        return None

    def holds(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the domain."""
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"


@dataclass(frozen=True)
class _Stepped(_Interval):
    step: float | None = field(default=None, kw_only=True)
    """Distance between values, from ``low`` up to at most ``high``; None for no steps."""

    def holds(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the domain, on a step of it."""
        if self.step is None or self.size is None:
            return super().holds(value)
        steps = (value - self.low) / self.step
        return bool(0 <= round(steps) < self.size and abs(steps - round(steps)) <= TOLERANCE)

    def __str__(self) -> str:
        return super().__str__() + (f" in steps of {self.step}" if self.step is not None else "")


@dataclass(frozen=True)
class Uniform(_Stepped):
    """A number, uniform in [low, high], or on equal steps there."""

    @property
    def size(self) -> int | None:
        """Number of values in decimal arithmetic, ends included; None without steps."""
        if self.step is None:
            return None
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    def at(self, u: float) -> float:
        """Linear; with steps, equal shares."""
        if self.step is None or self.size is None:
            return self._clamped(self.low * (1 - u) + self.high * u)
        return float(_decimal(self.low) + _share(u, self.size) * _decimal(self.step))

    def unit(self, value: float) -> float:
        """Linear; with steps, the middle of the value's share."""
        if self.step is None or self.size is None:
            return (value - self.low) / (self.high - self.low)
        return (round((value - self.low) / self.step) + 0.5) / self.size

    def _clamped(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Log(_Interval):
    """A number, uniform in its logarithm in [low, high], low > 0."""

    def at(self, u: float) -> float:
        """Linear in the logarithm, exact at both ends."""
        return float(min(max(self.low ** (1 - u) * self.high**u, self.low), self.high))

    def unit(self, value: float) -> float:
        """Linear in the logarithm."""
        start = math.log(self.low)
        return (math.log(value) - start) / (math.log(self.high) - start)


@dataclass(frozen=True)
class Int(_Stepped):
    """An integer, uniform in low..high, both included, or on equal steps there."""

    low: int
    high: int
    step: int | None = field(default=None, kw_only=True)

    @property
    def size(self) -> int:
        """Number of integers."""
        return (self.high - self.low) // (self.step or 1) + 1

    def at(self, u: float) -> int:
        """Equal shares."""
        return self.low + _share(u, self.size) * (self.step or 1)

    def unit(self, value: int) -> float:
        """The middle of its share."""
        return ((value - self.low) // (self.step or 1) + 0.5) / self.size


@dataclass(frozen=True)
class IntLog(Int):
    """An integer in low..high, uniform in its logarithm, low > 0: n stands for n - 1/2 to n + 1/2."""

    def at(self, u: float) -> int:
        """Shares as on a logarithmic scale."""
        value = math.exp(self._start * (1 - u) + self._end * u)
        return min(max(math.floor(value + 0.5), self.low), self.high)

    def unit(self, value: int) -> float:
        """The middle of its share."""
        middle = (math.log(value - 0.5) + math.log(value + 0.5)) / 2
        return (middle - self._start) / (self._end - self._start)

    @property
    def _start(self) -> float:
        return math.log(self.low - 0.5)

    @property
    def _end(self) -> float:
        return math.log(self.high + 0.5)


@dataclass(frozen=True)
class Choice(_Dimension):
    """One of the values, in no order."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value of the field's type lies in the domain."""
        return value in self.values

    def at(self, u: float) -> Any:
        """Equal shares."""
        return self.values[_share(u, self.size)]

    def unit(self, value: Any) -> float:
        """The middle of its share."""
        return (self.values.index(value) + 0.5) / self.size

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Uniform | Log | Int | IntLog | Choice

INTERVALS: dict[str, type[Uniform | Log | Int | IntLog]] = {
    "uniform": Uniform,
    "log": Log,
    "int": Int,
    "int_log": IntLog,
}


def extremes(dimension: Dimension) -> tuple[Any, Any]:
    """The least and the greatest of a numeric field's values."""
    values = dimension.values if isinstance(dimension, Choice) else (dimension.at(0.0), dimension.at(1.0))
    return min(values), max(values)


def exact(dimension: Dimension, value: Any) -> Any:
    """A value of the domain moved exactly onto its step: Optuna tolerates less than :data:`TOLERANCE`."""
    stepped = getattr(dimension, "step", None) is not None
    return dimension.at(dimension.unit(value)) if stepped else value


def active(search: Sequence[Dimension], params: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """The dimensions that are searched where the others have the values of ``params``."""
    found: list[Dimension] = []
    known: dict[str, Any] = {}
    for dimension in search:
        if is_active(dimension, known):
            found.append(dimension)
            if dimension.name in params:
                known[dimension.name] = params[dimension.name]
    return tuple(found)


def is_active(dimension: Dimension, point: Mapping[str, Any]) -> bool:
    """Whether a dimension's condition holds at a point, which has values of active dimensions only."""
    return all(parent in point and point[parent] in values for parent, values in dimension.when.items())


def condition(dimension: Dimension) -> str:
    """A dimension's condition in words; empty without one."""
    return " and ".join(f"{name} is {' or '.join(map(str, of))}" for name, of in dimension.when.items())


def point_at(search: Sequence[Dimension], u: Sequence[float]) -> dict[str, Any]:
    """The parameters at a point of the unit cube, one coordinate a dimension; without inactive dimensions."""
    point: dict[str, Any] = {}
    for dimension, x in zip(search, u, strict=True):
        if is_active(dimension, point):
            point[dimension.name] = dimension.at(float(x))
    return point


def _share(u: float, count: int) -> int:
    """The index, of ``count`` equal shares of [0, 1], of the one that contains ``u``."""
    return min(int(u * count), count - 1)


def _decimal(value: float) -> Decimal:
    """A number as it is written: .03 and five steps of .01 are exactly .08."""
    return Decimal(repr(float(value)))


def dimension_from_json(plain: dict[str, Any]) -> Dimension:
    """The dimension with these JSON values and its ``kind``, the name of its class."""
    kind, lists = plain.pop("kind"), {"when": {key: tuple(values) for key, values in plain["when"].items()}}
    if kind == Choice.__name__:
        return Choice(**{**plain, **lists, "values": tuple(plain["values"])})
    interval = next(each for each in INTERVALS.values() if each.__name__ == kind)
    return interval(**{**plain, **lists})
