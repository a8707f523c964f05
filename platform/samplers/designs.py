"""Proposals that nothing seen changes: quasi-random, random, and every point of a grid."""

import math
from collections.abc import Iterator, Sequence
from platform.samplers.base import Proposal
from platform.study.dimensions import point_at
from platform.study.observation import Observation, Params, SearchSpace
from typing import Any

import numpy as np
from scipy.stats import qmc

ATTEMPTS = 10_000
"""Points in a row that a space may refuse."""


class _Design:
    """A fixed sequence of points; each proposal takes the next that the space takes."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._points = self._accepted()
        self._known: list[Params] = []

    def propose(self, seen: Sequence[Observation]) -> Proposal | None:
        """The point of as many as were proposed before; None where the sequence ends."""
        while len(self._known) <= len(seen):
            params = next(self._points, None)
            if params is None:
                return None
            self._known.append(params)
        return Proposal(self._known[len(seen)])

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
    """Every combination of values once, in an order that soon spreads over the grid; inactive ones merge."""

    def propose(self, seen: Sequence[Observation]) -> Proposal | None:
        """The next point that nobody has proposed, a start point or an earlier study's among them."""
        known = {frozenset(o.params.items()) for o in seen}
        for params in self._known:
            if frozenset(params.items()) not in known:
                return Proposal(params)
        for params in self._points:
            self._known.append(params)
            if frozenset(params.items()) not in known:
                return Proposal(params)
        return None

    def _sequence(self) -> Iterator[dict[str, Any]]:
        sizes = [dimension.size for dimension in self._space.dimensions]
        total = math.prod(size for size in sizes if size)
        stride = next(
            k for k in range(max(1, round(total * 0.618)), 2 * total + 1) if math.gcd(k, total) == 1
        )
        known = set()
        for index in range(total):
            rest, cube = (self._space.seed + index * stride) % total, []
            for size in sizes:
                assert size is not None
                rest, place = divmod(rest, size)
                cube.append((place + 0.5) / size)
            params = point_at(self._space.dimensions, cube)
            key = tuple(params.items())
            if key not in known:
                known.add(key)
                yield params
