"""Dominance, fronts and hypervolume against Optuna, pymoo, moocore and closed forms."""

import time
from collections.abc import Iterator
from platform.pareto import dominance
from typing import Any

import moocore  # type: ignore[import-untyped]
import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _calculate_nondomination_rank
from pymoo.indicators.hv import HV  # type: ignore[import-untyped]
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting  # type: ignore[import-untyped]


def random_set(seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """1 to 45 points, 2 to 4 objectives: a third on a grid (ties), a third with copies, some on the edge.

    Signs and units vary; every tenth set is one point many times over, or lies beyond the reference.
    """
    rng = np.random.default_rng(seed)
    objectives = 2 + seed % 3
    points = rng.random((rng.integers(1, 41), objectives))
    if seed % 9 < 3:
        points = np.round(points * 4) / 4
    elif seed % 9 < 6:
        points = np.concatenate([points, points[rng.integers(0, len(points), 5)]])
    points[rng.random(points.shape) < 0.05] = 1.0  # on the reference's edge
    points[rng.random(points.shape) < 0.03] = 1.3  # beyond it
    if seed % 20 == 7:
        points[:] = points[0]
    elif seed % 20 == 17:
        points += 0.9
    units, zero = 10.0 ** rng.integers(-2, 3, objectives), rng.integers(-2, 3, objectives).astype(float)
    return points * units + zero, units + zero


SEEDS = range(1000)


def test_ranks_and_fronts_agree_with_optuna_and_pymoo() -> None:
    for seed in SEEDS:
        points, _ = random_set(seed)
        ranks = dominance.nondominated_sort(points)
        np.testing.assert_array_equal(ranks, _calculate_nondomination_rank(points))
        np.testing.assert_array_equal(ranks, NonDominatedSorting().do(points, return_rank=True)[1])
        np.testing.assert_array_equal(ranks, moocore.pareto_rank(points))
        np.testing.assert_array_equal(dominance.nondominated(points), ranks == 0)


def test_a_point_is_on_the_front_exactly_when_none_dominates_it() -> None:
    for seed in SEEDS[:60]:
        points, _ = random_set(seed)
        no_worse, better = ((f(points[:, None], points[None])).T for f in (np.less_equal, np.less))
        dominated = (no_worse.all(0) & better.any(0)).any(1)
        np.testing.assert_array_equal(dominance.nondominated(points), ~dominated)


def test_hypervolume_agrees_with_optuna_pymoo_and_moocore() -> None:
    for seed in SEEDS:
        points, reference = random_set(seed)
        volume = dominance.hypervolume(points, reference)
        inside = points[np.all(points <= reference, axis=1)]
        # Differences of coordinates are rounded, so that libraries differ by so much of their product.
        slack = 1e-13 * float(np.prod(reference - points.min(axis=0)))
        assert volume == pytest.approx(compute_hypervolume(inside, reference), rel=1e-12, abs=slack)
        assert volume == pytest.approx(float(HV(ref_point=reference)(points)), rel=1e-12, abs=slack)
        assert volume == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-12, abs=slack)


def test_what_points_add_is_a_difference_of_two_volumes() -> None:
    """``contributions`` against the volume without each point, ``added`` against that without several."""
    for seed in SEEDS[:90]:
        points, reference = random_set(seed)
        whole = moocore.hypervolume(points, ref=reference)
        rest = [moocore.hypervolume(np.delete(points, i, 0), ref=reference) for i in range(len(points))]
        if len(points) > 1:
            losses = whole - np.array(rest)
            np.testing.assert_allclose(dominance.contributions(points, reference), losses, atol=1e-12)
        slack = 1e-13 * float(np.prod(reference - points.min(axis=0)))
        for cut in (0, len(points) // 3, len(points)):
            before = moocore.hypervolume(points[:cut], ref=reference) if cut else 0.0
            gain = dominance.added(points[cut:], points[:cut], reference)
            assert gain == pytest.approx(whole - before, rel=1e-12, abs=slack)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_one_point_dominates_a_box(objectives: int) -> None:
    sides, corner = np.arange(1.0, objectives + 1), np.full(objectives, 10.0)
    for volume in (dominance.hypervolume, lambda p, c: dominance.contributions(p, c)[0]):
        assert volume([10 - sides], corner) == pytest.approx(np.prod(sides), rel=1e-14)


def test_points_beyond_the_reference_and_copies_contribute_nothing() -> None:
    points = [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [-5.0, 1.5]]
    assert dominance.hypervolume(points, [1, 1]) == 0.25
    np.testing.assert_array_equal(dominance.contributions(points, [1, 1]), [0.25, 0, 0, 0])
    assert dominance.hypervolume(np.empty((0, 3)), [1, 1, 1]) == 0
    copies = [[0.2, 0.2], [0.2, 0.2], [0.9, 0.1]]
    assert dominance.nondominated(copies).all()
    np.testing.assert_allclose(dominance.contributions(copies, [1, 1]), [0, 0, 0.01], atol=1e-15)


def large_sets() -> Iterator[tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Ten thousand points and their ranks: one front, as many fronts as points, and between."""
    rng, n = np.random.default_rng(0), 10_000
    directions = np.abs(rng.normal(size=(n, 3)))
    sphere = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rising, one = np.sort(rng.random(n)), np.zeros(n, dtype=int)
    yield "a sphere", sphere, one
    yield "a dented sphere", 1 - sphere, one
    yield "a plane", rng.dirichlet(np.ones(3), n), one
    yield "a line", np.stack([rising, 1 - rising, np.full(n, 0.5)], axis=1), one
    yield "a chain", np.stack([rising] * 3, axis=1), np.arange(n)
    layers, along = np.divmod(np.arange(n), 100)
    yield "layers", np.stack([layers + along, layers + 99 - along, layers], axis=1) / 198, layers
    yield "copies", np.full((n, 3), 0.5), one
    random = rng.random((n, 3))
    yield "a cube", random, moocore.pareto_rank(random)
    ties = np.round(random * 20) / 20
    yield "ties", ties, moocore.pareto_rank(ties)


@pytest.mark.parametrize(("points", "ranks"), [pytest.param(p, r, id=name) for name, p, r in large_sets()])
def test_ten_thousand_points_take_less_than_a_second(
    points: np.ndarray[Any, Any], ranks: np.ndarray[Any, Any]
) -> None:
    shuffle = np.random.default_rng(1).permutation(len(points))
    start = time.process_time()
    volume = dominance.hypervolume(points[shuffle], np.full(3, 1.1))
    between = time.process_time()
    sorted_ranks = dominance.nondominated_sort(points[shuffle])
    assert max(between - start, time.process_time() - between) < 1
    assert volume == pytest.approx(moocore.hypervolume(points, ref=np.full(3, 1.1)), rel=1e-12)
    np.testing.assert_array_equal(sorted_ranks, ranks[shuffle])


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_fronts_of_a_lattice_are_its_diagonals(objectives: int) -> None:
    # Each step down one axis is better in that objective alone: the longest way to the origin is the rank.
    lattice = np.stack(np.meshgrid(*[np.arange(5)] * objectives), axis=-1).reshape(-1, objectives)
    np.testing.assert_array_equal(dominance.nondominated_sort(lattice), lattice.sum(axis=1))


def test_two_hundred_points_of_four_objectives_take_less_than_half_a_second() -> None:
    points = np.random.default_rng(1).dirichlet(np.ones(4), 200)
    start = time.process_time()
    volume = dominance.hypervolume(points, np.ones(4))
    assert time.process_time() - start < 0.5
    assert volume == pytest.approx(moocore.hypervolume(points, ref=np.ones(4)), rel=1e-12)


def test_the_knee_of_a_hyperbola_is_where_its_slope_is_that_of_the_extremes() -> None:
    x = np.geomspace(0.1, 10, 2001)
    points = np.stack([x, 1 / x], 1)
    assert points[dominance.knee(points)] == pytest.approx([1, 1], rel=5e-3)
    scaled = points * [1000, 1e-3] + [7, -3]  # the choice does not depend on units
    assert dominance.knee(scaled) == dominance.knee(points)


def test_the_knee_of_a_dented_sphere_is_its_middle() -> None:
    angles = np.abs(np.random.default_rng(2).normal(size=(500, 3)))
    front = 1 - angles / np.linalg.norm(angles, axis=1, keepdims=True)  # bulges towards the ideal
    points = np.concatenate([front, [np.full(3, 1 - 3**-0.5)], 1 - np.eye(3), np.ones((1, 3))])
    assert dominance.knee(points) == 500


@pytest.mark.parametrize(
    ("points", "index"),
    [
        ([[3.0, 4.0]], 0),  # a front of one
        ([[2.0, 2.0], [1.0, 1.0], [1.0, 1.0]], 1),  # a front of copies
        ([[0.0, 1.0], [1.0, 0.0]], 0),  # two extremes, both on their line
        ([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [0.25, 0.75]], 0),  # a straight front: the first
        ([[0.8, 0.8], [0.0, 1.0], [1.0, 0.0]], 1),  # bulging away from the ideal: an extreme
        ([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0], [0.2, 0.2, 5.0]], 2),  # an objective that does not vary
        ([[7.0], [3.0], [5.0]], 1),  # one objective: its minimum
        ([[-1.7e308, 1.0], [1.7e308, 0.0], [-1.6e308, 0.1]], 2),  # a range beyond the largest number
    ],
)
def test_degenerate_fronts_have_a_defined_knee(points: list[list[float]], index: int) -> None:
    assert dominance.knee(points) == index


def test_signs_change_so_that_less_is_better() -> None:
    values = dominance.minimised([[30.0, 0.9], [20.0, 0.8]], ["minimize", "maximize"])
    np.testing.assert_array_equal(values, [[30.0, -0.9], [20.0, -0.8]])
    with pytest.raises(KeyError):
        dominance.minimised([[1.0]], ["up"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(bad: float) -> None:
    points = [[1.0, bad], [2.0, 0.0]]
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (function, (points,))
        for function in (dominance.nondominated, dominance.nondominated_sort, dominance.knee)
    ]
    for measure in (dominance.hypervolume, dominance.contributions):
        calls += [(measure, (points, [3, 3])), (measure, ([[1.0, 1.0]], [3, bad]))]
    for call, arguments in calls:
        with pytest.raises(ValueError, match="finite"):
            call(*arguments)


def test_an_empty_front_and_a_reference_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        dominance.knee(np.empty((0, 2)))
    with pytest.raises(ValueError, match="2 objectives"):
        dominance.hypervolume([[1.0, 1.0]], [3, 3, 3])
