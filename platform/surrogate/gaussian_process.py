"""Gaussian process regression: Matern-5/2 with a length scale per input, and a quadratic trend of each input.

Inputs lie in the unit cube; outputs are standardised inside. Rasmussen & Williams 2006: posterior (section
5.4), trends with a Gaussian prior on their coefficients (section 2.7). The prior of the length scales grows
with the dimension as in Hvarfner et al. 2024: 20 inputs are no harder. The trend finds in few points what
each of many inputs does by itself, which the Matern part alone takes for noise.
"""

from dataclasses import dataclass
from platform.pareto.dominance import Values

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import expit

NOISE_PRIOR = (np.log(1e-3), 1.0)
"""Mean and deviation of the log noise variance, outputs having variance 1."""
SCALE_SPREAD = 1.0
"""Deviation of the log length scales a priori."""
TREND_SPREAD = 1.5
"""Deviation of the trend's share, in logits around a half."""
STARTS = (0.0, -6.0)
"""Logits of the trend's share from which fits start: the posterior may have a top with and one without."""
ITERATIONS = 60
FITTED = 150
"""Points, drawn of all, to which hyperparameters are fitted: more cost time and change them little."""


@dataclass(frozen=True)
class Kernel:
    """What outputs have in common, their variance being 1 over the cube."""

    scales: Values
    """Length scales [d]."""
    trend: float
    """Share of the variance that is the quadratic trend's."""
    noise: float

    def covariance(self, a: Values, b: Values) -> Values:
        """[n, k] of points [n, d] and [k, d], without noise."""
        return np.asarray(
            (1 - self.trend) * matern(a, b, self.scales) + self.trend * quadratic(a) @ quadratic(b).T
        )

    def variance(self, points: Values) -> Values:
        """[n] of points [n, d], without noise."""
        return np.asarray(1 - self.trend + self.trend * (quadratic(points) ** 2).sum(1))


@dataclass(frozen=True)
class Process:
    """A fitted process."""

    inputs: Values
    """[n, d]"""
    kernel: Kernel
    factor: Values
    """Lower Cholesky factor of the outputs' covariance [n, n]."""
    weights: Values
    """Its inverse times the standardised outputs [n]."""
    centre: float
    spread: float

    def predict(self, points: Values) -> tuple[Values, Values]:
        """Mean and standard deviation [k] of the noise-free function at points [k, d]."""
        cross = self.kernel.covariance(points, self.inputs)
        mean = cross @ self.weights
        solved = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = np.clip(self.kernel.variance(points) - np.einsum("nk,nk->k", solved, solved), 1e-12, None)
        return self.centre + self.spread * mean, self.spread * np.sqrt(variance)

    def conditioned(self, inputs: Values, outputs: Values) -> "Process":
        """A process of the same hyperparameters after other outputs [n] at inputs [n, d]."""
        return condition(inputs, outputs, self.kernel, *standard(outputs))

    def believe(self, points: Values) -> "Process":
        """The process after its own means at points [k, d] came true."""
        means, _ = self.predict(points)
        known = self.factor @ (self.factor.T @ self.weights)
        outputs = np.append(self.centre + self.spread * known, means)
        inputs = np.concatenate([self.inputs, points])
        return condition(inputs, outputs, self.kernel, self.centre, self.spread)


def fit(inputs: Values, outputs: Values) -> Process:
    """The process that is most probable a posteriori after outputs [n] at inputs [n, d]."""
    centre, spread = standard(outputs)
    some = np.random.default_rng(0).permutation(len(inputs))[:FITTED]
    known, targets = _Known.of(inputs[some]), (outputs[some] - centre) / spread
    tops = [_climbed(trend, known, targets) for trend in STARTS]
    *logs, trend, noise = min(tops, key=lambda top: top[0])[1]
    kernel = Kernel(np.exp(logs), float(expit(trend)), float(np.exp(noise)))
    return condition(inputs, outputs, kernel, centre, spread)


def condition(inputs: Values, outputs: Values, kernel: Kernel, centre: float, spread: float) -> Process:
    """The process of given hyperparameters after the outputs."""
    covariance = kernel.covariance(inputs, inputs) + kernel.noise * np.eye(len(inputs))
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), (outputs - centre) / spread, check_finite=False)
    return Process(inputs, kernel, np.tril(factor), weights, centre, spread)


def standard(outputs: Values) -> tuple[float, float]:
    """Centre and spread that make outputs standard; a spread that is but rounding is none, and 1 here."""
    spread = float(outputs.std())
    return float(outputs.mean()), spread if spread > 1e-12 * np.abs(outputs).max() else 1.0


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
    return np.array(means), np.array([SCALE_SPREAD] * dimension + [TREND_SPREAD, NOISE_PRIOR[1]])


def _climbed(trend: float, known: "_Known", targets: Values) -> tuple[float, Values]:
    """Negative log posterior and hyperparameters [d + 2] at the top above the prior's mean with a trend."""
    dimension = known.differences.shape[2]
    start, _ = _prior(dimension)
    start[-2] = trend
    found = minimize(
        _negative_log_posterior,
        start,
        args=(known, targets),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-4.0, 6.0)] * dimension + [(-6.0, 6.0), (np.log(1e-6), 0.0)],
        options={"maxiter": ITERATIONS},
    )
    return float(found.fun), found.x


@dataclass(frozen=True)
class _Known:
    """What the posterior needs of inputs: squared differences [n, n, d], the trend's covariance [n, n]."""

    differences: Values
    trend: Values

    @classmethod
    def of(cls, inputs: Values) -> "_Known":
        features = quadratic(inputs)
        return cls((inputs[:, None] - inputs[None]) ** 2, features @ features.T)


def _negative_log_posterior(theta: Values, known: _Known, targets: Values) -> tuple[float, Values]:
    """Value and gradient at ``theta`` [d + 2] as :func:`_prior` orders it."""
    inverse_squares, trend, noise = np.exp(-2 * theta[:-2]), expit(theta[-2]), np.exp(theta[-1])
    r = np.sqrt(5 * (known.differences @ inverse_squares))
    decay = np.exp(-r)
    local = (1 + r + r**2 / 3) * decay
    covariance = (1 - trend) * local + trend * known.trend
    covariance[np.diag_indices_from(covariance)] += noise
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    inverse = np.tril(dpotri(factor, lower=True)[0])
    inverse += np.tril(inverse, -1).T
    weights = inverse @ targets
    # d(log likelihood) = 1/2 tr((w w' - K^-1) dK); dK/dlog l = 5/3 (1 + r) exp(-r) difference / l^2
    outer = np.outer(weights, weights) - inverse
    slope = (1 - trend) * outer * (5 / 3) * (1 + r) * decay
    of_trend = trend * (1 - trend) * np.vdot(outer, known.trend - local)
    gradient = 0.5 * np.array(
        [
            *(slope.reshape(-1) @ known.differences.reshape(slope.size, -1) * inverse_squares),
            of_trend,
            noise * np.trace(outer),
        ]
    )
    likelihood = -0.5 * targets @ weights - np.log(np.diag(factor)).sum()
    means, spreads = _prior(len(theta) - 2)
    standard = (theta - means) / spreads
    return float(0.5 * standard @ standard - likelihood), standard / spreads - gradient
