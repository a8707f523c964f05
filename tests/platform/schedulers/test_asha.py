"""Halving by hand and by brute force: quotas, ranks, greedy hypervolume, extent, brackets, levels, units."""

import itertools
import math
import time
from collections import Counter
from dataclasses import replace
from platform.pareto.dominance import hypervolume, nondominated_sort
from platform.schedulers.asha import KEPT, PATIENCE, Halving, expected_share, greedy, ranked, scaled
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]
ONE = np.ones(2)


def halving(levels: tuple[int, ...] = (1, 3, 9), trials: int = 200, **changes: Any) -> Halving:
    return Halving(levels, trials, ONE, **changes)


def filled(values: Array, level: int = 1, **changes: Any) -> Halving:
    """One level, with a result of one candidate a trial."""
    found = halving(**changes)
    for trial, point in enumerate(values):
        found.reported(trial, level, RungResult(point[None]))
    return found


def arc(count: int) -> Array:
    """Points of a concave front, from one extreme to the other, [count, 2]."""
    angles = np.linspace(0, np.pi / 2, count)
    return np.stack([1 - np.sin(angles), 1 - np.cos(angles)], axis=1)


def test_a_level_keeps_its_share_once_enough_have_come() -> None:
    share = 3**-KEPT
    found = halving()
    assert found.quota(1, 300) == round(300 * share)
    assert [found.quota(1, n) for n in (80, 160)] == [round(n * share) for n in (80, 160)]
    assert found.quota(9, math.ceil(PATIENCE * share**2)) == round(math.ceil(PATIENCE * share**2) * share)
    assert all(found.quota(level, 1) == 1 for level in (1, 3, 9))
    assert halving(reduction=9).quota(1, 300) == round(300 * 9**-KEPT)


@pytest.mark.parametrize("trials", [20, 80, 400])
def test_quotas_never_shrink_as_results_come_nor_exceed_their_share(trials: int) -> None:
    found = halving(trials=trials)
    for level in found.levels:
        quotas = [found.quota(level, count) for count in range(1, trials + 1)]
        assert np.diff(quotas).min() >= 0 and np.diff(quotas).max() <= 2
        assert all(quota <= max(1, round(count * 3**-KEPT)) for count, quota in enumerate(quotas, 1))


def test_early_on_a_level_keeps_less_than_its_share() -> None:
    found = halving()
    assert found.quota(1, 20) < 0.3 * 20 * 3**-KEPT


def test_levels_in_all_cost_a_third_of_training_everything() -> None:
    """What KEPT promises: three levels before the end, a third apart."""
    share = 3**-KEPT
    cost = 1 / 27 + share * (2 / 27) + share**2 * (6 / 27) + share**3 * (18 / 27)
    assert cost == pytest.approx(1 / 3, abs=0.02)


def test_the_expected_share_is_that_of_trials_that_come_at_once() -> None:
    """80 trials: 80 * 1 + 49 * 2 + 30 * 6 + 18 * 18 of 80 * 27 steps, each level's quota by hand."""
    assert [halving(trials=80).quota(level, count) for level, count in ((1, 80), (3, 49), (9, 30))] == [
        49,
        30,
        18,
    ]
    assert expected_share(halving(trials=80), 27) == pytest.approx((80 + 98 + 180 + 324) / 2160)
    assert expected_share(replace(halving(trials=80), levels=()), 27) == 1


def test_brackets_and_what_is_waited_for_change_the_expected_share() -> None:
    """Of 81 trials 20 pass the first level: 61 compete there and 29 go on, 49 on the next one."""
    two = halving(trials=81, brackets=2)
    assert sum(two.bracket(trial) for trial in range(81)) == 20
    assert [two.quota(level, count) for level, count in ((1, 61), (3, 49), (9, 30))] == [29, 30, 18]
    assert expected_share(two, 27) == pytest.approx((81 + 2 * (29 + 20) + 6 * 30 + 18 * 18) / (81 * 27))
    late = halving(trials=81, min_results=81)  # reached on the first level alone
    assert expected_share(late, 27) == pytest.approx((81 + 50 * 26) / (81 * 27))
    assert expected_share(halving(trials=81, min_results=82), 27) == 1


@pytest.mark.parametrize(("objectives", "candidates"), [(2, 1), (3, 1), (2, 3), (4, 2)])
def test_greedy_is_near_the_best_choice_and_for_one_it_is_the_best(objectives: int, candidates: int) -> None:
    corner = np.ones(objectives)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sets = {key: rng.random((candidates, objectives)) * 1.1 for key in range(7)}
        for keep in (1, 2, 3, 5):

            def volume(keys: Any, sets: dict[int, Array] = sets) -> float:
                return hypervolume(np.concatenate([sets[key] for key in keys]), corner)

            best = max(map(volume, itertools.combinations(sets, keep)))
            chosen = greedy(sets, keep)
            assert len(set(chosen)) == keep
            assert volume(chosen) >= (1 - 1 / math.e) * best - 1e-9
            if keep == 1:
                assert volume(chosen) == best


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_greedy_takes_each_time_the_one_that_adds_most(objectives: int) -> None:
    """The plain loop, without a queue."""
    corner = np.ones(objectives)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sets = {int(key): rng.random((2, objectives)) for key in rng.permutation(25)}
        covered, left, expected = np.empty((0, objectives)), dict(sets), []
        while left:
            gains = {k: hypervolume(np.concatenate([covered, points]), corner) for k, points in left.items()}
            most = max(gains.values())
            if most - hypervolume(covered, corner) < 1e-12:
                break
            best = max(left, key=lambda k: gains[k])
            covered = np.concatenate([covered, left.pop(best)])
            expected.append(best)
        assert greedy(sets, 25)[: len(expected)] == expected
        assert sorted(greedy(sets, 25)) == sorted(sets)


def test_of_sets_that_add_nothing_the_nearest_to_the_ideal_is_first_then_the_oldest() -> None:
    sets = {
        4: np.array([[0.1, 0.1]]),
        3: np.array([[2.0, 0.5]]),
        2: np.array([[0.3, 0.2]]),
        7: np.array([[0.3, 0.3]]),
        5: np.array([[0.3, 0.3]]),
    }
    assert greedy(sets, 9) == [4, 2, 5, 7, 3]


@pytest.mark.parametrize("forecast", [False, True])
def test_better_ranks_come_first(forecast: bool) -> None:
    for seed in range(10):
        points = np.random.default_rng(seed).random((30, 3))
        order = ranked(list(points[:, None]), 30, np.ones(3), forecast)
        assert sorted(order) == list(range(30))
        ranks = nondominated_sort(points)[order]
        assert np.all(np.diff(ranks) >= 0)
        assert ranked(list(points[:, None]), 11, np.ones(3), forecast) == order[:11]


def test_a_trials_rank_is_its_best_candidates() -> None:
    sets = [np.array([[0.5, 0.5]]), np.array([[0.9, 0.9], [0.1, 0.1]]), np.array([[0.4, 0.6]])]
    assert ranked(sets, 3, ONE, False)[0] == 1


@pytest.mark.parametrize(
    ("keep", "forecast", "extent"), [(10, False, 0.6), (10, True, 0.7), (24, True, 0.85)]
)
def test_a_front_keeps_its_extent(keep: int, forecast: bool, extent: float) -> None:
    """Of 40 points from end to end: not the middle alone, and no large gap."""
    chosen = np.sort(ranked(list(arc(40)[:, None]), keep, ONE, forecast))
    assert chosen[-1] - chosen[0] >= extent * 39
    assert abs(chosen[0] - (39 - chosen[-1])) <= 2
    assert np.diff(chosen).max() <= 6


@pytest.mark.parametrize("forecast", [False, True])
def test_units_and_zeros_of_objectives_are_of_no_account(forecast: bool) -> None:
    """Also where all is worse than the reference in an objective."""
    unit, zero = np.array([1e4, 1e-3, 7.0]), np.array([-5e4, 0.2, 0.0])
    for seed, reference in itertools.product(range(6), (np.ones(3), np.array([-0.5, 0.4, 2.0]))):
        points = np.random.default_rng(seed).random((25, 3))
        order = ranked(list(points[:, None]), 25, reference, forecast)
        other = ranked(list((points * unit + zero)[:, None]), 25, reference * unit + zero, forecast)
        assert order == other


def test_outliers_set_no_scale() -> None:
    values = np.concatenate([arc(30), [[1e6, 1e6]]])
    assert np.ptp(scaled(values, ONE, False)[:30], axis=0) == pytest.approx(1, abs=0.15)
    constant = scaled(np.tile([3.0, 5.0], (4, 1)), ONE, False)
    assert np.all(np.isfinite(constant))


@pytest.mark.parametrize(("brackets", "reduction"), [(1, 3), (2, 3), (3, 3), (2, 4)])
def test_brackets_have_their_proportions_at_any_time(brackets: int, reduction: int) -> None:
    found = halving(brackets=brackets, reduction=reduction)
    weights = np.array([reduction**-b for b in range(brackets)])
    for count in (30, 400):
        told = Counter(found.bracket(trial) for trial in range(count))
        shares = [told[b] / count for b in range(brackets)]
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=1.5 / count**0.75 + 0.01)
        assert set(told) == set(range(brackets))


def test_a_bracket_passes_its_first_levels_without_waiting() -> None:
    found = halving(brackets=2)
    later = [trial for trial in range(100) if found.bracket(trial) == 1]
    for trial in range(100):
        found.reported(trial, 1, RungResult(np.full((1, 2), float(trial))))  # each worse than all before
        assert found.continues(trial, 1) or trial not in later
    trial = later[-1]
    for other in range(20):
        found.reported(other, 3, RungResult(np.zeros((1, 2))))
    found.reported(trial, 3, RungResult(np.full((1, 2), 99.0)))
    assert not found.continues(trial, 3)


def test_a_step_belongs_to_the_highest_level_reached() -> None:
    found = halving((10, 30, 90))
    assert [found.level_at(step) for step in (1, 9, 10, 29, 30, 89, 90, 1000)] == [
        None,
        None,
        10,
        10,
        30,
        30,
        90,
        90,
    ]
    assert halving(()).level_at(5) is None


def test_of_many_the_best_go_on_and_the_worst_wait() -> None:
    values = np.random.default_rng(0).random((80, 2))
    found = filled(values)
    kept = found.survivors(1)
    assert len(kept) == found.quota(1, 80)
    ranks = nondominated_sort(values)
    waiting = sorted(set(range(80)) - set(kept))
    assert ranks[kept].max() <= ranks[waiting].min()
    assert [trial for trial in range(80) if found.continues(trial, 1)] == sorted(kept)


def test_what_has_gone_on_counts_for_the_quota_and_is_no_survivor() -> None:
    found = filled(arc(80))
    first = found.survivors(1)
    for trial in first[:10]:
        found.continued(trial, 1)
    assert found.survivors(1) == first[10:]
    for trial in first[10:]:
        found.continued(trial, 1)
    assert found.survivors(1) == [] and found.next({n: 1 for n in range(80)}) is None


def test_with_fewer_results_than_min_results_nobody_waits() -> None:
    found = halving(min_results=5)
    for trial in range(5):
        found.reported(trial, 1, RungResult(np.full((1, 2), 1.0 + trial)))
        assert found.continues(trial, 1) == (trial < 4)
        if trial < 4:
            found.continued(trial, 1)


def test_the_highest_level_goes_first_and_there_its_best() -> None:
    found = filled(arc(60) + 0.1)
    for trial in range(60):
        found.continued(trial, 1)
        if trial < 30:
            found.reported(trial, 3, RungResult((arc(60)[trial] * (1 + trial))[None]))
    paused = {trial: 3 if trial < 30 else 1 for trial in range(60)}
    assert found.next(paused) == found.survivors(3)[0] == 0
    late = halving()
    for trial in range(10):
        late.reported(trial, 1, RungResult(np.full((1, 2), 1.0 + trial)))
    assert late.next({trial: 1 for trial in range(10)}) == 0
    assert late.next({}) is None and late.next({5: 1}) is None


def test_forecasts_take_the_place_of_results() -> None:
    values = np.stack([np.linspace(0, 1, 80)] * 2, axis=1)
    found = filled(values)
    found.forecasts = {trial: (0.9 - values[trial])[None] for trial in range(80)}
    kept = found.survivors(1)
    assert sorted(kept) == list(range(80 - len(kept), 80))
    assert kept[0] == 79


def test_feasible_ones_first_then_the_least_broken() -> None:
    found = halving()
    for trial in range(80):
        violation = 0.0 if trial >= 60 else 1.0 + trial
        found.reported(
            trial, 1, RungResult(np.full((1, 2), 100.0 - trial if violation else 1000.0 + trial), violation)
        )
    kept = found.survivors(1)
    assert kept[:20] == list(range(60, 80))
    assert kept[20:] == list(range(len(kept) - 20))


def test_a_lost_trial_leaves_no_trace() -> None:
    values = np.random.default_rng(1).random((80, 2))
    with_it, without = filled(values), filled(values)
    for trial in (100, 101):
        with_it.reported(trial, 1, RungResult(np.zeros((1, 2))))
        with_it.continued(trial, 1)
        with_it.reported(trial, 3, RungResult(np.zeros((1, 2))))
        with_it.failed(trial)
    assert with_it.survivors(1) == without.survivors(1)
    assert with_it.survivors(3) == without.survivors(3) == []


def test_a_trial_that_skipped_a_level_takes_nobodys_place_there() -> None:
    """Of a restored study with fewer rungs, say: it has no result at the level."""
    values = np.random.default_rng(2).random((80, 2))
    plain, found = filled(values), filled(values)
    for trial in range(100, 160):
        found.reported(trial, 9, RungResult(np.ones((1, 2))))
    assert found.survivors(1) == plain.survivors(1)


def test_a_trial_heard_of_at_a_level_has_passed_those_below() -> None:
    """Whoever let it on, and whatever is still told of the lower level."""
    found = filled(np.random.default_rng(3).random((80, 2)))
    found.reported(100, 3, RungResult(np.ones((1, 2))))
    found.reported(100, 1, RungResult(np.zeros((1, 2))))
    assert found.continues(100, 1) and 100 not in found.survivors(1)


def test_400_trials_are_judged_in_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(0)
    found = Halving((1, 3, 9), 400, np.ones(3))
    for trial in range(400):
        found.reported(trial, 1, RungResult(np.abs(rng.standard_normal((3, 3)))))
    start = time.process_time()
    found.survivors(1)
    assert time.process_time() - start < 3  # 0.05 on an idle core
