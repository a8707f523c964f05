"""Successive halving by hand: quotas, levels, brackets, who continues and in what order."""

import math
import time
from collections import Counter
from dataclasses import replace
from platform.pareto.dominance import nondominated_sort
from platform.pareto.observations import RungResult
from platform.schedulers.asha import KEPT, PATIENCE, Halving
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]
LEVELS = (1, 3, 9)


def halving(levels: tuple[int, ...] = LEVELS, trials: int = 200, **changes: Any) -> Halving:
    return Halving(levels, trials, np.ones(2), **changes)


def equal(value: float, violation: float = 0.0) -> RungResult:
    """One candidate with the same value in both objectives."""
    return RungResult(np.full((1, 2), value), violation)


def filled(values: Any, level: int = 1, **changes: Any) -> Halving:
    """A result of one candidate [m], or of a value of all objectives, for each trial at a level."""
    made = halving(**changes)
    for trial, value in enumerate(values):
        made.reported(trial, level, RungResult(np.full((1, 2), value)))
    return made


def random_values(seed: int) -> Array:
    return np.random.default_rng(seed).random((80, 2))


def arc(count: int) -> Array:
    """Points of a concave front, from one extreme to the other, [count, 2]."""
    angles = np.linspace(0, np.pi / 2, count)
    return np.stack([1 - np.sin(angles), 1 - np.cos(angles)], axis=1)


def test_a_level_keeps_its_share_after_enough_results_and_less_before() -> None:
    share, made = 3**-KEPT, halving()
    assert [made.quota(1, n) for n in (80, 160, 300)] == [round(n * share) for n in (80, 160, 300)]
    enough = math.ceil(PATIENCE * share**2)
    assert made.quota(9, enough) == round(enough * share)
    assert all(made.quota(level, 1) == 1 for level in LEVELS)
    assert halving(reduction=9).quota(1, 300) == round(300 * 9**-KEPT)
    assert made.quota(1, 20) < 0.3 * 20 * share
    cost = 1 / 27 + share * (2 / 27) + share**2 * (6 / 27) + share**3 * (18 / 27)
    assert cost == pytest.approx(1 / 3, abs=0.02), "what KEPT promises: a third of training everything"


@pytest.mark.parametrize("trials", [20, 80, 400])
def test_quotas_neither_shrink_with_more_results_nor_exceed_their_share(trials: int) -> None:
    made = halving(trials=trials)
    for level in LEVELS:
        quotas = [made.quota(level, count) for count in range(1, trials + 1)]
        assert np.diff(quotas).min() >= 0 and np.diff(quotas).max() <= 2
        assert all(quota <= max(1, round(count * 3**-KEPT)) for count, quota in enumerate(quotas, 1))


@pytest.mark.parametrize(
    ("made", "quotas", "steps"),
    [
        (halving(trials=80), {1: (80, 49), 3: (49, 30), 9: (30, 18)}, 80 + 2 * 49 + 6 * 30 + 18 * 18),
        # 20 of 81 trials pass the first level: 61 compete there and 29 continue, 49 on the next one
        (
            halving(trials=81, brackets=2),
            {1: (61, 29), 3: (49, 30), 9: (30, 18)},
            81 + 2 * (29 + 20) + 6 * 30 + 18 * 18,
        ),
        (halving(trials=81, min_results=81), {1: (81, 50)}, 81 + 50 * 26),  # reached on the first level only
        (halving(trials=81, min_results=82), {}, 81 * 27),
        (halving((), trials=80), {}, 80 * 27),
    ],
)
def test_the_expected_share_follows_from_the_quotas(
    made: Halving, quotas: dict[int, tuple[int, int]], steps: int
) -> None:
    assert {level: (count, made.quota(level, count)) for level, (count, _) in quotas.items()} == quotas
    assert made.expected_share(27) == pytest.approx(steps / (made.trials * 27))


@pytest.mark.parametrize(("brackets", "reduction"), [(1, 3), (2, 3), (3, 3), (2, 4)])
def test_brackets_have_their_proportions_at_any_time(brackets: int, reduction: int) -> None:
    made = halving(brackets=brackets, reduction=reduction)
    weights = np.array([reduction**-b for b in range(brackets)])
    for count in (30, 400):
        counts = Counter(made.bracket(trial) for trial in range(count))
        shares = [counts[b] / count for b in range(brackets)]
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=1.5 / count**0.75 + 0.01)
        assert set(counts) == set(range(brackets))


def test_a_bracket_passes_its_first_levels_without_waiting() -> None:
    made = halving(brackets=2)
    free = [trial for trial in range(100) if made.bracket(trial) == 1]
    for trial in range(100):
        made.reported(trial, 1, equal(trial))  # each worse than all before
        assert made.continues(trial, 1) or trial not in free
    for other in range(20):
        made.reported(other, 3, equal(0))
    made.reported(free[-1], 3, equal(99))
    assert not made.continues(free[-1], 3)


def test_a_step_belongs_to_the_highest_level_reached() -> None:
    steps = {1: None, 9: None, 10: 10, 29: 10, 30: 30, 89: 30, 90: 90, 1000: 90}
    assert {step: halving((10, 30, 90)).level_at(step) for step in steps} == steps
    assert halving(()).level_at(5) is None


def test_the_best_of_many_continue_and_the_worst_wait() -> None:
    values = random_values(0)
    made = filled(values)
    survivors = made.survivors(1)
    assert len(survivors) == made.quota(1, 80)
    ranks, waiting = nondominated_sort(values), sorted(set(range(80)) - set(survivors))
    assert ranks[survivors].max() <= ranks[waiting].min()
    assert [trial for trial in range(80) if made.continues(trial, 1)] == sorted(survivors)


def test_trials_that_continued_count_for_the_quota_and_are_no_survivors() -> None:
    made = filled(arc(80))
    survivors = made.survivors(1)
    for trial in survivors[:10]:
        made.continued(trial, 1)
    assert made.survivors(1) == survivors[10:]
    for trial in survivors[10:]:
        made.continued(trial, 1)
    assert made.survivors(1) == [] and made.next_to_resume({1: set(range(80))}) is None


def test_with_fewer_results_than_min_results_no_trial_waits() -> None:
    made = halving(min_results=5)
    for trial in range(5):
        made.reported(trial, 1, equal(1.0 + trial))
        assert made.continues(trial, 1) == (trial < 4)
        if trial < 4:
            made.continued(trial, 1)


def test_the_best_of_the_highest_level_is_resumed_first() -> None:
    made = filled(arc(60) + 0.1)
    for trial in range(60):
        made.continued(trial, 1)
        if trial < 30:
            made.reported(trial, 3, RungResult((arc(60)[trial] * (1 + trial))[None]))
    assert made.next_to_resume({1: set(range(30, 60)), 3: set(range(30))}) == made.survivors(3)[0] == 0
    lower = filled(range(10))
    assert lower.next_to_resume({1: set(range(10))}) == 0
    assert lower.next_to_resume({}) is None and lower.next_to_resume({1: {50}}) is None


def test_forecasts_replace_results() -> None:
    values = np.stack([np.linspace(0, 1, 80)] * 2, axis=1)
    made = filled(values)
    made.forecasts = {trial: (0.9 - values[trial])[None] for trial in range(80)}
    survivors = made.survivors(1)
    assert sorted(survivors) == list(range(80 - len(survivors), 80)) and survivors[0] == 79


def test_feasible_trials_come_first_then_those_of_the_least_violation() -> None:
    made = halving()
    for trial in range(80):
        made.reported(trial, 1, equal(1000.0 + trial) if trial >= 60 else equal(100.0 - trial, 1.0 + trial))
    survivors = made.survivors(1)
    assert survivors == [*range(60, 80), *range(len(survivors) - 20)]


def test_a_failed_trial_leaves_no_trace() -> None:
    made, without = filled(random_values(1)), filled(random_values(1))
    for trial in (100, 101):
        made.reported(trial, 1, equal(0))
        made.continued(trial, 1)
        made.reported(trial, 3, equal(0))
        made.failed(trial)
    assert made.survivors(1) == without.survivors(1) and made.survivors(3) == without.survivors(3) == []


def test_a_trial_that_reports_at_a_level_has_passed_those_below() -> None:
    """It takes no place below, whatever is reported there later; a restored study may have fewer rungs."""
    made, plain = filled(random_values(2)), filled(random_values(2))
    for trial in range(100, 160):
        made.reported(trial, 9, equal(1))
    assert made.survivors(1) == plain.survivors(1)
    made.reported(100, 1, equal(0))
    assert made.continues(100, 1) and 100 not in made.survivors(1)


def test_400_trials_are_ranked_in_a_fraction_of_a_second() -> None:
    rng, made = np.random.default_rng(0), replace(halving(trials=400), reference=np.ones(3))
    for trial in range(400):
        made.reported(trial, 1, RungResult(np.abs(rng.standard_normal((3, 3)))))
    start = time.process_time()
    made.survivors(1)
    assert time.process_time() - start < 3  # 0.05 on an idle core
