"""Sobol, random and grid designs: spread, refusals, restarts, every combination once."""

import itertools
from collections.abc import Iterator
from platform.samplers.designs import ATTEMPTS, Grid, Random, Sobol
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform, active
from platform.study.observation import Observation, Params, Rung, SearchSpace
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest, qmc

Design = type[Sobol] | type[Random] | type[Grid]
CUBE = tuple(Uniform(name, 0.0, 1.0) for name in "abc")
MIXED = (
    Log("rate", 1e-4, 1.0),
    Int("layers", 1, 4),
    IntLog("width", 4, 64),
    Choice("norm", ("none", "batch")),
    Uniform("share", 0.0, 1.0, step=0.25),
)
GRID: tuple[Dimension, ...] = (
    Choice("method", ("cut", "unsb", "asp")),
    Int("layers", 2, 8, step=2),
    Uniform("tau", 0.1, 0.3, step=0.1, when={"method": ("unsb",)}),
    Choice("norm", ("none", "batch"), when={"method": ("cut", "unsb")}),
)
GRID_SIZE = 4 * (2 + 3 * 2 + 1)


def space(dimensions: tuple[Dimension, ...], seed: int = 0, **changes: Any) -> SearchSpace:
    return SearchSpace(dimensions, (1.0, 1.0), 50, seed, **changes)


def drawn(design: Sobol | Random | Grid, count: int) -> list[Params]:
    """TuneSearcher, each seen as running before the next."""
    seen: list[Observation] = []
    while len(seen) < count and (point := design.propose(seen)):
        seen.append(Observation(point.params, "running"))
    return [o.params for o in seen]


def array(points: list[Params]) -> np.ndarray[Any, Any]:
    return np.array([list(point.values()) for point in points])


@pytest.mark.parametrize("seed", range(5))
def test_sobol_points_are_spread_better_than_random_ones(seed: int) -> None:
    discrepancy = [qmc.discrepancy(array(drawn(kind(space(CUBE, seed)), 64))) for kind in (Sobol, Random)]
    assert discrepancy[0] < 0.3 * discrepancy[1]


def test_each_half_and_quarter_of_a_dimension_has_its_share_of_sobol_points() -> None:
    points = array(drawn(Sobol(space(CUBE)), 64))
    for column in points.T:
        assert np.all(np.histogram(column, 16, (0, 1))[0] == 4)


def test_random_points_are_uniform_and_independent() -> None:
    points = array(drawn(Random(space(CUBE)), 2000))
    assert all(kstest(column, "uniform").pvalue > 0.01 for column in points.T)
    assert np.abs(np.corrcoef(points.T) - np.eye(3)).max() < 0.09  # four deviations


@pytest.mark.parametrize("kind", [Sobol, Random])
def test_values_lie_in_their_domains(kind: Design) -> None:
    points = drawn(kind(space(MIXED)), 100)
    for dimension in MIXED:
        assert all(dimension.holds(point[dimension.name]) for point in points)
        if dimension.size:
            assert len({point[dimension.name] for point in points}) > 0.5 * dimension.size


@pytest.mark.parametrize("kind", [Sobol, Random, Grid])
def test_a_restart_gives_the_same_whatever_came_of_the_trials(kind: Design) -> None:
    dimensions = GRID if kind is Grid else MIXED
    first = drawn(kind(space(dimensions, 3)), 20)
    design = kind(space(dimensions, 3))
    states = itertools.cycle(("completed", "failed", "paused"))
    for count in range(20):
        seen = [
            Observation(params, state, (Rung(0.5, (0.1 * count, 2.0)),))  # type: ignore[arg-type]
            for params, state in zip(first[:count], states, strict=False)
        ]
        again = kind(space(dimensions, 3)).propose(seen)
        assert again is not None and again.params == first[count]
        here = design.propose(seen)
        assert here is not None and here.params == first[count]
    assert design.propose([]) == kind(space(dimensions, 3)).propose([])


@pytest.mark.parametrize("kind", [Sobol, Random, Grid])
def test_another_seed_gives_others(kind: Design) -> None:
    dimensions = GRID if kind is Grid else MIXED
    assert drawn(kind(space(dimensions, 0)), 8) != drawn(kind(space(dimensions, 1)), 8)


@pytest.mark.parametrize("kind", [Sobol, Random])
def test_refused_points_are_skipped_and_the_others_keep_their_order(kind: Design) -> None:
    free = drawn(kind(space(CUBE)), 400)
    left = drawn(kind(space(CUBE, refusal=lambda p: "no" if p["a"] + p["b"] > 0.5 else "")), 30)
    assert left == [point for point in free if point["a"] + point["b"] <= 0.5][:30]


@pytest.mark.parametrize("kind", [Sobol, Random, Grid])
def test_a_space_that_takes_nothing_ends(kind: Design) -> None:
    asked = 0

    def refuse(params: Params) -> str:
        nonlocal asked
        asked += 1
        return "never"

    dimensions = GRID if kind is Grid else CUBE
    assert kind(space(dimensions, refusal=refuse)).propose([]) is None
    assert asked == (GRID_SIZE if kind is Grid else ATTEMPTS)


@pytest.mark.parametrize("kind", [Sobol, Random])
def test_many_refusals_in_all_are_no_end(kind: Design) -> None:
    """Only so many in a row are: 150 points of a space that takes a hundredth."""
    narrow = space(CUBE[:1], refusal=lambda p: "no" if p["a"] > 0.01 else "")
    assert len(drawn(kind(narrow), 150)) == 150 and ATTEMPTS < 150 / 0.01


def combinations() -> Iterator[dict[str, Any]]:
    """Every combination of GRID's values, those of inactive dimensions left out."""
    values = [[d.at((i + 0.5) / (d.size or 1)) for i in range(d.size or 0)] for d in GRID]
    for row in itertools.product(*values):
        full = dict(zip([d.name for d in GRID], row, strict=True))
        yield {d.name: full[d.name] for d in active(GRID, full)}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_a_grid_has_every_combination_exactly_once_and_ends(seed: int) -> None:
    points = drawn(Grid(space(GRID, seed)), 1000)
    keys = [frozenset(point.items()) for point in points]
    assert len(keys) == len(set(keys)) == GRID_SIZE
    assert set(keys) == {frozenset(point.items()) for point in combinations()}


def test_a_grid_leaves_out_what_is_refused() -> None:
    points = drawn(Grid(space(GRID, refusal=lambda p: "no" if p["layers"] == 4 else "")), 1000)
    assert len(points) == GRID_SIZE * 3 / 4 and {point["layers"] for point in points} == {2, 6, 8}


@pytest.mark.parametrize("sizes", [(10, 10), (3, 50), (16, 16), (7, 5, 4)])
def test_a_grids_first_points_spread_over_it(sizes: tuple[int, ...]) -> None:
    """A tenth of the points tells of each dimension's both halves, about as often; not row by row."""
    dimensions = tuple(Int(f"x{i}", 0, size - 1) for i, size in enumerate(sizes))
    points = array(drawn(Grid(space(dimensions)), int(np.prod(sizes)) // 10))
    halves = (points >= np.array(sizes) / 2).mean(0)
    assert np.all((halves > 0.2) & (halves < 0.8)), halves


def test_start_points_cost_a_grid_no_combination_and_come_no_second_time() -> None:
    """The study's start points are seen before the grid's first: one of the grid, one beside it."""
    on, beside = {"a": 2, "b": "y"}, {"b": "z", "a": 99}
    dimensions = (Int("a", 1, 3), Choice("b", ("x", "y")))
    seen = [Observation(on, "completed"), Observation(beside, "failed")]
    grid = Grid(space(dimensions))
    while point := grid.propose(seen):
        seen.append(Observation(point.params, "running"))
    points = [(o.params["a"], o.params["b"]) for o in seen]
    assert sorted(points) == sorted([*itertools.product((1, 2, 3), "xy"), (99, "z")])


def test_a_grid_of_one_point() -> None:
    assert drawn(Grid(space((Choice("b", ("x",)),))), 5) == [{"b": "x"}]
