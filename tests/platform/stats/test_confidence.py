"""Intervals and probabilities of non-dominance, against closed forms and simulated cohorts."""

from collections.abc import Sequence
from platform.stats.confidence import (
    BORROWED,
    SeedGroup,
    draw_true_means,
    intervals,
    probability_nondominated,
    ranks,
    seed_noise,
)
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t

Values = NDArray[np.float64]
NO_SUBJECTS = (0,)


def group(estimates: Any, draws: Any = None) -> SeedGroup:
    """Of estimates [S, k, m]; without draws, the same value in each."""
    values = np.asarray(estimates, float)
    drawn = np.broadcast_to(values[:, None], (len(values), 3, *values.shape[1:])) if draws is None else draws
    return SeedGroup(values, np.asarray(drawn, float))


def chances(
    groups: Sequence[SeedGroup], subjects: Sequence[int], *directions: str, count: int = 40_000
) -> Values:
    return probability_nondominated(draw_true_means(groups, subjects, count), directions)


def exact_seeds(mean: float, deviation: float, count: int) -> Values:
    """[count, 1, 1] of exactly that mean and deviation (n - 1)."""
    values = np.linspace(-1, 1, count)
    return (mean + deviation * values / values.std(ddof=1)).reshape(-1, 1, 1)


@pytest.mark.parametrize("gap", [0.0, 0.2, 0.5])
def test_the_better_of_two_normal_candidates_is_known_by_phi_of_their_distance(gap: float) -> None:
    """Means over 100 seeds of deviation 3: the difference's is 0.3 sqrt(2)."""
    pair = [group(exact_seeds(0.0, 3, 100)), group(exact_seeds(gap, 3, 100))]
    first, second = chances(pair, NO_SUBJECTS, "minimize")
    assert first == pytest.approx(norm.cdf(gap / 0.3 / np.sqrt(2)), abs=0.006)
    assert first + second == pytest.approx(1, abs=1e-12)


def test_a_difference_over_subjects_counts_by_its_own_spread() -> None:
    """What is common to all subjects cancels: only the draws of the difference decide."""
    common, own = np.random.default_rng(1).standard_normal((2, 4000)) * 50
    draws = common, common + 0.2 * (own - own.mean()) / own.std()
    pair = [group([[[mean]]], of.reshape(1, -1, 1, 1)) for mean, of in zip((0.0, 0.3), draws, strict=True)]
    first, second = chances(pair, NO_SUBJECTS, "minimize")
    assert first == pytest.approx(norm.cdf(0.3 / 0.2), abs=0.02)
    assert chances(pair, NO_SUBJECTS, "maximize")[1] == pytest.approx(first, abs=1e-12)
    assert second < 0.1


def test_two_objectives_of_independent_noise_multiply() -> None:
    """A is dominated where B is better in both: Phi(d1 / s) Phi(d2 / s)."""
    rng = np.random.default_rng(2)
    other = np.array([0.4, -0.2]) + rng.standard_normal((60_000, 2))
    drawn = np.stack([np.zeros_like(other), other], axis=1)
    first, second = probability_nondominated(drawn, ("minimize", "minimize"))
    assert first == pytest.approx(1 - norm.cdf(-0.4) * norm.cdf(0.2), abs=0.006)
    assert second == pytest.approx(1 - norm.cdf(0.4) * norm.cdf(-0.2), abs=0.006)


def test_equal_candidates_are_equally_probable_and_without_noise_exactly_the_front_is_nondominated() -> None:
    same = [group(exact_seeds(1.0, 0.5, 3)) for _ in range(4)]
    assert chances(same, NO_SUBJECTS, "maximize") == pytest.approx(np.full(4, 0.25), abs=0.01)
    points = [[1.0, 4.0], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0], [4.0, 1.0]]
    found = chances([group([[point]]) for point in points], (0, 0), "minimize", "minimize")
    assert found.tolist() == [1, 1, 1, 0, 1]


def test_step_counts_of_one_trial_share_the_noise_of_its_seeds() -> None:
    """Both counts vary together by far more than they differ: the better one always is."""
    noise = np.array([-5.0, 0.0, 5.0])
    found = chances([group(np.stack([noise, noise + 0.1], axis=1)[:, :, None])], NO_SUBJECTS, "minimize")
    assert found.tolist() == [1, 0]


def test_an_objective_of_the_other_sign_has_equal_probabilities_and_mirrored_intervals() -> None:
    rng = np.random.default_rng(3)
    groups = [group(rng.standard_normal((3, 2, 2)), rng.standard_normal((3, 50, 2, 2))) for _ in range(3)]
    negated = [SeedGroup(g.estimates * (1, -1), g.draws * (1, -1)) for g in groups]
    subjects = (0, 9)
    plain = draw_true_means(groups, subjects, 4000)
    assert draw_true_means(negated, subjects, 4000) == pytest.approx(plain * (1, -1))
    first = probability_nondominated(plain, ("minimize", "minimize"))
    second = probability_nondominated(plain * (1, -1), ("minimize", "maximize"))
    assert first == pytest.approx(second)
    mean, low, high = intervals(groups, subjects)
    ends = intervals(negated, subjects)
    assert ends[0][:, 1] == pytest.approx(-mean[:, 1])
    assert ends[1][:, 1] == pytest.approx(-high[:, 1]) and ends[2][:, 1] == pytest.approx(-low[:, 1])


def test_without_subjects_or_second_seeds_the_interval_is_students_over_the_other() -> None:
    values, rng = np.array([1.0, 2.0, 4.0, 9.0]), np.random.default_rng(5)
    mean, low, high = intervals([group(values.reshape(-1, 1, 1))], NO_SUBJECTS)
    half = t.ppf(0.975, 3) * values.std(ddof=1) / 2
    assert (mean.item(), low.item(), high.item()) == pytest.approx((4, 4 - half, 4 + half))
    draws = rng.standard_normal((1, 5000, 1, 1))
    draws = np.concatenate([draws, -draws], axis=1)
    mean, _, high = intervals([group([[[7.0]]], draws)], (25,))
    half = t.ppf(0.975, 24) * draws.std() * np.sqrt(25 / 24)
    assert (mean.item(), high.item() - mean.item()) == pytest.approx((7, half))
    assert np.isfinite(draw_true_means([group([[[7.0]]])], (1,), 10)).all()


def test_few_seeds_borrow_the_others_variance() -> None:
    """Two seeds each: d = 1, borrowed 2; s^2 = (1 s_own^2 + 2 s_others^2) / 3, Student of 3."""
    groups = [group(exact_seeds(0.0, deviation, 2)) for deviation in (1.0, 2.0, 4.0)]
    noise = seed_noise(groups, 0)
    assert noise.degrees == 3
    assert noise.variance.item() == pytest.approx((1 + 2 * (4 + 16) / 2) / 3 / 2)
    many = seed_noise([group(exact_seeds(0.0, deviation, 9)) for deviation in (1.0, 3.0, 3.0, 3.0)], 0)
    assert many.degrees == 8 + BORROWED
    assert many.variance.item() == pytest.approx((8 * 1 + BORROWED * 9) / (8 + BORROWED) / 9)
    groups = [group(np.random.default_rng(seed).standard_normal((3, 1, 2))) for seed in (4, 5)]
    rows = seed_noise(groups, 0).factor[:, 0]
    own, other = (np.cov(g.estimates[:, 0].T) for g in groups)
    assert rows.T @ rows == pytest.approx((2 * own + 2 * other) / 4 / 3), "objectives vary together"


def test_rounding_makes_no_bound_where_nothing_is_known_and_equal_seeds_no_width() -> None:
    """A thousand equal draws have a computed variance of 1e-29, and so no width that a reader should see."""
    for value in np.random.default_rng(8).uniform(0, 40, 20):
        _, low, high = intervals([group([[[value]]], np.full((1, 1000, 1, 1), value))], (1,))
        assert np.isnan(low).all() and np.isnan(high).all()
    mean, low, high = intervals([group([[[2.0]], [[2.0]]])], NO_SUBJECTS)
    assert mean.item() == low.item() == high.item() == 2.0


def test_a_draw_without_a_value_is_left_out() -> None:
    draws = np.array([1.0, np.nan, 3.0]).reshape(1, 3, 1, 1)
    found = draw_true_means([group([[[2.0]]], draws)], NO_SUBJECTS, 6)
    assert sorted(set(found.ravel().tolist())) == [1.0, 3.0]


@pytest.mark.parametrize(("seeds", "subjects"), [(2, 12), (3, 40), (5, 6)])
def test_intervals_contain_the_truth_in_95_of_100_experiments(seeds: int, subjects: int) -> None:
    """Three candidates, effects of seeds and of subjects: 95 % of 1000 experiments, up to chance."""
    rng = np.random.default_rng(seeds)
    inside = []
    for _ in range(1000):
        hard = rng.standard_normal((1, subjects))
        drawn = rng.integers(subjects, size=(100, subjects))
        groups = []
        for _ in range(3):
            values = hard + 0.8 * rng.standard_normal((seeds, 1))
            values = values + 0.3 * rng.standard_normal((seeds, subjects))
            groups.append(group(values.mean(1).reshape(-1, 1, 1), values[:, drawn].mean(2)[:, :, None, None]))
        _, low, high = intervals(groups, (subjects,))
        inside.append(low[0, 0] <= 0 <= high[0, 0])
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize(
    ("seeds", "subjects", "near"), [(1.0, 0.0, 0.02), (0.0, 0.7, 0.05), (1.0, 0.7, 0.12)]
)
def test_draws_of_true_means_are_as_wide_as_the_intervals(seeds: float, subjects: float, near: float) -> None:
    """Of one source exactly; a sum of two has heavier tails than Satterthwaite's Student."""
    rng = np.random.default_rng(6)
    draws = subjects * rng.standard_normal((3, 4000, 1, 1))
    groups = [group(exact_seeds(0.0, seeds, 3), draws) for _ in range(3)]
    _, low, high = intervals(groups, (20,))
    ends = np.quantile(draw_true_means(groups, (20,), 100_000), [0.025, 0.975], axis=0)
    assert ends[1] - ends[0] == pytest.approx(high - low, rel=near)


def test_probabilities_are_those_of_being_right() -> None:
    """Of comparisons with a probability above 0.8, by three seeds each, as many are right."""
    rng = np.random.default_rng(7)
    said, right = [], []
    for _ in range(1500):
        truth = rng.standard_normal(2)
        groups = [group((mean + rng.standard_normal(3)).reshape(-1, 1, 1)) for mean in truth]
        chance = chances(groups, NO_SUBJECTS, "minimize", count=400)
        said.append(chance.max())
        right.append(truth[chance.argmax()] == truth.min())
    sure = np.array(said) > 0.8
    assert np.mean(np.array(right)[sure]) == pytest.approx(np.mean(np.array(said)[sure]), abs=0.04)


def test_ranks_are_by_probability_to_the_percent_then_by_contribution() -> None:
    probability, contribution = np.array([0.701, 0.699, 0.95, 0.1]), np.array([1.0, 2.0, 0.0, 9.0])
    assert ranks(probability, contribution).tolist() == [3, 2, 1, 4]
