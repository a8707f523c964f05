"""Rungs as inputs and outputs of Gaussian processes: rows by hand, and what far values must not hide."""

from platform.study.dimensions import Choice, Dimension, Int, Log, Uniform
from platform.study.observation import Observation, Params, Rung, SearchSpace
from platform.surrogate.encoding import (
    MAX_EXCESS,
    MAX_RUNGS,
    TrialEncoder,
    clipped,
    compressed,
    fit_each,
    predict_each,
)

import numpy as np
import pytest

MIXED: tuple[Dimension, ...] = (
    Choice("method", ("cut", "unsb", "asp")),
    Log("rate", 1e-4, 1.0),
    Int("layers", 2, 8, step=2),
    Uniform("tau", 0.1, 0.3, when={"method": ("unsb",)}),
    Choice("norm", ("none", "batch"), when={"method": ("cut", "asp")}),
)


def encoder(dimensions: tuple[Dimension, ...] = ()) -> TrialEncoder:
    square = (Uniform("x", 0.0, 1.0), Uniform("y", 0.0, 1.0))
    return TrialEncoder(SearchSpace(dimensions or square, (1.0, 1.0), 40, 0))


def test_inputs_are_share_one_hot_choices_and_unit_values_inactive_ones_in_the_middle() -> None:
    rows = encoder(MIXED).inputs(
        [
            ({"method": "unsb", "rate": 1e-4, "layers": 8, "tau": 0.15}, 1.0),
            ({"method": "cut", "rate": 0.01, "layers": 2, "norm": "batch"}, float(np.exp(-4))),
        ]
    )
    expected = [[1, 0, 1, 0, 0.0, 7 / 8, 0.25, 0, 0], [0, 1, 0, 0, 0.5, 1 / 8, 0.5, 0, 1]]
    np.testing.assert_allclose(rows, expected, atol=1e-12)
    assert encoder(MIXED).inputs([]).shape == (0, 9)


def test_data_are_all_rungs_and_a_failure_at_its_worst() -> None:
    """9.0 is 8 / 0.6 of the distance from the best value, 0.4, to the corner, 1.0, beyond the corner."""
    excess = 8 / 0.6
    far = 1.0 + 0.6 * excess / (1 + excess / MAX_EXCESS)
    rungs = Rung(0.5, (0.5, 9.0), (-1.0,)), Rung(1.0, (0.2, 0.4), (2.0,))
    observed = [
        Observation({"x": 0.1, "y": 0.2}, "completed", rungs),
        Observation({"x": 0.3, "y": 0.4}, "failed"),
        Observation({"x": 0.5, "y": 0.6}, "running"),
    ]
    data = encoder().data(observed)
    np.testing.assert_allclose(data.inputs[:, 1:], [[0.1, 0.2], [0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(data.objectives, [[0.5, far], [0.2, 0.4], [1.0, far]])
    np.testing.assert_allclose(data.violations, [[-1.0], [2.0], [2.0]])


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_beyond_the_corner_the_order_is_kept_and_nothing_is_far(offset: float) -> None:
    rng = np.random.default_rng(0)
    values = np.vstack([rng.random((50, 2)) * [2.0, 1e4], [0.0, 0.2]]) + offset
    result = compressed(values, np.array([1.0, 1.0]))
    assert np.array_equal(np.argsort(result, axis=0), np.argsort(values, axis=0))
    inside = values <= max(1.0, offset)
    assert np.array_equal(result[inside], values[inside])
    if not offset:
        assert np.all(result <= 1 + MAX_EXCESS * (1 - values.min(0)))
        slight = np.array([[0.0, 0.0], [1.0 + 1e-6, 0.5]])
        np.testing.assert_allclose(compressed(slight, np.ones(2)), slight, atol=1e-11)  # continuous


def test_where_nothing_is_better_than_the_corner_the_better_half_still_differs() -> None:
    """A translator's PSNR may be below the untouched input's everywhere at first; best 2, median 4."""
    values = np.array([[3.0], [2.0], [50.0], [4.0], [90.0]])
    excess = np.array([[0.5], [0.0], [24.0], [1.0], [44.0]])
    expected = 2 + 2 * excess / (1 + excess / MAX_EXCESS)
    np.testing.assert_allclose(compressed(values, np.ones(1)), expected)


def test_only_the_newest_rungs_are_used() -> None:
    rungs = tuple(Rung((k + 1) / 300, (0.5, k / 1000)) for k in range(300))
    observed = [Observation({"x": 0.1 * i, "y": 0.5}, "completed", rungs) for i in range(3)]
    inputs = encoder().data(observed).inputs
    assert inputs.shape == (MAX_RUNGS, 3) and set(np.round(inputs[:, 1], 6)) == {0.0, 0.1, 0.2}
    assert inputs[:, 0].tolist().count(1.0) == 3, "ends of training, the oldest trial's too"
    assert set(np.round(inputs[inputs[:, 0] < 1, 1], 6)) == {0.1, 0.2}


def test_violations_are_clipped_where_they_are_unusually_large() -> None:
    """At three times the median of the positive ones, and never below 1."""
    column = np.array([-9.0, -0.5, 0.0, 0.1, 2.0, 4.0, 6.0, 1e6])
    result = clipped(np.stack([column, column / 100, -np.abs(column)], axis=1))
    np.testing.assert_allclose(result[:, 0], [*column[:-1], 3 * 4.0])
    np.testing.assert_allclose(result[:, 1], np.clip(column / 100, -1, 1))
    np.testing.assert_allclose(result[:, 2], np.clip(-np.abs(column), -1, 1))
    assert clipped(np.empty((3, 0))).shape == (3, 0)


def test_one_large_violation_does_not_hide_the_others() -> None:
    """The bound is violated where x < 0.5, in one corner by ten thousand times more than anywhere else."""

    def points(count: int, seed: int) -> list[Params]:
        return [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(seed).random((count, 2))]

    spots = [(p, 0.5 - p["x"] if p["x"] + p["y"] > 0.3 else 1e4) for p in points(40, 0)]
    observed = [Observation(p, "completed", (Rung(1.0, (0.5, 0.5), (v,)),)) for p, v in spots]
    assert max(violation for _, violation in spots) == 1e4
    data = encoder().data(observed)
    new = [params for params in points(300, 1) if abs(params["x"] - 0.5) > 0.02]
    inputs = encoder().inputs([(params, 1.0) for params in new])
    means, deviations = predict_each(fit_each(data.inputs, data.violations), inputs)
    assert means.shape == deviations.shape == (len(new), 1)
    assert np.mean((means[:, 0] > 0) == [params["x"] < 0.5 for params in new]) > 0.95
