"""Budgets in numbers: which limit is reached first, plateaus, and extensions from the command line."""

from dataclasses import replace
from platform.study.budget import Budget, Spent, extended, parse_extension, plateau

import pytest

from trainers.config import build
from trainers.errors import InputError

PLATEAU = Budget(trials=100, plateau_percent=1.0, plateau_trials=3)


def test_the_first_limit_that_is_reached_is_named() -> None:
    budget = Budget(trials=1, hours=2.0, gpu_hours=10.0, cost=30.0, cost_per_gpu_hour=4.0)
    assert Spent(1.99, 7.4).ends(budget) == ""
    assert Spent(2.0, 0.0).ends(budget) == "hours: 2 of 2"
    assert Spent(0.5, 10.25).ends(Budget(trials=1, gpu_hours=10.0)) == "GPU-hours: 10.2 of 10"
    assert Spent(0.5, 7.5).ends(budget) == "cost: 30 of 30"
    assert Spent(1e9, 1e9).ends(Budget(trials=1)) == ""


@pytest.mark.parametrize(
    ("volumes", "growth"),
    [
        ([], None),
        ([1.0, 1.0, 1.0], None),  # three trials say nothing about the growth in three trials
        ([1.0, 1.0, 1.0, 1.0], "0"),
        ([1.0, 1.0, 1.0, 1.02], None),
        ([0.990, 0.995, 1.0, 1.0], None),  # 1 % is not less than 1 %
        ([0.995, 1.0, 1.0, 1.0], "0.5"),
        ([0.0, 0.0, 0.0, 0.0], None),  # no candidate is within the reference point yet
        ([0.1, 0.5, 1.0, 1.0, 1.0, 1.0], "0"),
    ],
)
def test_a_plateau_is_little_growth_in_the_last_trials(volumes: list[float], growth: str | None) -> None:
    text = f"the hypervolume grew by {growth} % in the last 3 completed trials, less than 1 %"
    assert plateau(volumes, PLATEAU) == (text if growth else "")
    assert plateau(volumes, Budget(trials=9)) == ""


@pytest.mark.parametrize(
    ("given", "other"), [("cost", "cost_per_gpu_hour"), ("plateau_percent", "plateau_trials")]
)
def test_limits_that_need_each_other_are_refused_alone(given: str, other: str) -> None:
    for one, missing in ((given, other), (other, given)):
        with pytest.raises(InputError, match=f"{one}: 3.* together with {missing}"):
            build(Budget, {"trials": 1, one: 3})
    assert getattr(build(Budget, {"trials": 1, given: 3, other: 2}), given) == 3


def test_an_extension_adds_to_the_existing_limits() -> None:
    budget = Budget(trials=10, hours=2.0, cost=5.0, cost_per_gpu_hour=1.0)
    more = parse_extension(["trials=20", "hours=0.5", "cost=1e2"])
    assert extended(budget, more) == replace(budget, trials=30, hours=2.5, cost=105.0)
    assert type(extended(budget, more).trials) is int and extended(budget, {}) == budget
    with pytest.raises(InputError) as refused:
        extended(budget, {"gpu_hours": 3.0})
    message = "--extend: gpu_hours has no limit in this study; allowed: trials, hours, cost"
    assert str(refused.value) == message
    with pytest.raises(InputError, match="--extend: trials: 1000001 is not allowed"):
        extended(budget, {"trials": 999_991.0})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trails=2", "'trails=2' is not allowed; allowed: trials=N, hours=N, gpu_hours=N, cost=N"),
        ("plateau_trials=2", "allowed: trials=N, hours=N"),
        ("trials", "'trials' is not allowed; allowed: trials= a whole number above 0"),
        *[(f"trials={n}", "trials= a whole number above 0") for n in ("", "2.5", "0", "-3", "inf")],
        *[(f"hours={n}", "hours= a number above 0") for n in ("nan", "inf", "two", "1e99")],
        ("=3", "'=3' is not allowed"),
        ("gpu_hours=3", "'gpu_hours=3': gpu_hours is there twice; allowed: once"),
    ],
)
def test_a_wrong_extension_is_refused_in_one_line(word: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_extension(["gpu_hours=1", word])
    assert str(refused.value).startswith("--extend: ") and message in str(refused.value)
    assert "\n" not in str(refused.value)
