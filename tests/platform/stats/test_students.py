"""Bounds of skewed estimates against the transformation that they invert, and Student's without skewness."""

from platform.stats.students import bounds, standardised, third_moment, variance_of

import numpy as np
import pytest
from scipy import stats


@pytest.mark.parametrize("skewness", [-0.3, -1e-7, 1e-9, 0.02, 0.35])
def test_the_bounds_are_where_the_transformed_statistic_is_the_quantile(skewness: float) -> None:
    below, above = bounds(2.13, skewness)
    for t, expected in ((-above, -2.13), (-below, 2.13)):
        cubic = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6
        assert float(cubic) == pytest.approx(expected)
    assert (below + above) * skewness > 0, "longer on the side of the long tail"


def test_without_skewness_they_are_the_quantile_and_with_much_no_wider_than_by_a_quarter() -> None:
    assert tuple(map(float, bounds(2.0, 0.0))) == (-2, 2)
    for quantile in (1.96, 2.13, 4.3):
        below, above = bounds(quantile, np.array([0.0, 9.0, -9.0]))
        widths = (above - below) / (2 * quantile)
        assert widths[0] == 1 and widths[1] == pytest.approx(widths[2]) and 1.15 < widths[1] < 1.3


def test_moments_are_scipys_and_equal_draws_have_none() -> None:
    draws = np.random.default_rng(0).exponential(size=(300, 2))
    found = standardised(third_moment(draws), variance_of(draws))
    np.testing.assert_allclose(found, stats.skew(draws))
    equal = np.full(50, 0.1)
    assert variance_of(equal) == standardised(third_moment(equal), variance_of(equal)) == 0
