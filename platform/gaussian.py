"""Gaussian process regression: Matern-5/2, a length scale per input, hyperparameters by maximum a posteriori.

Inputs lie in the unit cube; outputs are standardised inside. Rasmussen & Williams 2006 (section 5.4); the
prior of the length scales grows with the dimension as in Hvarfner et al. 2024: 20 inputs are no harder.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Values = NDArray[np.float64]

NOISE_PRIOR = (np.log(1e-3), 2.0)
"""Mean and deviation of the log noise variance, outputs having variance 1."""
SCALE_SPREAD = 1.0
"""Deviation of the log length scales a priori."""
ITERATIONS = 60


@dataclass(frozen=True)
class Process:
    """A fitted process."""

    inputs: Values
    """[n, d]"""
    scales: Values
    """Length scales [d]."""
    noise: float
    factor: Values
    """Lower Cholesky factor of the outputs' covariance [n, n]."""
    weights: Values
    """Its inverse times the standardised outputs [n]."""
    centre: float
    spread: float

    def predict(self, points: Values) -> tuple[Values, Values]:
        """Mean and standard deviation [k] of the noise-free function at points [k, d]."""
        cross = matern(points, self.inputs, self.scales)
        mean = cross @ self.weights
        solved = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = np.clip(1 - np.einsum("nk,nk->k", solved, solved), 1e-12, None)
        return self.centre + self.spread * mean, self.spread * np.sqrt(variance)

    def conditioned(self, inputs: Values, outputs: Values) -> "Process":
        """A process of the same hyperparameters after other outputs [n] at inputs [n, d]."""
        return condition(inputs, outputs, self.scales, self.noise, *standard(outputs))

    def believe(self, points: Values) -> "Process":
        """The process after its own means at points [k, d] came true."""
        means, _ = self.predict(points)
        known = self.factor @ (self.factor.T @ self.weights)
        outputs = np.append(self.centre + self.spread * known, means)
        inputs = np.concatenate([self.inputs, points])
        return condition(inputs, outputs, self.scales, self.noise, self.centre, self.spread)


def fit(inputs: Values, outputs: Values) -> Process:
    """The process that is most probable a posteriori after outputs [n] at inputs [n, d]."""
    centre, spread = standard(outputs)
    targets = (outputs - centre) / spread
    dimension = inputs.shape[1]
    start = np.append(np.full(dimension, _scale_prior(dimension)), NOISE_PRIOR[0])
    differences = (inputs[:, None] - inputs[None]) ** 2
    found = minimize(
        _negative_log_posterior,
        start,
        args=(differences, targets),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-4.0, 6.0)] * dimension + [(np.log(1e-6), 0.0)],
        options={"maxiter": ITERATIONS},
    )
    return condition(inputs, outputs, np.exp(found.x[:-1]), float(np.exp(found.x[-1])), centre, spread)


def condition(
    inputs: Values, outputs: Values, scales: Values, noise: float, centre: float, spread: float
) -> Process:
    """The process of given hyperparameters after the outputs."""
    covariance = matern(inputs, inputs, scales) + noise * np.eye(len(inputs))
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), (outputs - centre) / spread, check_finite=False)
    return Process(inputs, scales, noise, np.tril(factor), weights, centre, spread)


def standard(outputs: Values) -> tuple[float, float]:
    """Centre and spread that make outputs standard."""
    return float(outputs.mean()), float(outputs.std()) or 1.0


def matern(a: Values, b: Values, scales: Values) -> Values:
    """Matern-5/2 correlation [n, k] of points [n, d] and [k, d]."""
    a, b = a / scales, b / scales
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    r = np.sqrt(5 * np.clip(squared, 0, None))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def _scale_prior(dimension: int) -> float:
    return float(np.log(dimension) / 2)


def _negative_log_posterior(theta: Values, differences: Values, targets: Values) -> tuple[float, Values]:
    """Value and gradient at log length scales and log noise ``theta`` [d + 1]; differences [n, n, d]."""
    inverse_squares = np.exp(-2 * theta[:-1])
    noise = np.exp(theta[-1])
    r = np.sqrt(5 * (differences @ inverse_squares))
    decay = np.exp(-r)
    covariance = (1 + r + r**2 / 3) * decay
    covariance[np.diag_indices_from(covariance)] += noise
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(targets)), check_finite=False)
    weights = inverse @ targets
    # d(log likelihood) = 1/2 tr((w w' - K^-1) dK); dK/dlog l = 5/3 (1 + r) exp(-r) difference / l^2
    outer = np.outer(weights, weights) - inverse
    slope = outer * (5 / 3) * (1 + r) * decay
    gradient = np.append(
        0.5 * np.einsum("ij,ijd->d", slope, differences) * inverse_squares, 0.5 * noise * np.trace(outer)
    )
    likelihood = -0.5 * targets @ weights - np.log(np.diag(factor)).sum()
    means = np.append(np.full(len(theta) - 1, _scale_prior(len(theta) - 1)), NOISE_PRIOR[0])
    spreads = np.append(np.full(len(theta) - 1, SCALE_SPREAD), NOISE_PRIOR[1])
    standard = (theta - means) / spreads
    value = -likelihood + 0.5 * float(standard @ standard)
    return float(value), -(gradient - standard / spreads)
