"""Moments of subjects against the concatenated samples; distances against closed forms and ``frechet``."""

import math

import pytest
import torch
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.aggregate import subject_draws
from trainers.metrics.frechet import FeaturePool
from trainers.metrics.moments import Gaussian, SubjectMoments, Whitening, frechet
from trainers.metrics.resampling import Comparison, repeated


def samples(*counts: int, dimension: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(counts))
    mixing = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    draw = [torch.randn(n, dimension, generator=generator, dtype=torch.float64) @ mixing for n in counts]
    return [2 + i / 3 + part for i, part in enumerate(draw)]


def whole(parts: list[Tensor]) -> Gaussian:
    rows = torch.cat(parts)
    return Gaussian(rows.mean(0)[None], rows.T.cov()[None])


def test_pooled_moments_are_those_of_the_samples_and_a_balanced_subject_counts_once() -> None:
    parts = samples(40, 0, 30, 20)
    moments = SubjectMoments.of(parts)
    weights = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 1]], dtype=torch.float64)
    for row, kept in zip(range(2), (parts, [parts[0], parts[3]]), strict=True):
        pooled, expected = moments.pooled(weights), whole(kept)
        torch.testing.assert_close(pooled.mean[row], expected.mean[0])
        torch.testing.assert_close(pooled.covariance[row], expected.covariance[0])
    means = torch.stack([part.mean(0) for part in parts if len(part)]).mean(0)
    filled = SubjectMoments.of([parts[0], parts[2], parts[3]]).balanced(torch.ones(1, 3).double())
    torch.testing.assert_close(filled.mean[0], means)


def test_distances_have_closed_forms_agree_with_frechet_and_are_nan_for_a_diverged_set() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, a, b = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    one = Gaussian(mean[None] @ turn, (turn.T @ torch.diag(a**2) @ turn)[None])
    # Without variance in two directions: a singular covariance.
    b[:2] = 0
    other = Gaussian(torch.zeros(1, 6).double(), (turn.T @ torch.diag(b**2) @ turn)[None])
    expected = float(mean.square().sum() + (a - b).square().sum())
    assert float(frechet(one, other)) == pytest.approx(expected, abs=1e-7)
    assert float(frechet(other, one)) == pytest.approx(expected, abs=1e-7)
    x, y = samples(60, 50), samples(70, 30, 20)
    ours = frechet(whole(x), whole(y))
    assert float(ours) == pytest.approx(FeaturePool.of(torch.cat(y)).frechet(torch.cat(x)), rel=1e-9)
    x[0][3, 1] = math.nan
    assert frechet(SubjectMoments.of(x).balanced(torch.eye(2).double()), whole(y)).isnan().tolist() == [
        True,
        True,
    ]


def test_whitening_makes_the_pool_standard_and_leaves_out_directions_without_variance() -> None:
    parts = [torch.cat((part, part[:, :1] * 3, torch.ones(len(part), 1)), 1) for part in samples(200, 300)]
    pool = SubjectMoments.of(parts).balanced(torch.ones(1, 2).double())
    whitening = Whitening.of(pool, 99)
    assert whitening.components == 5
    white = SubjectMoments.of([whitening(part) for part in parts]).balanced(torch.ones(1, 2).double())
    assert float(frechet(white, Gaussian.standard(5))) < 1e-9
    first = Whitening.of(pool, 2)
    torch.testing.assert_close(first.matrix, whitening.matrix[:, :2])


def test_jackknife_of_a_mean_has_its_standard_error_and_equals_leaving_subjects_out() -> None:
    values = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    comparison = Comparison(12, lambda weights: {"mean": weights @ values / weights.sum(1)})
    found = comparison.jackknifed()["mean"]
    assert found.value == pytest.approx(float(values.mean()))
    assert found.error == pytest.approx(float(values.std()) / math.sqrt(12))
    parts, pool = samples(20, 20, 20, 20), FeaturePool.of(samples(150)[0])
    by_moments = SubjectMoments.of(parts)
    target = whole([pool.features])
    fast = Comparison(4, lambda w: {"fd": frechet(by_moments.balanced(w), target)}).jackknifed()["fd"]
    rows = [(20 * i, 20 * i + 20) for i in range(4)]
    slow = repeated("fd", pool.frechet, torch.cat(parts), rows).jackknifed()["fd"]
    assert fast.value == pytest.approx(slow.value, rel=1e-9)
    torch.testing.assert_close(fast.without, slow.without)
    assert float(slow.without[1]) == pool.frechet(torch.cat([parts[0], parts[2], parts[3]]))
    with pytest.raises(InputError, match="subjects: 1 is not allowed"):
        Comparison(1, lambda weights: {}).jackknifed()


def test_a_mean_is_resampled_exactly_and_a_distance_by_its_pseudo_values() -> None:
    values, draws = torch.rand(6, dtype=torch.float64), subject_draws(6, 40, seed=1)
    mean = Comparison(6, lambda weights: {"mean": weights @ values / weights.sum(1)})
    estimate, drawn = mean.resampled(draws)["mean"]
    assert estimate == pytest.approx(float(values.mean()))
    torch.testing.assert_close(drawn, values[draws].mean(1))
    # Every subject drawn once is the value itself, and so is the mean over all draws.
    pool, rows = FeaturePool.of(samples(150)[0]), [(20 * i, 20 * i + 20) for i in range(4)]
    for distance in (pool.frechet, pool.kernel):
        found = repeated("d", distance, torch.cat(samples(20, 20, 20, 20)), rows)
        everyone = torch.cartesian_prod(*[torch.arange(4)] * 4)
        value, drawn = found.resampled(torch.cat([torch.arange(4)[None], everyone]))["d"]
        assert float(drawn[0]) == pytest.approx(value) == pytest.approx(float(drawn[1:].mean()))
        # Of all 4^4 draws the unbiased variance is the jackknife's.
        assert float(drawn[1:].var(correction=0)) * 4 / 3 == pytest.approx(found.jackknifed()["d"].error ** 2)
    one = Comparison(1, lambda weights: {"mean": weights[:, 0]})
    assert one.resampled(torch.zeros(5, 1).long())["mean"][1].tolist() == [1] * 5


def test_the_extrapolated_distance_is_nearer_to_the_limit_and_without_bias_where_that_is_linear() -> None:
    """In the closed form of two Gaussians; a squared mean has a bias of variance / S exactly."""
    generator, plain, extrapolated = torch.Generator().manual_seed(0), [], []
    scale = torch.linspace(0.3, 1.2, 16, dtype=torch.float64)
    pool = FeaturePool.of(torch.randn(20_000, 16, generator=generator, dtype=torch.float64))
    rows = [(4 * i, 4 * i + 4) for i in range(12)]
    for _ in range(12):
        features = 0.3 + scale * torch.randn(48, 16, generator=generator, dtype=torch.float64)
        found = repeated("fid", pool.frechet, features, rows).jackknifed()["fid"]
        plain.append(found.value)
        extrapolated.append(found.extrapolated)
    limit = float(16 * 0.3**2 + (scale - 1).square().sum())
    errors = [abs(sum(values) / len(values) - limit) for values in (extrapolated, plain)]
    assert errors[0] < 0.2 * errors[1] and errors[1] > 0.2 * limit
    values = torch.rand(9, generator=generator, dtype=torch.float64)
    squared = Comparison(9, lambda w: {"d": (w @ values / w.sum(1)) ** 2}).jackknifed()["d"]
    assert squared.extrapolated == pytest.approx(float(values.mean() ** 2 - values.var() / 9))
