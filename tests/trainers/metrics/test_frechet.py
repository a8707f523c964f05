"""Frechet and kernel distances against closed forms, scipy, torchmetrics, monai and brute force."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from trainers.metrics.frechet import FeaturePool


def gaussian(rows: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(rows: int, dimension: int, seed: int) -> Tensor:
    """Samples whose empirical mean is exactly 0 and covariance (n - 1) exactly the identity."""
    centred = gaussian(rows, dimension, seed)
    centred = centred - centred.mean(0)
    unit: Tensor = torch.linalg.qr(centred).Q
    return unit * math.sqrt(rows - 1)


def frechet(a: Tensor, b: Tensor) -> float:
    return FeaturePool.of(b).frechet(a)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    return FeaturePool.of(b).kernel(a)


def textbook(a: Tensor, b: Tensor) -> float:
    """The definition, with scipy's matrix square root."""
    x, y = a.numpy(), b.numpy()
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * root))


def test_diagonal_gaussians_identical_sets_and_shifts_have_closed_forms() -> None:
    m1, m2, a, b = (gaussian(1, 12, seed)[0] for seed in range(4))
    rotation = torch.linalg.qr(gaussian(12, 12, 4)).Q
    x = (m1 + whitened(200, 12, 5) * a) @ rotation
    y = (m2 + whitened(90, 12, 6) * b) @ rotation
    expected = float(((m1 - m2) ** 2).sum() + ((a.abs() - b.abs()) ** 2).sum())
    assert frechet(x, y) == pytest.approx(expected, rel=1e-11)
    assert frechet(y, x) == pytest.approx(expected, rel=1e-11)
    for rows in (2, 10, 32, 33, 300):
        x, shift = 3 + gaussian(rows, 32, 0), gaussian(1, 32, 1)
        assert 0 <= frechet(x, x) < 1e-10
        assert frechet(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 200), (200, 20), (200, 150)], ids=str)
def test_the_matrix_square_root_gives_the_same_also_for_singular_covariances(n: int, m: int) -> None:
    a, b = gaussian(n, 64, 0) @ gaussian(64, 64, 1) / 8, 0.3 + gaussian(m, 64, 2)
    assert frechet(a, b) == pytest.approx(textbook(a, b), rel=1e-6)
    pool = FeaturePool.of(b)
    assert [pool.fid(a), pool.fid(a)] == pytest.approx([frechet(a, b)] * 2, abs=1e-4)
    assert math.isnan(pool.fid(a[:1])) and math.isnan(pool.fid(a * math.nan))


def test_torchmetrics_and_monai_agree() -> None:
    from monai.metrics.fid import get_fid_score
    from torchmetrics.image.fid import _compute_fid

    a, b = gaussian(400, 96, 0) * 1.2, 0.1 + gaussian(300, 96, 1)
    ours = frechet(a, b)
    assert ours == pytest.approx(float(_compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())), rel=1e-8)
    assert ours == pytest.approx(float(get_fid_score(a, b)), rel=1e-8)


def test_a_pool_scores_many_sets_in_float64_and_small_samples_are_far_apart_as_documented() -> None:
    pool = gaussian(500, 24, 0) + 1000
    pool_ = FeaturePool.of(pool)
    for seed in (1, 2):
        a = gaussian(60, 24, seed) + 1000
        assert pool_.frechet(a) == pytest.approx(textbook(a, pool), rel=1e-6)
        assert pool_.kernel(a) == kernel_distance(a, pool)
    assert frechet(pool.float(), pool.float()) < 1e-9
    # DATA.md B1: D = 128 against N = 2000: 58.2 at N = 100, 10.8 at N = 500.
    pool_ = FeaturePool.of(gaussian(2000, 128, 0))
    assert pool_.frechet(gaussian(100, 128, 1)) == pytest.approx(58.2, rel=0.05)
    assert pool_.frechet(gaussian(500, 128, 2)) == pytest.approx(10.8, rel=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_or_single_slice_is_nan(value: float) -> None:
    pool, broken = gaussian(40, 8, 0), gaussian(20, 8, 1)
    broken[3, 2] = value
    for bad in (broken, broken[:1], broken[:0]):
        assert math.isnan(frechet(bad, pool)) and math.isnan(kernel_distance(bad, pool))


def test_kernel_distance_is_the_double_sum_for_unequal_sizes_and_unbiased() -> None:
    a, b = gaussian(13, 5, 0), 0.4 + gaussian(21, 5, 1)

    def kernel(x: Tensor, y: Tensor) -> float:
        return (sum(float(p * q) for p, q in zip(x, y, strict=True)) / 5 + 1) ** 3

    def within(x: Tensor) -> float:
        pairs = [kernel(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(p, q) for p in a for q in b]
    expected = within(a) + within(b) - 2 * sum(across) / len(across)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)
    # The mean over 400 small samples of one distribution is 0 within 4 standard errors.
    values = np.array(
        [kernel_distance(gaussian(8, 4, 2 * i), gaussian(11, 4, 2 * i + 1)) for i in range(400)]
    )
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("rows", [40, 1100])
def test_torchmetrics_kernel_distance_agrees(rows: int) -> None:
    from torchmetrics.image.kid import poly_mmd

    a, b = gaussian(rows, 16, 0), 0.5 + 1.3 * gaussian(rows, 16, 1)
    assert kernel_distance(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-10)
