"""Averages that count every subject once, and rows that take the same number of slices of each."""

import math

import pytest
import torch

from trainers.errors import InputError
from trainers.metrics.aggregate import (
    balanced_rows,
    by_subject,
    measured_subjects,
    resampled_mean,
    subject_draws,
)


def test_a_subject_counts_once_without_nan_slices_and_in_float64() -> None:
    values = torch.tensor([1.0, 3.0] + [10.0] * 8)
    result = by_subject(values, [(0, 2), (2, 10)])
    assert result.per_subject.tolist() == [2, 10]
    assert result.mean == 6 != float(values.mean())
    nan = math.nan
    result = by_subject(torch.tensor([1.0, nan, 3.0, nan, nan, 8.0]), [(0, 3), (3, 5), (5, 6)])
    assert result.per_subject[[0, 2]].tolist() == [2, 8] and math.isnan(result.per_subject[1])
    assert result.mean == 5
    assert math.isnan(by_subject(torch.tensor([nan, nan]), [(0, 2)]).mean)
    values = torch.full((1000,), 0.1)
    assert by_subject(values, [(0, 1000)]).mean == pytest.approx(float(values[0]), rel=1e-12)


def test_balanced_rows_are_evenly_spread_up_to_all_slices_of_the_shortest_subject() -> None:
    subjects = [(0, 20), (20, 27), (30, 71)]
    rows = balanced_rows(subjects, 5).reshape(3, 5)
    for (start, stop), chosen in zip(subjects, rows, strict=True):
        assert start <= int(chosen[0]) and int(chosen[-1]) < stop
        gaps, step = chosen.diff(), (stop - start) / 5
        assert int(gaps.min()) >= max(1, math.floor(step)) and int(gaps.max()) <= math.ceil(step)
        assert abs((int(chosen[0]) - start) - (stop - 1 - int(chosen[-1]))) <= 1
    assert rows[0].tolist() == [2, 6, 10, 14, 18]
    subjects = ((0, 4), (4, 7))
    assert balanced_rows(subjects, 3)[3:].tolist() == [4, 5, 6]
    for wrong in (0, 4):
        with pytest.raises(InputError, match=f"per_subject: {wrong} is not allowed; allowed: 1 to 3"):
            balanced_rows(subjects, wrong)


def test_means_are_resampled_and_subjects_without_a_value_are_none() -> None:
    draws, values = subject_draws(5, 4000, seed=0), torch.tensor([1.0, 2, 4, 8, 3]).double()
    torch.testing.assert_close(resampled_mean(values, draws), values[draws].mean(1))
    assert torch.equal(draws, subject_draws(5, 4000, 0)) and not torch.equal(draws, subject_draws(5, 4000, 1))
    # An interval widens the draws' variance by m / (m - 1), to that of the mean of the m = 3 with a value.
    three = torch.tensor([1.0, math.nan, 4, math.nan, 3]).double()
    drawn = resampled_mean(three, draws)
    variance = torch.tensor([1.0, 4, 3]).double().var() / 3
    assert float(drawn.var()) * 3 / 2 == pytest.approx(float(variance), rel=0.05)
    assert measured_subjects(three) == 3 and measured_subjects(values) == 5
    # Bias aside, the third central moment of a mean of m values is theirs over m^2.
    third = float(((three[[0, 2, 4]] - 8 / 3) ** 3).mean()) / 9
    many = resampled_mean(three, subject_draws(5, 200_000, seed=1))
    assert float(((many - many.mean()) ** 3).mean()) == pytest.approx(third, rel=0.1)
    single = torch.tensor([math.nan, 4.0, math.nan]).double()
    assert set(resampled_mean(single, subject_draws(3, 50, 0)).tolist()) == {4.0}
    assert float(drawn.mean()) == pytest.approx(8 / 3, abs=0.05)
    assert resampled_mean(three * math.nan, draws).isnan().all()
