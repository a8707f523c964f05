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
SEQUENCES = pytest.mark.parametrize("design", [Sobol, Random])
DESIGNS = pytest.mark.parametrize(("design", "dimensions"), [(Sobol, MIXED), (Random, MIXED), (Grid, GRID)])


def space(dimensions: tuple[Dimension, ...], seed: int = 0, **changes: Any) -> SearchSpace:
    return SearchSpace(dimensions, (1.0, 1.0), 50, seed, **changes)


def points(design: Sobol | Random | Grid, count: int) -> list[Params]:
    """Proposals, each running before the next."""
    observed: list[Observation] = []
    while len(observed) < count and (proposal := design.propose(observed)):
        observed.append(Observation(proposal.params, "running"))
    return [o.params for o in observed]


def array(params: list[Params]) -> np.ndarray[Any, Any]:
    return np.array([list(point.values()) for point in params])


@pytest.mark.parametrize("seed", range(5))
def test_sobol_points_are_spread_better_than_random_ones(seed: int) -> None:
    ours, random = (qmc.discrepancy(array(points(d(space(CUBE, seed)), 64))) for d in (Sobol, Random))
    assert ours < 0.3 * random


def test_each_sixteenth_of_a_dimension_has_its_share_of_sobol_points() -> None:
    for column in array(points(Sobol(space(CUBE)), 64)).T:
        assert np.all(np.histogram(column, 16, (0, 1))[0] == 4)


def test_random_points_are_uniform_and_independent() -> None:
    params = array(points(Random(space(CUBE)), 2000))
    assert all(kstest(column, "uniform").pvalue > 0.01 for column in params.T)
    assert np.abs(np.corrcoef(params.T) - np.eye(3)).max() < 0.09  # four deviations


@SEQUENCES
def test_values_are_in_their_domains(design: Design) -> None:
    params = points(design(space(MIXED)), 100)
    for dimension in MIXED:
        assert all(dimension.holds(point[dimension.name]) for point in params)
        if dimension.size:
            assert len({point[dimension.name] for point in params}) > 0.5 * dimension.size


@DESIGNS
def test_proposals_depend_on_the_seed_and_not_on_results_or_restarts(
    design: Design, dimensions: tuple[Dimension, ...]
) -> None:
    first = points(design(space(dimensions, 3)), 20)
    lasting = design(space(dimensions, 3))
    states = itertools.cycle(("completed", "failed", "paused"))
    for count in range(20):
        observed = [
            Observation(params, state, (Rung(0.5, (0.1 * count, 2.0)),))  # type: ignore[arg-type]
            for params, state in zip(first[:count], states, strict=False)
        ]
        for each in (design(space(dimensions, 3)), lasting):
            proposal = each.propose(observed)
            assert proposal is not None and proposal.params == first[count]
    assert lasting.propose([]) == design(space(dimensions, 3)).propose([])
    assert points(design(space(dimensions, 4)), 8) != first[:8]


@SEQUENCES
def test_refused_points_are_skipped_and_the_others_keep_their_order(design: Design) -> None:
    free = points(design(space(CUBE)), 400)
    accepted = points(design(space(CUBE, refusal=lambda p: "no" if p["a"] + p["b"] > 0.5 else "")), 30)
    assert accepted == [point for point in free if point["a"] + point["b"] <= 0.5][:30]


@DESIGNS
def test_a_space_that_refuses_everything_ends(design: Design, dimensions: tuple[Dimension, ...]) -> None:
    refused: list[Params] = []
    space_ = space(dimensions, refusal=lambda params: refused.append(params) or "never")
    assert design(space_).propose([]) is None
    assert len(refused) == (GRID_SIZE if design is Grid else ATTEMPTS)


@SEQUENCES
def test_only_refusals_in_a_row_end_a_sequence(design: Design) -> None:
    """150 points of a space that accepts a hundredth."""
    narrow = space(CUBE[:1], refusal=lambda p: "no" if p["a"] > 0.01 else "")
    assert len(points(design(narrow), 150)) == 150 and ATTEMPTS < 150 / 0.01


def combinations() -> Iterator[dict[str, Any]]:
    """Every combination of GRID's values without those of inactive dimensions."""
    values = [[d.at((i + 0.5) / (d.size or 1)) for i in range(d.size or 0)] for d in GRID]
    for row in itertools.product(*values):
        full = dict(zip([d.name for d in GRID], row, strict=True))
        yield {d.name: full[d.name] for d in active(GRID, full)}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_a_grid_has_every_accepted_combination_exactly_once(seed: int) -> None:
    keys = [frozenset(point.items()) for point in points(Grid(space(GRID, seed)), 1000)]
    assert len(keys) == len(set(keys)) == GRID_SIZE
    assert set(keys) == {frozenset(point.items()) for point in combinations()}
    accepted = points(Grid(space(GRID, seed, refusal=lambda p: "no" if p["layers"] == 4 else "")), 1000)
    assert len(accepted) == GRID_SIZE * 3 / 4 and {point["layers"] for point in accepted} == {2, 6, 8}
    assert points(Grid(space((Choice("b", ("x",)),), seed)), 5) == [{"b": "x"}], "a grid of one point"


@pytest.mark.parametrize("sizes", [(10, 10), (3, 50), (16, 16), (7, 5, 4)])
def test_a_grids_first_points_spread_over_it(sizes: tuple[int, ...]) -> None:
    """A tenth of the points has both halves of each dimension about equally often; not row by row."""
    dimensions = tuple(Int(f"x{i}", 0, size - 1) for i, size in enumerate(sizes))
    params = array(points(Grid(space(dimensions)), int(np.prod(sizes)) // 10))
    halves = (params >= np.array(sizes) / 2).mean(0)
    assert np.all((halves > 0.2) & (halves < 0.8)), halves


def test_start_points_are_not_repeated_and_replace_no_other_combination() -> None:
    """One of the grid and one beside it are observed before the grid's first."""
    on, beside = {"a": 2, "b": "y"}, {"b": "z", "a": 99}
    observed = [Observation(on, "completed"), Observation(beside, "failed")]
    grid = Grid(space((Int("a", 1, 3), Choice("b", ("x", "y")))))
    while proposal := grid.propose(observed):
        observed.append(Observation(proposal.params, "running"))
    params = [(o.params["a"], o.params["b"]) for o in observed]
    assert sorted(params) == sorted([*itertools.product((1, 2, 3), "xy"), (99, "z")])
