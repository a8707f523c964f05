"""The sensitivity card of a distance: its values on known corruptions of real 3 T, and their order.

A distance that cannot tell a scrambled brain from a real one is no objective.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import stdtrit
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.corruptions import CORRUPTIONS, Pairs, corrupted
from trainers.metrics.resampling import Jackknifed

CONFIDENCE = 0.95
"""Of a line's interval (two sides), and of the bound of a difference (one side) in the order."""
SCRAMBLED = ("shuffled", "shuffled, soft seams", "glued halves", "pasted cortex")
ORDER: tuple[tuple[str, str], ...] = (
    ("floor", "noise 5 %"),
    *(("noise 5 %", name) for name in ("blur 2 mm", *SCRAMBLED)),
    # A 64 mT voxel of 1.6 mm has lost less than a sigma of 2 mm (4.7 mm wide) would; half a pixel is what any
    # grid shows: 1 mm at 2 mm. A sigma of 1 mm at 1 mm is farther from 3 T than the input.
    *((name, "histogram-matched") for name in ("blur 1/2 pixel", *SCRAMBLED)),
)
"""Pairs (nearer, farther): the second's distance must be the larger one beyond chance."""
NOT_BEYOND = (("histogram-matched", "input"),)
"""Pairs (nearer, farther): the first's distance must not be the larger one beyond chance."""

Distances = Callable[[Tensor, Tensor], Mapping[str, Jackknifed]]
"""Of images [N, C, H, W] in [0, 1] in masks [N, H, W]: each distance by its name, without each subject."""


@dataclass(frozen=True)
class Line:
    """A corruption's distance in multiples of the floor, that of real 3 T."""

    corruption: str
    multiple: float
    error: float
    """Standard error, jackknife over subjects of the multiple itself."""
    low: float
    high: float


@dataclass(frozen=True)
class SensitivityCard:
    """The card of one distance on one cohort."""

    measure: str
    subjects: int
    floor: float
    """Distance of real 3 T slices to the pool."""
    floor_error: float
    """Its standard error."""
    lines: tuple[Line, ...]
    failures: tuple[str, ...]
    """Parts of the wanted order that do not hold; none: the card is passed."""

    @classmethod
    def of(cls, measure: str, values: Mapping[str, Jackknifed]) -> "SensitivityCard":
        """From the values of each corruption, ``floor`` among them; only what is given is checked."""
        floor = values["floor"]
        lines = tuple(_line(name, value, floor) for name, value in values.items())
        failures = tuple(_failures(values))
        return cls(measure, len(floor.without), floor.value, floor.error, lines, failures)

    @property
    def holds(self) -> bool:
        """Whether the wanted order holds."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; NaN becomes null."""
        plain = {name: _finite(value) for name, value in asdict(self).items()}
        lines = [{name: _finite(value) for name, value in asdict(line).items()} for line in self.lines]
        return plain | {"lines": lines, "failures": list(self.failures)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SensitivityCard":
        """Inverse of :meth:`to_json`; raises :class:`InputError` for another object."""
        try:
            plain = {name: _number(value) for name, value in data.items()}
            lines = tuple(Line(**{k: _number(v) for k, v in line.items()}) for line in data["lines"])
            return cls(**plain | {"lines": lines, "failures": tuple(data["failures"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"sensitivity card: {error!r}") from None


def cards(pairs: Pairs, distances: Distances) -> dict[str, SensitivityCard]:
    """The card of every distance on a paired split; each corruption is made once for all of them."""
    values = {name: distances(*corrupted(pairs, name)) for name in CORRUPTIONS}
    return {
        measure: SensitivityCard.of(measure, {name: value[measure] for name, value in values.items()})
        for measure in values["floor"]
    }


def _line(name: str, value: Jackknifed, floor: Jackknifed) -> Line:
    # Floor and corruption are of the same subjects: both without the same one.
    ratio = Jackknifed(_ratio(value.value, floor.value), value.without / floor.without)
    reach = _reach(ratio, (1 + CONFIDENCE) / 2)
    return Line(name, ratio.value, ratio.error, ratio.value - reach, ratio.value + reach)


def _failures(values: Mapping[str, Jackknifed]) -> Iterator[str]:
    for sign, pairs in (("<", ORDER), ("<=", NOT_BEYOND)):
        for nearer, farther in pairs:
            if nearer in values and farther in values:
                a, b = values[nearer], values[farther]
                gap = Jackknifed(b.value - a.value, b.without - a.without)
                reach = _reach(gap, CONFIDENCE)
                # NaN fails either.
                holds = gap.value > reach if sign == "<" else gap.value >= -reach
                if not holds:
                    floors = [_ratio(x, values["floor"].value) for x in (a.value, b.value, gap.value, reach)]
                    yield f"{nearer} {sign} {farther}: {_in_floors(*floors)}"


def _in_floors(nearer: float, farther: float, difference: float, reach: float) -> str:
    return f"{nearer:.3g} against {farther:.3g} floors, difference {difference:.2g} +- {reach:.2g}"


def _reach(estimate: Jackknifed, level: float) -> float:
    """Standard error over subjects times Student's t at a level."""
    return float(stdtrit(len(estimate.without) - 1, level)) * estimate.error


def _ratio(value: float, floor: float) -> float:
    return value / floor if floor else math.nan


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return math.nan if value is None else value
