"""Intervals and probabilities of non-dominance, against closed forms and simulated cohorts."""

from collections.abc import Sequence
from platform.stats.confidence import (
    LENT,
    Trainings,
    intervals,
    probability_nondominated,
    ranks,
    seed_noise,
    worlds,
)
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t

Values = NDArray[np.float64]
NOTHING = (0,)


def group(estimates: Any, draws: Any = None) -> Trainings:
    """Of estimates [S, k, m]; without draws, the same value in each."""
    values = np.asarray(estimates, float)
    drawn = np.broadcast_to(values[:, None], (len(values), 3, *values.shape[1:])) if draws is None else draws
    return Trainings(values, np.asarray(drawn, float))


def chances(
    groups: Sequence[Trainings], subjects: Sequence[int], *directions: str, count: int = 40_000
) -> Values:
    return probability_nondominated(worlds(groups, subjects, count), directions)


def exact_seeds(mean: float, deviation: float, count: int) -> Values:
    """[count, 1, 1] of exactly that mean and deviation (n - 1)."""
    values = np.linspace(-1, 1, count)
    return (mean + deviation * values / values.std(ddof=1)).reshape(-1, 1, 1)


@pytest.mark.parametrize("gap", [0.0, 0.2, 0.5])
def test_two_normal_candidates_are_told_apart_by_phi_of_their_distance(gap: float) -> None:
    """Means over 100 seeds of deviation 3: the difference's is 0.3 sqrt(2)."""
    pair = [group(exact_seeds(0.0, 3, 100)), group(exact_seeds(gap, 3, 100))]
    first, second = chances(pair, NOTHING, "minimize", count=100_000)
    assert first == pytest.approx(norm.cdf(gap / 0.3 / np.sqrt(2)), abs=0.006)
    assert first + second == pytest.approx(1, abs=1e-12)


def test_a_difference_over_subjects_counts_by_its_own_spread() -> None:
    """Hard subjects common to both cancel: only the draws of the difference decide."""
    rng = np.random.default_rng(1)
    common, own = 50 * rng.standard_normal(4000), 0.2 * rng.standard_normal(4000)
    own = (own - own.mean()) / own.std() * 0.2
    pair = [
        group([[[0.0]]], common.reshape(1, -1, 1, 1)),
        group([[[0.3]]], (common + own).reshape(1, -1, 1, 1)),
    ]
    first, second = chances(pair, NOTHING, "minimize")
    assert first == pytest.approx(norm.cdf(0.3 / 0.2), abs=0.02)
    assert chances(pair, NOTHING, "maximize")[1] == pytest.approx(first, abs=1e-12)
    assert second < 0.1


def test_two_objectives_of_independent_noise_multiply() -> None:
    """A is dominated where B is better in both: Phi(d1 / s) Phi(d2 / s)."""
    rng = np.random.default_rng(2)
    drawn = np.stack(
        [np.zeros((60_000, 2)), np.array([0.4, -0.2]) + rng.standard_normal((60_000, 2))], axis=1
    )
    first, second = probability_nondominated(drawn, ("minimize", "minimize"))
    assert first == pytest.approx(1 - norm.cdf(-0.4) * norm.cdf(0.2), abs=0.006)
    assert second == pytest.approx(1 - norm.cdf(0.4) * norm.cdf(-0.2), abs=0.006)


def test_equal_candidates_are_equally_probable() -> None:
    same = [group(exact_seeds(1.0, 0.5, 3)) for _ in range(4)]
    found = chances(same, NOTHING, "maximize")
    assert found == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_without_any_noise_the_front_is_the_front_and_copies_share_it() -> None:
    points = [[1.0, 4.0], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0], [4.0, 1.0]]
    found = chances([group([[point]]) for point in points], (0, 0), "minimize", "minimize")
    assert found.tolist() == [1, 1, 1, 0, 1]


def test_step_counts_of_one_trial_share_its_seeds_luck() -> None:
    """Both counts move together by far more than they differ: the better one always is."""
    luck = np.array([-5.0, 0.0, 5.0])
    found = chances([group(np.stack([luck, luck + 0.1], axis=1)[:, :, None])], NOTHING, "minimize")
    assert found.tolist() == [1, 0]


def test_turning_an_objective_round_changes_no_probability_and_mirrors_the_interval() -> None:
    rng = np.random.default_rng(3)
    groups = [group(rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 50, 2, 2))) for _ in range(3)]
    turned = [Trainings(g.estimates * (1, -1), g.draws * (1, -1)) for g in groups]
    subjects = (0, 9)
    plain = worlds(groups, subjects, 4000)
    assert worlds(turned, subjects, 4000) == pytest.approx(plain * (1, -1))
    first = probability_nondominated(plain, ("minimize", "minimize"))
    second = probability_nondominated(plain * (1, -1), ("minimize", "maximize"))
    assert first == pytest.approx(second)
    mean, low, high = intervals(groups, subjects)
    ends = intervals(turned, subjects)
    assert ends[0][:, 1] == pytest.approx(-mean[:, 1])
    assert ends[1][:, 1] == pytest.approx(-high[:, 1]) and ends[2][:, 1] == pytest.approx(-low[:, 1])


def test_one_trial_alone_has_students_interval_over_its_seeds() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    mean, low, high = intervals([group(values.reshape(-1, 1, 1))], NOTHING)
    half = t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert (mean.item(), low.item(), high.item()) == pytest.approx((4, 4 - half, 4 + half))


def test_few_seeds_borrow_the_others_variance() -> None:
    """Two seeds each: d = 1, lent 2 of the others; s^2 = (1 s_own^2 + 2 s_others^2) / 3, Student of 3."""
    own, others = exact_seeds(0.0, 1.0, 2), [exact_seeds(5.0, 2.0, 2), exact_seeds(9.0, 4.0, 2)]
    groups = [group(own), *(group(other) for other in others)]
    noise = seed_noise(groups, 0)
    assert noise.degrees == 3
    assert noise.variance.item() == pytest.approx((1 + 2 * (4 + 16) / 2) / 3 / 2)
    many = [group(exact_seeds(0.0, 1.0, 9)), *(group(exact_seeds(1.0, 3.0, 9)) for _ in range(3))]
    assert seed_noise(many, 0).degrees == 8 + LENT
    assert seed_noise(many, 0).variance.item() == pytest.approx((8 * 1 + LENT * 9) / (8 + LENT) / 9)


def test_what_is_lent_keeps_how_objectives_vary_together() -> None:
    """The covariance of the mean is the moderated covariance, own and lent."""
    rng = np.random.default_rng(4)
    groups = [group(rng.standard_normal((3, 1, 2))) for _ in range(2)]
    rows = seed_noise(groups, 0).factor[:, 0]
    own, other = (np.cov(g.estimates[:, 0].T) for g in groups)
    assert rows.T @ rows == pytest.approx((2 * own + 2 * other) / 4 / 3)


def test_one_seed_has_an_interval_over_subjects_and_one_subject_none() -> None:
    rng = np.random.default_rng(5)
    draws = rng.standard_normal((1, 5000, 1, 1))
    mean, _, high = intervals([group([[[7.0]]], draws)], (25,))
    half = t.ppf(0.975, 24) * draws.std() * np.sqrt(25 / 24)
    assert (mean.item(), high.item() - mean.item()) == pytest.approx((7, half))
    assert np.isfinite(worlds([group([[[7.0]]])], (1,), 10)).all()


@pytest.mark.parametrize("value", np.random.default_rng(8).uniform(0, 40, 20).tolist())
def test_where_nothing_is_known_no_bound_is_made_of_rounding(value: float) -> None:
    """A thousand equal draws have a variance of 1e-29, and so no width that a reader should see."""
    alone = group([[[value]]], np.full((1, 1000, 1, 1), value))
    _, low, high = intervals([alone], (1,))
    assert np.isnan(low).all() and np.isnan(high).all()


def test_equal_seeds_have_an_interval_of_no_width() -> None:
    mean, low, high = intervals([group([[[2.0]], [[2.0]]])], NOTHING)
    assert mean.item() == low.item() == high.item() == 2.0


def test_a_draw_without_a_value_is_left_out() -> None:
    draws = np.array([1.0, np.nan, 3.0]).reshape(1, 3, 1, 1)
    found = worlds([group([[[2.0]]], draws)], NOTHING, 6)
    assert sorted(set(found.ravel().tolist())) == [1.0, 3.0]


@pytest.mark.parametrize(("seeds", "subjects"), [(2, 12), (3, 40), (5, 6)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, subjects: int) -> None:
    """Three candidates, effects of seeds and of subjects: 95 % of 1000 experiments, up to chance."""
    rng = np.random.default_rng(seeds)
    inside = []
    for _ in range(1000):
        hard = rng.standard_normal((1, subjects))
        drawn = rng.integers(subjects, size=(100, subjects))
        groups = []
        for _ in range(3):
            values = (
                0.8 * rng.standard_normal((seeds, 1)) + hard + 0.3 * rng.standard_normal((seeds, subjects))
            )
            groups.append(group(values.mean(1).reshape(-1, 1, 1), values[:, drawn].mean(2)[:, :, None, None]))
        _, low, high = intervals(groups, (subjects,))
        inside.append(low[0, 0] <= 0 <= high[0, 0])
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize(
    ("seeds", "subjects", "near"), [(1.0, 0.0, 0.02), (0.0, 0.7, 0.05), (1.0, 0.7, 0.12)]
)
def test_worlds_are_spread_as_wide_as_the_intervals(seeds: float, subjects: float, near: float) -> None:
    """Of one source exactly; a sum of two has heavier tails than Satterthwaite's Student."""
    rng = np.random.default_rng(6)
    draws = subjects * rng.standard_normal((3, 4000, 1, 1))
    groups = [group(exact_seeds(0.0, seeds, 3), draws) for _ in range(3)]
    _, low, high = intervals(groups, (20,))
    ends = np.quantile(worlds(groups, (20,), 100_000), [0.025, 0.975], axis=0)
    assert ends[1] - ends[0] == pytest.approx(high - low, rel=near)


def test_probabilities_are_right_as_often_as_they_say() -> None:
    """Calibration: of comparisons called with 80 to 90 % by three seeds each, 80 to 90 % are right."""
    rng = np.random.default_rng(7)
    called, right = [], []
    for _ in range(1500):
        truth = rng.standard_normal(2)
        groups = [group((mean + rng.standard_normal(3)).reshape(-1, 1, 1)) for mean in truth]
        chance = chances(groups, NOTHING, "minimize", count=400)
        best = int(chance.argmax())
        called.append(chance[best])
        right.append(truth[best] == truth.min())
    sure = np.array(called) > 0.8
    assert np.mean(np.array(right)[sure]) == pytest.approx(np.mean(np.array(called)[sure]), abs=0.04)


def test_ranks_go_by_worth_to_the_percent_then_by_contribution() -> None:
    worth, contribution = np.array([0.701, 0.699, 0.95, 0.1]), np.array([1.0, 2.0, 0.0, 9.0])
    assert ranks(worth, contribution).tolist() == [3, 2, 1, 4]
