"""Frechet and kernel distances against closed forms, scipy, torchmetrics, monai and brute force."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from trainers.metrics.frechet import (
    FeaturePool,
    Interval,
    frechet_distance,
    kernel_distance,
    subject_bootstrap,
    subject_jackknife,
)


def gaussian(rows: int, dimension: int, seed: int) -> Tensor:
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(rows: int, dimension: int, seed: int) -> Tensor:
    """Samples whose empirical mean is exactly 0 and covariance (n - 1) exactly the identity."""
    centred = gaussian(rows, dimension, seed)
    centred = centred - centred.mean(0)
    unit: Tensor = torch.linalg.qr(centred).Q
    return unit * math.sqrt(rows - 1)


def textbook(a: Tensor, b: Tensor) -> float:
    """The definition, with scipy's matrix square root."""
    x, y = a.numpy(), b.numpy()
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * root))


def test_diagonal_gaussians_give_the_closed_form_in_any_rotation() -> None:
    m1, m2, a, b = (gaussian(1, 12, seed)[0] for seed in range(4))
    rotation = torch.linalg.qr(gaussian(12, 12, 4)).Q
    x = (m1 + whitened(200, 12, 5) * a) @ rotation
    y = (m2 + whitened(90, 12, 6) * b) @ rotation
    expected = float(((m1 - m2) ** 2).sum() + ((a.abs() - b.abs()) ** 2).sum())
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-11)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("rows", [2, 10, 32, 33, 300])
def test_identical_sets_are_at_0_and_a_shift_at_its_square(rows: int) -> None:
    x, shift = 3 + gaussian(rows, 32, 0), gaussian(1, 32, 1)
    assert 0 <= frechet_distance(x, x) < 1e-10
    assert frechet_distance(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 200), (200, 20), (200, 150)], ids=str)
def test_the_matrix_square_root_gives_the_same_also_for_singular_covariances(n: int, m: int) -> None:
    a, b = gaussian(n, 64, 0) @ gaussian(64, 64, 1) / 8, 0.3 + gaussian(m, 64, 2)
    assert frechet_distance(a, b) == pytest.approx(textbook(a, b), rel=1e-6)


def test_torchmetrics_and_monai_agree() -> None:
    from monai.metrics.fid import get_fid_score
    from torchmetrics.image.fid import _compute_fid

    a, b = gaussian(400, 96, 0) * 1.2, 0.1 + gaussian(300, 96, 1)
    ours = frechet_distance(a, b)
    assert ours == pytest.approx(float(_compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())), rel=1e-8)
    assert ours == pytest.approx(float(get_fid_score(a, b)), rel=1e-8)


def test_a_prepared_reference_scores_many_sets_and_keeps_float64() -> None:
    pool = gaussian(500, 24, 0) + 1000
    reference = FeaturePool.of(pool)
    for seed in (1, 2):
        a = gaussian(60, 24, seed) + 1000
        assert reference.frechet(a) == pytest.approx(textbook(a, pool), rel=1e-6)
        assert reference.kernel(a) == kernel_distance(a, pool)
    assert frechet_distance(pool.float(), pool.float()) < 1e-9


def test_small_samples_of_one_distribution_are_far_apart_as_documented() -> None:
    """DATA.md B1: D = 128 against N = 2000: 58.2 at N = 100, 10.8 at N = 500."""
    reference = FeaturePool.of(gaussian(2000, 128, 0))
    assert reference.frechet(gaussian(100, 128, 1)) == pytest.approx(58.2, rel=0.05)
    assert reference.frechet(gaussian(500, 128, 2)) == pytest.approx(10.8, rel=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_or_single_slice_is_nan(value: float) -> None:
    pool, broken = gaussian(40, 8, 0), gaussian(20, 8, 1)
    broken[3, 2] = value
    for bad in (broken, broken[:1]):
        assert math.isnan(frechet_distance(bad, pool)) and math.isnan(kernel_distance(bad, pool))


def test_kernel_distance_is_the_double_sum_for_unequal_sizes() -> None:
    a, b = gaussian(13, 5, 0), 0.4 + gaussian(21, 5, 1)

    def kernel(x: Tensor, y: Tensor) -> float:
        return (sum(float(p * q) for p, q in zip(x, y, strict=True)) / 5 + 1) ** 3

    def within(x: Tensor) -> float:
        pairs = [kernel(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(p, q) for p in a for q in b]
    expected = within(a) + within(b) - 2 * sum(across) / len(across)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("rows", [40, 1100])
def test_torchmetrics_kernel_distance_agrees(rows: int) -> None:
    from torchmetrics.image.kid import poly_mmd

    a, b = gaussian(rows, 16, 0), 0.5 + 1.3 * gaussian(rows, 16, 1)
    assert kernel_distance(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-10)


def test_kernel_distance_is_unbiased() -> None:
    """The mean over 400 small samples of one distribution is 0 within 4 standard errors."""
    values = np.array(
        [kernel_distance(gaussian(8, 4, 2 * i), gaussian(11, 4, 2 * i + 1)) for i in range(400)]
    )
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))


SUBJECTS = [(5 * s, 5 * s + 5) for s in range(25)]


def clustered(seed: int) -> Tensor:
    """25 subjects of 5 slices, two features; half the variance lies between subjects."""
    between = gaussian(25, 2, seed).repeat_interleave(5, 0)
    return 0.7 + (between + gaussian(125, 2, 10_000 + seed)) / math.sqrt(2)


def bootstrap(features: Tensor, distance: Callable[[Tensor], float]) -> Interval:
    return subject_bootstrap(features, SUBJECTS, distance, resamples=80, level=0.9)


def jackknife(features: Tensor, distance: Callable[[Tensor], float]) -> Interval:
    return subject_jackknife(features, SUBJECTS, distance, level=0.9)


@pytest.mark.parametrize("interval_of", [bootstrap, jackknife])
@pytest.mark.parametrize("name", ["frechet", "kernel"])
def test_intervals_cover_what_the_estimator_gives_on_average(
    name: str, interval_of: Callable[[Tensor, Callable[[Tensor], float]], Interval]
) -> None:
    """90 % intervals of 60 cohorts: between 80 and 98 % hold the mean over 300 other cohorts."""
    distance = getattr(FeaturePool.of(gaussian(400, 2, 999)), name)
    truth = np.mean([distance(clustered(seed)) for seed in range(1000, 1300)])
    intervals = [interval_of(clustered(seed), distance) for seed in range(60)]
    assert 0.8 <= np.mean([interval.low <= truth <= interval.high for interval in intervals]) <= 0.98


@pytest.mark.parametrize("name", ["frechet", "kernel"])
def test_copies_of_subjects_do_not_push_the_bootstrap_off_its_estimate_but_widen_it(name: str) -> None:
    distance = getattr(FeaturePool.of(gaussian(400, 48, 0)), name)
    features, subjects = gaussian(60, 48, 1), [(10 * s, 10 * s + 10) for s in range(6)]
    copied = torch.cat([features[:30], features[:30]])
    wide = subject_bootstrap(features, subjects, distance, resamples=60)
    narrow = subject_jackknife(features, subjects, distance)
    assert distance(copied) > wide.estimate == narrow.estimate
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_the_jackknife_of_a_mean_is_its_standard_error_over_subjects() -> None:
    features = gaussian(125, 1, 0)
    interval = jackknife(features, lambda rows: float(rows.mean()))
    error = float(features.reshape(25, 5).mean(1).std()) / 5
    assert interval.estimate == pytest.approx(float(features.mean()))
    assert interval.high - interval.low == pytest.approx(2 * 1.6448536 * error, rel=1e-6)


def test_bootstrap_resamples_subjects_and_not_slices() -> None:
    """Slices of a subject that are copies add nothing: the interval is that of one slice a subject."""
    reference = FeaturePool.of(gaussian(300, 2, 0))
    single = gaussian(25, 2, 1)
    copied = single.repeat_interleave(5, 0)

    def mean_shift(features: Tensor) -> float:
        return float((features.mean(0) - reference.features.mean(0)).square().sum())

    alone = subject_bootstrap(single, [(s, s + 1) for s in range(25)], mean_shift)
    copies = subject_bootstrap(copied, SUBJECTS, mean_shift)
    assert copies.low == pytest.approx(alone.low) and copies.high == pytest.approx(alone.high)


def test_bootstrap_repeats_with_its_seed_and_holds_its_estimate() -> None:
    reference, features = FeaturePool.of(gaussian(200, 2, 0)), clustered(3)
    first = subject_bootstrap(features, SUBJECTS, reference.frechet, resamples=50, seed=1)
    assert first == subject_bootstrap(features, SUBJECTS, reference.frechet, resamples=50, seed=1)
    assert first != subject_bootstrap(features, SUBJECTS, reference.frechet, resamples=50, seed=2)
    assert first.low < first.estimate == reference.frechet(features) < first.high
