"""Proposals that do not depend on results: quasi-random, random, and every point of a grid."""

import math
from collections.abc import Iterator, Sequence
from platform.samplers.base import Proposal, params_key
from platform.study.dimensions import point_at
from platform.study.observation import Observation, Params, SearchSpace
from typing import Any

import numpy as np
from scipy.stats import qmc

ATTEMPTS = 10_000
"""Points in a row that the space may refuse before a sequence ends."""


class _Design:
    """A fixed sequence of points; each proposal is the next one that the space accepts."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._points = self._accepted()
        self._proposed: list[Params] = []

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """The point whose index is the number of trials so far; None where the sequence ends."""
        while len(self._proposed) <= len(observed):
            params = next(self._points, None)
            if params is None:
                return None
            self._proposed.append(params)
        return Proposal(self._proposed[len(observed)])

    def _accepted(self) -> Iterator[Params]:
        refused = 0
        for params in self._sequence():
            if not self._space.refusal(params):
                yield params
                refused = 0
            elif (refused := refused + 1) >= ATTEMPTS:
                return

    def _sequence(self) -> Iterator[dict[str, Any]]:
        raise NotImplementedError


class Sobol(_Design):
    """Scrambled Sobol points (Owen 1998)."""

    def _sequence(self) -> Iterator[dict[str, Any]]:
        generator = qmc.Sobol(len(self._space.dimensions), rng=np.random.default_rng(self._space.seed))
        while True:
            for cube in generator.random(64):
                yield point_at(self._space.dimensions, cube.tolist())


class Random(_Design):
    """Independent points, uniform in the unit cube."""

    def _sequence(self) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(self._space.seed)
        while True:
            yield point_at(self._space.dimensions, rng.random(len(self._space.dimensions)).tolist())


class Grid(_Design):
    """Every combination of active values once, in an order that spreads over the grid from the start."""

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """The next point that no trial has tried, start points and an earlier study's trials included."""
        tried = {params_key(o.params) for o in observed}
        for params in self._proposed:
            if params_key(params) not in tried:
                return Proposal(params)
        for params in self._points:
            self._proposed.append(params)
            if params_key(params) not in tried:
                return Proposal(params)
        return None

    def _sequence(self) -> Iterator[dict[str, Any]]:
        sizes = [dimension.size for dimension in self._space.dimensions]
        total = math.prod(size for size in sizes if size)
        # Strides of the golden ratio, coprime to the number of points, reach all of them, far apart at first.
        stride = next(
            k for k in range(max(1, round(total * 0.618)), 2 * total + 1) if math.gcd(k, total) == 1
        )
        merged = set()  # combinations that differ in inactive dimensions only
        for index in range(total):
            rest, cube = (self._space.seed + index * stride) % total, []
            for size in sizes:
                assert size is not None
                rest, index_of_value = divmod(rest, size)
                cube.append((index_of_value + 0.5) / size)
            params = point_at(self._space.dimensions, cube)
            key = tuple(params.items())
            if key not in merged:
                merged.add(key)
                yield params
