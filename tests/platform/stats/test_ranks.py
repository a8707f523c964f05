"""Intervals cover, ties are correct, and pairing helps: against closed forms, scipy and simulations."""

from collections.abc import Sequence
from platform.stats.confidence import SeedGroup, intervals
from platform.stats.ranks import cells, interval, spearman
from platform.stats.scores import Score, SystemResult, measured_on
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from tests.platform.stats.examples import result
from trainers.metrics.aggregate import measured_subjects, resampled_mean

Values = NDArray[np.float64]
NAN, INF = float("nan"), float("inf")


def row(name: str, *estimates: float, kind: str = "system", draws: Sequence[float] = ()) -> SystemResult:
    """One seed an estimate, all with the same draws around their own."""
    return result(name, *({"fid": Score(e, tuple(e + d for d in draws))} for e in estimates), kind=kind)


def bootstrap(values: Values, picks: NDArray[np.int64], subjects: int = 0) -> Score:
    """A mean over subjects with its draws."""
    return Score(float(values.mean()), tuple(values[picks].mean(1).tolist()), subjects)


def marks(rows: Sequence[SystemResult], direction: str = "minimize") -> list[str]:
    """For each row: best, tied, or nothing."""
    column = cells(rows, "fid", direction)
    return ["" if c is None else "best" * c.best + "tied" * c.tied for c in column]


def test_mean_and_spread_over_seeds_are_numpys() -> None:
    estimates = [0.3, 0.1, 0.25]
    (cell,) = cells([row("cut", *estimates)], "fid", "minimize")
    assert cell is not None and cell.sd is not None
    assert (cell.mean, cell.sd) == pytest.approx((np.mean(estimates), np.std(estimates, ddof=1)))
    assert np.isnan([cell.low, cell.high]).all()
    (single,) = cells([row("cut", 0.3)], "fid", "minimize")
    assert single is not None and single.sd is None


def test_draws_are_averaged_over_seeds_draw_by_draw() -> None:
    """Two seeds whose draws cancel have no spread over subjects; equal ones have that of one."""
    wave = np.sin(np.arange(400.0))
    opposed = [Score(1.0, tuple(1 + wave)), Score(3.0, tuple(3 - wave))]
    alike = [Score(1.0, tuple(1 + wave)), Score(3.0, tuple(3 + wave))]
    rows = [result("a", *({"kid": s} for s in seeds)) for seeds in (opposed, alike)]
    first, second = cells(rows, "kid", "minimize")
    assert first and second and (first.low, first.high) == pytest.approx((2.0, 2.0))
    expected = 2 + 1.96 * np.array([-1, 1]) * wave.std()
    assert (second.low, second.high) == pytest.approx(tuple(expected), rel=2e-2)


def test_an_interval_does_not_shift_with_the_bootstraps_bias_nor_beyond_the_metrics_range() -> None:
    draws = np.random.default_rng(0).normal(0.17, 0.03, 500)
    plain, biased = (interval(Score(0.1, tuple(draws + shift)), "kid") for shift in (0.0, 5.0))
    assert plain == pytest.approx(biased)
    assert plain[0] < 0.1 < plain[1]
    draws = np.linspace(-0.1, 0.3, 101)
    assert interval(Score(0.02, tuple(draws)), "kid")[0] < 0.0
    assert interval(Score(0.02, tuple(draws)), "fid")[0] == 0.0, "the least of a Frechet distance"


@pytest.mark.parametrize(
    ("subjects", "corrected", "least", "most"),
    [(4, 4, 0.92, 0.98), (6, 6, 0.92, 0.98), (40, 40, 0.92, 0.98), (4, 0, 0.0, 0.88)],
)
def test_the_interval_covers_the_mean_of_95_in_100_cohorts_if_corrected(
    subjects: int, corrected: int, least: float, most: float
) -> None:
    """Of normal subjects; without the correction for few of them it would not."""
    rng, hits = np.random.default_rng(subjects), []
    picks = rng.integers(0, subjects, (400, subjects))
    for _ in range(600):
        low, high = interval(bootstrap(rng.normal(1, 2, subjects), picks, corrected), "psnr")
        hits.append(low <= 1 <= high)
    assert least < np.mean(hits) < most


def test_the_correction_is_students_interval() -> None:
    """For normal draws of the variance that a bootstrap has, sum of squares over n squared."""
    values = np.random.default_rng(1).normal(size=5)
    quantiles = stats.norm.ppf((np.arange(20000) + 0.5) / 20000) * values.std() / np.sqrt(5)
    found = interval(Score(float(values.mean()), tuple(values.mean() + quantiles), 5), "psnr")
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert found == pytest.approx(expected, rel=1e-3)


def test_paired_differences_are_significant_where_unpaired_ones_are_not() -> None:
    """Both systems share the subjects' difficulty; the second is worse by 0.1 everywhere, nearly."""
    rng = np.random.default_rng(0)
    picks = rng.integers(0, 30, (1000, 30))
    hard = rng.normal(20, 3, 30)
    good, bad = hard + 0.1 + rng.normal(0, 0.02, 30), hard + rng.normal(0, 0.02, 30)
    rows = [result(n, {"psnr": bootstrap(v, picks)}) for n, v in (("good", good), ("bad", bad))]
    best, other = cells(rows, "psnr", "maximize")
    assert best and other
    assert best.best and not other.tied
    assert other.low < best.low < other.high < best.high
    shuffled = result("bad", {"psnr": bootstrap(bad, rng.integers(0, 30, (1000, 30)))})
    unpaired = cells([rows[0], shuffled], "psnr", "maximize")[1]
    assert unpaired and unpaired.tied


@pytest.mark.parametrize(("gap", "least", "most"), [(0.0, 0.015, 0.085), (1.0, 0.85, 1.01)])
def test_equal_systems_are_not_tied_in_5_of_100_cohorts(gap: float, least: float, most: float) -> None:
    """And those that differ by more than three standard errors nearly always are not."""
    rng, apart = np.random.default_rng(2), []
    picks = rng.integers(0, 25, (300, 25))
    for _ in range(400):
        values = rng.normal(0, 1, (2, 25)) + np.array([[0.0], [gap]])
        rows = [result(n, {"psnr": bootstrap(v, picks, 25)}) for n, v in zip("ab", values, strict=True)]
        apart.append(not any(c and c.tied for c in cells(rows, "psnr", "maximize")))
    assert least < np.mean(apart) < most


@pytest.mark.parametrize(("a", "b"), [((0.0, 1.0), (2.9, 3.2)), ((0.0, 0.4, 0.9), (1.0, 1.6))])
def test_by_seeds_alone_systems_are_tied_as_by_welchs_test(
    a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    """Shifted to just below and just above its critical distance, two seeds included."""
    known = stats.ttest_ind(b, a, equal_var=False)
    critical = stats.t.ppf(0.975, known.df) * (np.mean(b) - np.mean(a)) / known.statistic
    for share, expected in ((0.999, "tied"), (1.001, "")):
        shifted = np.array(b) - np.mean(b) + np.mean(a) + share * critical
        assert marks([row("a", *a), row("b", *shifted.tolist())]) == ["best", expected]


@pytest.mark.parametrize(("share", "expected"), [(0.995, "tied"), (1.005, "")])
def test_the_threshold_is_of_seeds_and_draws_together(share: float, expected: str) -> None:
    """Seeds at m ± 1: variance 2, so 1 of each mean with 1 degree; draws of unit spread add 2 with none."""
    gap, error = share * stats.t.ppf(0.975, (2 + 2) ** 2 / 2), np.sqrt(2 + 2)
    other = row("b", gap * error - 1, gap * error + 1, draws=(-1.0, 1.0, -1.0, 1.0))
    assert marks([row("a", -1.0, 1.0, draws=(-1.0, -1.0, 1.0, 1.0)), other]) == ["best", expected]


def measured(values: Values, picks: NDArray[np.int64]) -> Score:
    """As an evaluation publishes it: some of the subjects have no value."""
    found = torch.from_numpy(values)
    draws = resampled_mean(found, torch.from_numpy(picks)).tolist()
    return Score(float(found.nanmean()), tuple(draws), measured_subjects(found), len(values))


@pytest.mark.parametrize("count", [3, 5, 12])
def test_intervals_of_a_measure_that_some_subjects_lack_are_students_of_the_others(count: int) -> None:
    """Of 16: in the tables and in confirmations; they contain the mean of 95 in 100 cohorts."""
    rng, hits = np.random.default_rng(count), []
    picks = rng.integers(0, 16, (400, 16))
    for _ in range(600):
        values = np.full(16, NAN)
        values[rng.permutation(16)[:count]] = rng.normal(1, 2, count)
        score = measured(values, picks)
        assert score.subjects == count
        low, high = interval(score, "psnr")
        group = SeedGroup(np.array([[[score.estimate]]]), np.array(score.draws).reshape(1, -1, 1, 1))
        _, below, above = intervals([group], [score.subjects])
        assert (below.item(), above.item()) == pytest.approx((low, high), rel=5e-3)  # 1.96 is rounded
        hits.append(low <= 1 <= high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert measured_on([score, Score(1.0, (), 16, 16)]) == f"{count} of 16 subjects"
    assert measured_on([Score(1.0, (), 16, 16), Score(2.0)]) == ""


def test_what_a_single_subject_has_is_tied_and_has_no_interval() -> None:
    """However far apart: that its value would be another's too is unknown."""
    picks = np.random.default_rng(0).integers(0, 4, (50, 4))
    alone = [measured(np.array([NAN, value, NAN, NAN]), picks) for value in (0.1, 0.9)]
    rows = [result(name, {"fid": score}) for name, score in zip("ab", alone, strict=True)]
    assert marks(rows) == ["best", "tied"]
    assert np.isnan(interval(alone[0], "fid")).all()
    two = [measured(np.array([NAN, value, value, NAN]), picks) for value in (0.1, 0.9)]
    rows = [result(name, {"fid": score}) for name, score in zip("ab", two, strict=True)]
    assert marks(rows) == ["best", ""]


def test_only_systems_are_best_or_tied_and_equal_ones_are_tied() -> None:
    bounds = [row("input", 0.1, kind="input"), row("truth", 0.2, kind="truth")]
    rows = [*bounds, row("cut", 0.2), row("unsb", 0.3)]
    assert marks(rows) == ["", "", "best", ""]
    assert marks(rows, "maximize") == ["", "", "", "best"]
    assert marks(bounds) == ["", ""]
    assert marks([row("a", 0.5), row("b", 0.5), row("c", 0.6)]) == ["best", "tied", ""]


def test_a_row_without_the_metric_has_no_cell_and_a_seed_without_it_does_not_count() -> None:
    rows = [result("cut", note="diverged"), row("unsb", 1.0), result("inr", {"kid": 0.1})]
    assert [cell is None for cell in cells(rows, "fid", "minimize")] == [True, False, True]
    (cell,) = cells([result("cut", {"kid": 1.0}, {"fid": 2.0})], "fid", "minimize")
    assert cell and (cell.mean, cell.sd) == (2.0, None)


@pytest.mark.filterwarnings("error")
def test_infinite_and_undefined_values_break_nothing() -> None:
    draws = (-1.0, 0.0, 1.0)
    infinite = result("truth", *[{"fid": Score(INF, (INF, INF, INF))}] * 2)
    rows = [row("a", NAN, draws=draws), infinite, row("b", 1.0, draws=draws)]
    rows.append(row("c", 2.0, draws=(NAN, 0.1, 0.2)))
    assert marks(rows, "maximize") == ["", "best", "", ""]
    assert marks([*rows, infinite], "maximize") == ["", "best", "", "", "tied"]
    assert marks(rows)[2] == "best"
    _, first, _, last = cells(rows, "fid", "maximize")
    assert first and first.mean == INF and np.isnan([first.low, first.high]).all()
    assert last and np.isfinite([last.low, last.high]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_is_pearsons_of_mean_ranks(seed: int) -> None:
    x, y = np.random.default_rng(seed).integers(0, 6, (2, 10)).astype(float)
    ranks: Any = [(v > v[:, None]).sum(0) + ((v == v[:, None]).sum(0) + 1) / 2 for v in (x, y)]
    assert spearman(x.tolist(), y.tolist()) == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-12)
    assert spearman([1, 2, 3, INF], [0.1, 5, 6, 7]) == pytest.approx(1)
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3])) and np.isnan(spearman([1], [1]))
