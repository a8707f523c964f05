"""Gaussian processes against finite differences, scikit-learn, conditioning by hand and known functions."""

import time
from functools import cache
from platform.surrogate import gaussian_process
from platform.surrogate.gaussian_process import Kernel, Process, fit
from typing import Any

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process.kernels import (  # type: ignore[import-untyped]
    ConstantKernel,
    Matern,
    PairwiseKernel,
)

Array = np.ndarray[Any, Any]


def sample(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs [n, d], and outputs that depend on all of them a little."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((n, d))
    return inputs, np.sin(4 * inputs[:, 0]) + inputs.sum(1) ** 2 / d + 0.1 * rng.standard_normal(n)


@cache
def fitted(n: int, d: int) -> Process:
    return fit(*sample(n, d))


def kernel(scales: Array, trend: float) -> Any:
    """Of scikit-learn: the trend's part is a sum over inputs and degrees, by numpy's Legendre polynomials."""

    def trends(a: Array, b: Array, **_: object) -> float:
        degrees = ([0, 1], [0, 0, 1])
        sums = [legval(2 * a - 1, d) @ legval(2 * b - 1, d) for d in degrees]
        return float((3 * sums[0] + 5 * sums[1]) / (2 * len(a)))

    local = ConstantKernel(1 - trend) * Matern(scales, nu=2.5)
    return local + ConstantKernel(trend) * PairwiseKernel(metric=trends)


def peer_of(process: Process, inputs: Array, outputs: Array) -> GaussianProcessRegressor:
    """Scikit-learn's process with the same hyperparameters."""
    own = process.kernel
    options = {"alpha": own.noise, "optimizer": None, "normalize_y": True}
    return GaussianProcessRegressor(kernel(own.scales, own.trend), **options).fit(inputs, outputs)


def posterior(n: int, d: int) -> Any:
    """Negative log posterior and its gradient as a function of the hyperparameters; the targets."""
    inputs, outputs = sample(n, d)
    terms, targets = gaussian_process._InputTerms.of(inputs), (outputs - outputs.mean()) / outputs.std()
    return lambda theta: gaussian_process._negative_log_posterior(theta, terms, targets), inputs, targets


@pytest.mark.parametrize(("n", "d"), [(5, 1), (12, 3), (30, 7)])
def test_the_posteriors_gradient_is_that_of_finite_differences(n: int, d: int) -> None:
    value, _, _ = posterior(n, d)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        theta = np.append(rng.normal(0, 0.7, d + 1), rng.normal(-3, 1))
        numeric = approx_fprime(theta, lambda t: value(t)[0], 1e-6)
        np.testing.assert_allclose(value(theta)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_posterior_is_scikit_learns_likelihood_and_the_prior() -> None:
    value, inputs, targets = posterior(20, 2)
    means, deviations = gaussian_process._prior(2)
    for theta in np.random.default_rng(1).normal(0, 0.7, (5, 4)):
        theta[-1] = np.log(0.01)
        log_prior = -(((theta - means) / deviations) ** 2).sum() / 2  # without its constant
        peer = GaussianProcessRegressor(
            kernel(np.exp(theta[:2]), 1 / (1 + np.exp(-theta[2]))), alpha=0.01, optimizer=None
        ).fit(inputs, targets)
        likelihood = peer.log_marginal_likelihood_value_ + 10 * np.log(2 * np.pi)
        assert value(theta)[0] + log_prior == pytest.approx(-likelihood, rel=1e-9)


def test_the_prior_variance_is_one_over_the_cube() -> None:
    points = np.random.default_rng(0).random((200_000, 3))
    for trend in (0.2, 0.9):
        prior = Kernel(np.ones(3), trend, 0.0)
        assert prior.variance(points).mean() == pytest.approx(1, abs=0.01)
        few = points[:50]
        np.testing.assert_allclose(prior.variance(few), np.diag(prior.covariance(few, few)))


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_predictions_are_scikit_learns(unit: float) -> None:
    inputs, outputs = sample(40, 3)
    outputs = outputs * unit + 7 * unit
    process = fit(inputs, outputs)
    points = np.random.default_rng(5).random((25, 3)) * 1.4 - 0.2
    means, deviations = peer_of(process, inputs, outputs).predict(points, return_std=True)
    predicted = process.predict(points)
    np.testing.assert_allclose(predicted[0], means, rtol=1e-8)
    np.testing.assert_allclose(predicted[1], deviations, rtol=1e-5)


def test_the_fit_is_no_worse_than_scikit_learns_at_predicting() -> None:
    """Which fits by likelihood alone and knows the noise: the prior must not cost accuracy."""
    errors = []
    for seed in range(5):
        (inputs, outputs), (points, truth) = sample(40, 3, seed), sample(300, 3, seed + 100)
        peer = GaussianProcessRegressor(
            Matern(np.ones(3), (0.02, 400), nu=2.5), alpha=0.01 / outputs.var(), normalize_y=True
        ).fit(inputs, outputs)
        predicted = fit(inputs, outputs).predict(points)[0], peer.predict(points)
        errors.append([np.mean((means - truth) ** 2) for means in predicted])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 1.15 * theirs


def test_the_fit_is_a_maximum_of_the_posterior() -> None:
    value, _, _ = posterior(25, 2)
    best = fitted(25, 2).kernel
    theta = np.log([*best.scales, best.trend / (1 - best.trend), best.noise])
    lowest, gradient = value(theta)
    assert np.abs(gradient).max() < 0.05
    for step in np.random.default_rng(0).normal(0, 0.5, (50, 4)):
        assert value(theta + step)[0] > lowest


def test_fantasies_leave_the_means_and_condition_the_variance() -> None:
    """The posterior covariance after k more noisy points is the Schur complement of theirs."""
    inputs, process, rng = sample(30, 3)[0], fitted(30, 3), np.random.default_rng(2)
    added, points = rng.random((4, 3)), rng.random((60, 3))
    after = process.fantasised(added)
    (means, deviations), before = after.predict(points), process.predict(points)
    np.testing.assert_allclose(means, before[0], atol=1e-7)
    assert np.all(deviations <= before[1] + 1e-9) and deviations.mean() < 0.99 * before[1].mean()
    every = np.concatenate([inputs, added])
    prior = kernel(process.kernel.scales, process.kernel.trend)
    gram, cross = prior(every) + process.kernel.noise * np.eye(34), prior(points, every)
    variance = prior.diag(points) - np.einsum("kn,nm,km->k", cross, np.linalg.inv(gram), cross)
    np.testing.assert_allclose((deviations / process.deviation) ** 2, variance, rtol=1e-4, atol=1e-8)
    assert np.all(after.predict(added)[1] < 1.01 * process.deviation * np.sqrt(process.kernel.noise))


def test_conditioning_on_other_outputs_keeps_the_hyperparameters() -> None:
    process, (more, others) = fitted(30, 3), sample(35, 3, seed=4)
    updated = process.conditioned(more, 3 * others - 5)
    assert updated.kernel is process.kernel
    expected = peer_of(process, more, 3 * others - 5).predict(process.inputs)
    np.testing.assert_allclose(updated.predict(process.inputs)[0], expected, rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_inputs_that_matter_have_shorter_length_scales(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.random((60, 8))
    outputs = np.sin(9 * inputs[:, 2]) + np.cos(5 * inputs[:, 5]) + 0.02 * rng.standard_normal(60)
    scales = fit(inputs, outputs).kernel.scales
    order = np.argsort(scales)
    assert list(order[:2]) == [2, 5] and scales[order[2]] > 3 * scales[5]


@pytest.mark.parametrize("seed", range(3))
def test_small_effects_of_many_inputs_are_found_in_few_points(seed: int) -> None:
    """One input explains most of the output, eight little each: noise to a Matern process alone."""
    rng = np.random.default_rng(seed)
    inputs, points = rng.random((40, 9)), rng.random((300, 9))
    best = rng.uniform(0.2, 0.8, 8)

    def small(x: Array) -> Array:
        return np.asarray(0.6 * ((x[:, 1:] - best) ** 2).sum(1))

    outputs = np.sin(4 * inputs[:, 0]) + small(inputs) + 0.01 * rng.standard_normal(40)
    points[:, 0] = 0.5
    peer = GaussianProcessRegressor(Matern(np.ones(9), (0.02, 400), nu=2.5), alpha=1e-3, normalize_y=True)
    predicted = fit(inputs, outputs).predict(points)[0], peer.fit(inputs, outputs).predict(points)
    ours, theirs = (np.corrcoef(means, small(points))[0, 1] for means in predicted)
    assert ours > 0.9 and ours > theirs + 0.1, (ours, theirs)


@pytest.mark.parametrize("deviation", [0.05, 0.3])
def test_noise_is_recovered(deviation: float) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.random((150, 1))
    process = fit(inputs, np.sin(6 * inputs[:, 0]) + deviation * rng.standard_normal(150))
    assert process.deviation * np.sqrt(process.kernel.noise) == pytest.approx(deviation, rel=0.2)


def test_intervals_have_their_nominal_coverage() -> None:
    """Of functions drawn from a process of this kind, 95 % of values are within 1.96 deviations."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        inputs = rng.random((90, 2))
        gram = Matern([0.4, 0.9], nu=2.5)(inputs) + 1e-4 * np.eye(90)
        values = np.linalg.cholesky(gram) @ rng.standard_normal(90)
        means, deviations = fit(inputs[:30], values[:30]).predict(inputs[30:])
        inside += list(np.abs(means - values[30:]) < 1.96 * deviations)
    assert 0.9 < np.mean(inside) <= 0.99


def test_duplicates_and_constants_are_no_problem() -> None:
    inputs, outputs = sample(20, 3)
    repeated = np.repeat(inputs, 6, axis=0)
    means, _ = fit(repeated, np.repeat(outputs, 6)).predict(inputs)
    np.testing.assert_allclose(means, outputs, atol=0.05)
    for constant in (0.1, 0.0, -3.0):
        means, deviations = fit(repeated, np.full(120, constant)).predict(inputs + 0.1)
        np.testing.assert_allclose(means, constant, atol=1e-9)
        assert np.all(np.isfinite(deviations)) and np.all(deviations > 1e-4), "not a deviation of rounding"
    np.testing.assert_allclose(fit(inputs[:1], outputs[:1]).predict(inputs)[0], outputs[0])
    two = np.array([[0.2], [0.8]])  # contradicting outputs of one point are averaged
    noise = np.tile([0.5, -0.5], 20)
    means, _ = fit(np.repeat(two, 20, axis=0), np.repeat([0.0, 5.0], 20) + noise).predict(two)
    np.testing.assert_allclose(means, [0, 5], atol=0.1)
    assert [part.shape for part in fitted(30, 3).predict(np.empty((0, 3)))] == [(0,), (0,)]


def test_300_points_of_13_inputs_are_fitted_in_seconds() -> None:
    data = sample(300, 13)
    start = time.process_time()
    fit(*data)
    assert time.process_time() - start < 20  # 0.4 on an idle core
