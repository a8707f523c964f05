"""The problems: noisy objectives, some with learning curves, and their known fronts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from platform.study.dimensions import Dimension
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tests.bench.cube import cube_of, draw
from tests.bench.landscapes import Landscape, landscapes

Array = NDArray[np.float64]

LEVELS = (1, 3, 9, 27)
NOISE = 0.02
"""Standard deviation of a measured value, as a share of the objective's range over the true front."""


class Problem(Protocol):
    """A search problem: a trial with ``params`` reports at each level, a number of steps trained."""

    name: str
    family: str
    search: tuple[Dimension, ...]
    reference: tuple[float, ...]
    levels: tuple[int, ...]

    @property
    def front_volume(self) -> float:
        """Hypervolume of the true front at the reference."""
        ...

    def measure(self, params: Mapping[str, Any], step: int, seed: int) -> Array:
        """Noisy objectives [k, m], minimised, of the k candidates; the same for the same arguments."""
        ...

    def true(self, params: Mapping[str, Any]) -> Array:
        """Objectives [k, m] without noise after the full training."""
        ...


@dataclass(frozen=True)
class Full:
    """A landscape measured with noise, at full training only."""

    landscape: Landscape
    levels: tuple[int, ...] = (1,)
    noise: float = NOISE

    @property
    def name(self) -> str:
        """The landscape's."""
        return self.landscape.name

    @property
    def family(self) -> str:
        """The landscape's."""
        return self.landscape.family

    @property
    def search(self) -> tuple[Dimension, ...]:
        """The landscape's."""
        return self.landscape.search

    @property
    def reference(self) -> tuple[float, ...]:
        """The landscape's."""
        return self.landscape.reference

    @property
    def front_volume(self) -> float:
        """The landscape's."""
        return self.landscape.front_volume

    def true(self, params: Mapping[str, Any]) -> Array:
        """The landscape's objectives [k, m]."""
        return self.landscape.true(params)

    def measure(self, params: Mapping[str, Any], step: int, seed: int) -> Array:
        """The true values with noise: half of its variance is the run's, half the evaluation's."""
        values = self.true(params)
        return values + self.errors(params, step, seed, len(values))

    def errors(self, params: Mapping[str, Any], step: int, seed: int, candidates: int) -> Array:
        """Noise [k, m]."""
        ideal, nadir = self.landscape.extent
        run = stream(self.name, params, seed).standard_normal(len(ideal))
        evaluation = stream(self.name, params, seed, step).standard_normal((candidates, len(ideal)))
        return np.asarray(self.noise * (nadir - ideal) * (run + evaluation) / np.sqrt(2))


@dataclass(frozen=True)
class Curved(Full):
    """A landscape reached along learning curves: true + transient(step) + noise.

    The transient decays from a size at the first level to nothing at the last, as a power law or an
    exponential; sizes (up to ``size`` times the objective's spread over random points) and rates are smooth
    random functions of the point, so that low levels inform without being perfect, and curves cross. A
    fraction ``diverging`` of the points diverges at a middle level for good.
    """

    levels: tuple[int, ...] = LEVELS
    size: float = 1.5
    decay: str = "power"
    diverging: float = 0.03

    @property
    def name(self) -> str:
        """The landscape's, marked."""
        return f"{self.landscape.name}-fidelity"

    @property
    def family(self) -> str:
        """Fidelity problems are a family of their own."""
        return "fidelity"

    def true(self, params: Mapping[str, Any]) -> Array:
        """The landscape's objectives [k, m]; beyond the reference where the point diverges."""
        values = self.landscape.true(params)
        return self._bad(values) if self.diverges_at(params) else values

    def measure(self, params: Mapping[str, Any], step: int, seed: int) -> Array:
        """The curve's value with noise."""
        values = self.landscape.true(params) + self.transient(params, step)
        if 0 < self.diverges_at(params) <= step:
            values = self._bad(values)
        return values + self.errors(params, step, seed, len(values))

    def transient(self, params: Mapping[str, Any], step: int) -> Array:
        """Distance [m] from the final values at a step: zero at the last."""
        cube = cube_of(self.search, params)
        size = self.size * self._spread * self._fields(cube, 0)
        rate = 0.3 + 1.2 * self._fields(cube, 1)
        steps = np.array([step, self.levels[-1], 1.0])
        left = (
            np.exp(-rate[:, None] * (steps - 1) / 4)
            if self.decay == "exponential"
            else steps ** -rate[:, None]
        )
        return np.asarray(size * (left[:, 0] - left[:, 1]) / (left[:, 2] - left[:, 1]))

    def diverges_at(self, params: Mapping[str, Any]) -> int:
        """The level at which the point diverges; 0: it does not."""
        draws = stream(self.name, params, "diverges").random(2)
        middle = self.levels[1:-1]
        return middle[int(draws[1] * len(middle))] if draws[0] < self.diverging else 0

    def _bad(self, values: Array) -> Array:
        ideal, reference = self.landscape.extent[0], np.array(self.reference)
        return np.maximum(values, reference + 0.1 * (reference - ideal))

    def _fields(self, cube: Array, index: int) -> Array:
        """Smooth random functions of the point [m], each uniform in [0, 1] over the cube."""
        rng = np.random.default_rng([index, *self.name.encode()])
        shape = (len(self.reference), 24, len(cube))
        phases = (rng.normal(size=shape) * 2) @ cube + 2 * np.pi * rng.random(shape[:2])
        return np.asarray(ndtr(np.cos(phases).sum(1) * np.sqrt(2 / shape[1])))

    @cached_property
    def _spread(self) -> Array:
        """The range [m] in which the middle 80 % of random points lie."""
        rng = np.random.default_rng(0)
        values = np.concatenate([self.landscape.true(draw(self.search, rng)) for _ in range(400)])
        low, high = np.quantile(values, [0.1, 0.9], axis=0)
        return np.asarray(high - low)


def stream(name: str, params: Mapping[str, Any], *keys: Any) -> np.random.Generator:
    """Random numbers that depend on the arguments only."""
    plain = json.dumps([name, params, *keys], sort_keys=True, default=lambda value: value.item())
    return np.random.default_rng(int.from_bytes(blake2b(plain.encode(), digest_size=8).digest()))


def full_problems() -> tuple[Problem, ...]:
    """Full training only, with noise."""
    return tuple(Full(landscape) for landscape in landscapes())


def fidelity_problems() -> tuple[Problem, ...]:
    """With learning curves."""
    known = {landscape.name: landscape for landscape in landscapes()}
    return (
        Curved(known["hpo"]),
        Curved(known["dtlz2"], decay="exponential"),
        Curved(known["zdt1"]),
        Curved(known["wfg4"], decay="exponential"),
    )
