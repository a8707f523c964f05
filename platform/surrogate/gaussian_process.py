"""Gaussian process regression: Matern-5/2 with a length scale per input, and a quadratic trend of each input.

Inputs lie in the unit cube; outputs are standardised internally. Rasmussen & Williams 2006: marginal
likelihood and its gradient (section 5.4), trends with a Gaussian prior on their coefficients (section 2.7).
The prior of the length scales grows with the dimension (Hvarfner et al. 2024), so that many inputs are not
harder than few. The trend finds the effects of many inputs in few points, which the Matern part alone takes
for noise.
"""

from dataclasses import dataclass
from platform.pareto.dominance import Values

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import expit

NOISE_PRIOR = (np.log(1e-3), 1.0)
"""Prior mean and deviation of the log noise variance of standardised outputs."""
SCALE_DEVIATION = 1.0
"""Prior deviation of the log length scales."""
TREND_DEVIATION = 1.5
"""Prior deviation of the trend's share, in logits around a half."""
TREND_STARTS = (0.0, -6.0)
"""Logits of the trend's share at which fits start: the posterior may have a maximum with and one without."""
ITERATIONS = 60
MAX_FITTED = 150
"""Points, a random sample, to which hyperparameters are fitted: more take time and change them little."""


@dataclass(frozen=True)
class Kernel:
    """Covariance of standardised outputs: its mean variance over the unit cube is 1."""

    scales: Values
    """Length scales [d]."""
    trend: float
    """Share of the quadratic trend in the variance."""
    noise: float
    """Noise variance."""

    def covariance(self, a: Values, b: Values) -> Values:
        """Covariance [n, k] of points [n, d] and [k, d], without noise."""
        return np.asarray(
            (1 - self.trend) * matern(a, b, self.scales) + self.trend * quadratic(a) @ quadratic(b).T
        )

    def variance(self, points: Values) -> Values:
        """Variance [n] at points [n, d], without noise."""
        return np.asarray(1 - self.trend + self.trend * (quadratic(points) ** 2).sum(1))


@dataclass(frozen=True)
class Process:
    """A Gaussian process conditioned on outputs."""

    inputs: Values
    """[n, d]"""
    kernel: Kernel
    factor: Values
    """Lower Cholesky factor of the outputs' covariance [n, n]."""
    weights: Values
    """The inverse covariance times the standardised outputs [n]."""
    mean: float
    """Of the outputs, with ``deviation`` what they are standardised by."""
    deviation: float

    def predict(self, points: Values) -> tuple[Values, Values]:
        """Mean and standard deviation [k] of the noise-free function at points [k, d]."""
        cross = self.kernel.covariance(points, self.inputs)
        means = cross @ self.weights
        solved = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = np.clip(self.kernel.variance(points) - np.einsum("nk,nk->k", solved, solved), 1e-12, None)
        return self.mean + self.deviation * means, self.deviation * np.sqrt(variance)

    def conditioned(self, inputs: Values, outputs: Values) -> "Process":
        """A process with the same hyperparameters, conditioned on other outputs [n] at inputs [n, d]."""
        return condition(inputs, outputs, self.kernel, *standardisation(outputs))

    def fantasised(self, points: Values) -> "Process":
        """The process conditioned on fantasies: its own means at points [k, d] (Ginsbourger et al. 2010)."""
        means, _ = self.predict(points)
        standardised = self.factor @ (self.factor.T @ self.weights)
        outputs = np.append(self.mean + self.deviation * standardised, means)
        inputs = np.concatenate([self.inputs, points])
        return condition(inputs, outputs, self.kernel, self.mean, self.deviation)


def fit(inputs: Values, outputs: Values) -> Process:
    """The process of highest posterior density in its hyperparameters, after outputs [n] at inputs [n, d]."""
    mean, deviation = standardisation(outputs)
    sample = np.random.default_rng(0).permutation(len(inputs))[:MAX_FITTED]
    terms, targets = _InputTerms.of(inputs[sample]), (outputs[sample] - mean) / deviation
    optima = [_optimum(trend, terms, targets) for trend in TREND_STARTS]
    *logs, trend, noise = min(optima, key=lambda optimum: optimum[0])[1]
    kernel = Kernel(np.exp(logs), float(expit(trend)), float(np.exp(noise)))
    return condition(inputs, outputs, kernel, mean, deviation)


def condition(inputs: Values, outputs: Values, kernel: Kernel, mean: float, deviation: float) -> Process:
    """The process with given hyperparameters, conditioned on outputs [n] at inputs [n, d]."""
    covariance = kernel.covariance(inputs, inputs) + kernel.noise * np.eye(len(inputs))
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), (outputs - mean) / deviation, check_finite=False)
    return Process(inputs, kernel, np.tril(factor), weights, mean, deviation)


def standardisation(outputs: Values) -> tuple[float, float]:
    """Mean and deviation of outputs [n]; the deviation is 1 where they differ by rounding errors only."""
    deviation = float(outputs.std())
    return float(outputs.mean()), deviation if deviation > 1e-12 * np.abs(outputs).max() else 1.0


def matern(a: Values, b: Values, scales: Values) -> Values:
    """Matern-5/2 correlation [n, k] of points [n, d] and [k, d]."""
    a, b = a / scales, b / scales
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    r = np.sqrt(5 * np.clip(squared, 0, None))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def quadratic(points: Values) -> Values:
    """Legendre polynomials of degree 1 and 2 of each input [n, 2 d]; the sum of their squares has mean 1."""
    x = 2 * points - 1
    scaled = np.concatenate([np.sqrt(3) * x, np.sqrt(5) * (3 * x**2 - 1) / 2], axis=1)
    return np.asarray(scaled / np.sqrt(scaled.shape[1]))


def _prior(dimension: int) -> tuple[Values, Values]:
    """Mean and deviation of log length scales, the trend's logit and log noise [d + 2]."""
    means = [np.log(dimension) / 2] * dimension + [0.0, NOISE_PRIOR[0]]
    return np.array(means), np.array([SCALE_DEVIATION] * dimension + [TREND_DEVIATION, NOISE_PRIOR[1]])


def _optimum(trend: float, terms: "_InputTerms", targets: Values) -> tuple[float, Values]:
    """Negative log posterior and hyperparameters [d + 2] at the optimum reached from a trend's logit."""
    dimension = terms.differences.shape[2]
    start, _ = _prior(dimension)
    start[-2] = trend
    result = minimize(
        _negative_log_posterior,
        start,
        args=(terms, targets),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-4.0, 6.0)] * dimension + [(-6.0, 6.0), (np.log(1e-6), 0.0)],
        options={"maxiter": ITERATIONS},
    )
    return float(result.fun), result.x


@dataclass(frozen=True)
class _InputTerms:
    """What the posterior needs of inputs: squared differences [n, n, d], the trend's covariance [n, n]."""

    differences: Values
    trend: Values

    @classmethod
    def of(cls, inputs: Values) -> "_InputTerms":
        features = quadratic(inputs)
        return cls((inputs[:, None] - inputs[None]) ** 2, features @ features.T)


def _negative_log_posterior(theta: Values, terms: _InputTerms, targets: Values) -> tuple[float, Values]:
    """Value and gradient at ``theta`` [d + 2] as :func:`_prior` orders it."""
    inverse_squares, trend, noise = np.exp(-2 * theta[:-2]), expit(theta[-2]), np.exp(theta[-1])
    r = np.sqrt(5 * (terms.differences @ inverse_squares))
    decay = np.exp(-r)
    local = (1 + r + r**2 / 3) * decay
    covariance = (1 - trend) * local + trend * terms.trend
    covariance[np.diag_indices_from(covariance)] += noise
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    inverse = np.tril(dpotri(factor, lower=True)[0])
    inverse += np.tril(inverse, -1).T
    weights = inverse @ targets
    # d(log likelihood) = 1/2 tr((w w' - K^-1) dK); dK/dlog l = 5/3 (1 + r) exp(-r) difference / l^2
    outer = np.outer(weights, weights) - inverse
    slope = (1 - trend) * outer * (5 / 3) * (1 + r) * decay
    of_trend = trend * (1 - trend) * np.vdot(outer, terms.trend - local)
    gradient = 0.5 * np.array(
        [
            *(slope.reshape(-1) @ terms.differences.reshape(slope.size, -1) * inverse_squares),
            of_trend,
            noise * np.trace(outer),
        ]
    )
    likelihood = -0.5 * targets @ weights - np.log(np.diag(factor)).sum()
    means, deviations = _prior(len(theta) - 2)
    standard = (theta - means) / deviations
    return float(0.5 * standard @ standard - likelihood), standard / deviations - gradient
