"""Domains on the unit interval: shares, ends, steps and inverses, against counting and closed forms."""

import math
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from itertools import accumulate, product
from platform.study.dimensions import (
    Choice,
    Dimension,
    Int,
    IntLog,
    Log,
    Uniform,
    active,
    condition,
    exact,
    point_at,
)
from typing import Any

import numpy as np
import pytest
from scipy import stats

FINITE: list[tuple[Dimension, list[Any]]] = [  # also .1 to .4: .1 + 2 * .1 is not .3 in binary
    *[(Int("x", 1, 8), [1, 2, 3, 4, 5, 6, 7, 8]), (Int("x", -3, 3), [-3, -2, -1, 0, 1, 2, 3])],
    *[(Int("x", 1, 9, step=2), [1, 3, 5, 7, 9]), (Int("x", 1, 8, step=2), [1, 3, 5, 7])],
    *[(Int("x", 0, 10, step=10), [0, 10]), (Int("x", 0, 10, step=6), [0, 6])],
    (Uniform("x", 0.0, 1.0, step=0.25), [0.0, 0.25, 0.5, 0.75, 1.0]),
    (Uniform("x", 0.0, 1.0, step=0.4), [0.0, 0.4, 0.8]),
    (Uniform("x", 0.1, 0.4, step=0.1), [0.1, 0.2, 0.3, 0.4]),
    (Uniform("x", -1.0, 1e-3, step=0.5), [-1.0, -0.5, 0.0]),
    (Uniform("x", 0.03, 0.2, step=0.01), [float(Decimal(k) / 100) for k in range(3, 21)]),
    (Uniform("x", 1e-7, 1e-6, step=1e-7), [float(Decimal(k) * Decimal("1e-7")) for k in range(1, 11)]),
    *[(Choice("x", ("a", "b", "c")), ["a", "b", "c"]), (Choice("x", (False, True)), [False, True])],
    (Choice("x", (10.0, 0.1)), [10.0, 0.1]),
]
LOGS: list[tuple[Dimension, list[Any]]] = [
    *[(IntLog("x", 1, 8), [1, 2, 3, 4, 5, 6, 7, 8]), (IntLog("x", 3, 300), list(range(3, 301)))],
]
CONTINUA: list[Dimension] = [
    *[Uniform("x", 0.03, 0.2), Uniform("x", -5.0, 7.0), Uniform("x", 1e12, 1e12 + 1), Log("x", 0.1, 100.0)],
    *[Log("x", 1e-300, 1e300), Log("x", 3.0, 3.0000001)],
]


@pytest.mark.parametrize(("dimension", "values"), FINITE + LOGS)
def test_finite_domains_have_their_values_and_at_inverts_unit(dimension: Any, values: list[Any]) -> None:
    assert dimension.size == len(values)
    observed = [dimension.at(u) for u in np.linspace(0, 1, 4001)]
    assert list(dict.fromkeys(observed)) == values
    assert {type(value) for value in observed} == {type(value) for value in values}
    assert all(dimension.holds(value) and 0 < dimension.unit(value) < 1 for value in values)
    assert [dimension.at(dimension.unit(value)) for value in values] == values


@pytest.mark.parametrize(("dimension", "values"), FINITE)
def test_shares_are_equal_and_the_unit_is_their_middle(dimension: Any, values: list[Any]) -> None:
    """Of equidistant places in the middle of cells, 240 to a value, each value has its 240."""
    count = 240 * len(values)
    assert Counter(dimension.at((k + 0.5) / count) for k in range(count)) == dict.fromkeys(values, 240)
    for k, value in enumerate(values):
        assert dimension.unit(value) == pytest.approx((k + 0.5) / len(values), abs=1e-12)


@pytest.mark.parametrize(("dimension", "values"), FINITE)
def test_a_value_that_misses_its_step_a_little_is_put_on_it(dimension: Any, values: list[Any]) -> None:
    """Optuna takes a stepped value within 1e-8 of a step alone."""
    assert [exact(dimension, value) for value in values] == values
    if isinstance(dimension, Uniform) and dimension.step:
        near = [value + 5e-7 * dimension.step for value in values]
        assert all(map(dimension.holds, near)) and [exact(dimension, value) for value in near] == values


@pytest.mark.parametrize(
    ("dimension", "outside"),
    [
        (Int("x", 2, 4), [1, 5, -3]),
        (Log("x", 0.1, 1.0), [0.0999, 1.001, -1.0]),
        (Choice("x", ("a", "b")), ["c", "", "A"]),
        (Uniform("x", 0.03, 0.2, step=0.01), [0.035, 0.02, 0.21, 0.0301]),
        (Int("x", 1, 8, step=3), [-2, 0, 2, 3, 5, 6, 8, 10]),
    ],
)
def test_domains_hold_nothing_else(dimension: Dimension, outside: list[Any]) -> None:
    assert not any(dimension.holds(value) for value in outside)


@pytest.mark.parametrize("dimension", CONTINUA)
def test_continua_are_inverted_both_ways_and_reach_their_ends(dimension: Any) -> None:
    assert dimension.size is None
    assert (dimension.at(0.0), dimension.at(1.0)) == (dimension.low, dimension.high)
    for u in np.linspace(0, 1, 101):
        value = dimension.at(float(u))
        assert type(value) is float and dimension.holds(value)
        scale = 1e-3 if dimension.high / abs(dimension.low) < 1 + 1e-6 else 1e-9
        assert dimension.unit(value) == pytest.approx(u, abs=scale)


def test_a_logarithm_is_uniform_in_the_exponent() -> None:
    dimension = Log("x", 1e-4, 1e4)
    assert [dimension.at(k / 8) for k in range(9)] == pytest.approx([10.0 ** (k - 4) for k in range(9)])
    draws = [dimension.at(u) for u in np.random.default_rng(0).random(4000)]
    assert stats.kstest(np.log10(draws), stats.uniform(-4, 8).cdf).pvalue > 0.01


def test_integers_have_the_shares_of_a_logarithmic_scale() -> None:
    dimension = IntLog("x", 2, 33)
    u = np.random.default_rng(1).random(20_000)
    counts = Counter(dimension.at(x) for x in u)
    width = math.log(33.5 / 1.5)
    expected = [len(u) * math.log((n + 0.5) / (n - 0.5)) / width for n in range(2, 34)]
    assert stats.chisquare([counts[n] for n in range(2, 34)], expected).pvalue > 0.01
    ends = [math.log((n + 0.5) / 1.5) / width for n in range(2, 33)]
    assert [dimension.at(end - 1e-9) for end in ends] == list(range(2, 33))
    assert [dimension.at(end + 1e-9) for end in ends] == list(range(3, 34))


def test_a_steps_values_may_be_sums_of_floating_point_steps() -> None:
    dimension = Uniform("x", 0.03, 0.2, step=0.01)
    sums = list(accumulate([0.03, *[0.01] * 17]))
    assert all(dimension.holds(each) for each in sums) and sums[7] != 0.1
    assert [dimension.at(dimension.unit(x)) for x in sums] == [k / 100 for k in range(3, 21)]


def test_domains_and_conditions_in_words() -> None:
    assert str(Uniform("x", 0.0, 1.0, step=0.25)) == "[0.0, 1.0] in steps of 0.25"
    assert str(Int("x", 1, 9, step=2)) == "[1, 9] in steps of 2"
    assert str(Int("x", 1, 9)) == "[1, 9]" and str(Choice("x", (1, 2))) == "1, 2"
    assert condition(SEARCH[3]) == "form is image or legacy and blocks is 1 or 2"
    assert condition(SEARCH[0]) == ""


SEARCH: tuple[Dimension, ...] = (
    Choice("method", ("unsb", "cut")),
    Choice("form", ("image", "legacy", "none"), when={"method": ("unsb",)}),
    Int("blocks", 1, 4),
    Log("weight", 0.1, 10.0, when={"form": ("image", "legacy"), "blocks": (1, 2)}),
    Choice("flag", (False, True), when={"weight": ()}),
    Uniform("rate", 0.0, 1.0, when={"form": ("none",)}),
)


def names(params: dict[str, Any], search: tuple[Dimension, ...] = SEARCH) -> list[str]:
    return [dimension.name for dimension in active(search, params)]


def test_a_dimension_is_active_where_all_its_parents_are_and_have_its_values() -> None:
    unsb = {"method": "unsb", "form": "image", "blocks": 1, "weight": 1.0}
    assert names(unsb) == ["method", "form", "blocks", "weight"]
    assert names({**unsb, "form": "legacy", "blocks": 2}) == ["method", "form", "blocks", "weight"]
    assert names({**unsb, "blocks": 3}) == ["method", "form", "blocks"]
    assert names({**unsb, "form": "none"}) == ["method", "form", "blocks", "rate"]
    assert names({}) == ["method", "blocks"]


def test_an_inactive_parent_deactivates_its_children_whatever_its_value() -> None:
    assert names({"method": "cut", "form": "image", "blocks": 1}) == ["method", "blocks"]
    chain = (
        Choice("a", (False, True)),
        Choice("b", (False, True), when={"a": (True,)}),
        Choice("c", (False, True), when={"b": (True,)}),
        Int("d", 1, 2, when={"c": (True,)}),
    )
    for a, b, c in product((False, True), repeat=3):
        expected = ["a", "b", "c", "d"][: 1 + a + (a and b) + (a and b and c)]
        assert names({"a": a, "b": b, "c": c, "d": 1}, chain) == expected


def test_a_point_of_the_cube_has_exactly_its_active_dimensions() -> None:
    kinds = set()
    for row in np.random.default_rng(2).random((500, len(SEARCH))):
        point = point_at(SEARCH, row)
        assert list(point) == names(point)
        by_name = {dimension.name: (dimension, u) for dimension, u in zip(SEARCH, row, strict=True)}
        for name, value in point.items():
            dimension, u = by_name[name]
            assert value == dimension.at(u) and dimension.holds(value)
        kinds.add(tuple(point))
    assert kinds == {
        ("method", "blocks"),
        ("method", "form", "blocks"),
        ("method", "form", "blocks", "weight"),
        ("method", "form", "blocks", "rate"),
    }
    with pytest.raises(ValueError, match="shorter"):
        point_at(SEARCH, [0.5] * 5)


def test_dimensions_are_values() -> None:
    a, b = (Int("x", 1, 8, when={"f": (1,)}) for _ in range(2))
    assert a == b and hash(a) == hash(b) and a != replace(a, when={}) != replace(a, when={"f": (2,)})
    assert Int("x", 1, 8) != IntLog("x", 1, 8)
    with pytest.raises(FrozenInstanceError):
        a.low = 2  # type: ignore[misc]
