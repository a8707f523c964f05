import numpy as np
import pytest

from trainers.cohorts.simulation import smooth_fields


@pytest.mark.parametrize("knots", [1.0, 2.5, 7.0])
def test_bsplines_sum_to_one_and_reproduce_a_line(knots: float) -> None:
    basis = smooth_fields.bspline_basis(23, knots)
    np.testing.assert_allclose(basis.sum(1), 1, atol=1e-12)
    line = basis @ ((np.arange(basis.shape[1]) - 1) * knots)
    np.testing.assert_allclose(line, np.arange(23), atol=1e-10)


def test_separable_is_the_full_tensor_product() -> None:
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((2, 4, 5, 6))
    a, b, c = rng.standard_normal((3, 4)), rng.standard_normal((7, 5)), rng.standard_normal((2, 6))
    expected = np.einsum("ai,bj,ck,nijk->nabc", a, b, c, volume)
    np.testing.assert_allclose(smooth_fields.separable(volume, (a, b, c)), expected, atol=1e-5)


def test_smooth_field_has_unit_variance_and_the_correlation_of_its_sigma() -> None:
    rng, sigma = np.random.default_rng(0), 4.0
    field = smooth_fields.smooth_field(rng, (24, 24, 24), sigma, 600)
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.var() == pytest.approx(1, abs=0.08)
    inside = field[:, 8:16]
    for lag in (2, 4, 6):
        correlation = (inside * field[:, 8 + lag : 16 + lag]).mean() / (inside**2).mean()
        assert correlation == pytest.approx(np.exp(-(lag**2) / (4 * sigma**2)), abs=0.04)
