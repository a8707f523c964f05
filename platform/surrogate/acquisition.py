"""Hypervolume, and its expected improvement, by random scalarisations: any number of objectives, minimised.

The hypervolume that a set dominates is a mean over directions of its best scalarised point (Golovin & Zhang
2020, lemma 5), so expectations over a Gaussian posterior need neither boxes nor gradients. Arrays: n points,
m objectives, l directions, s samples.
"""

import math
from dataclasses import dataclass
from functools import reduce
from platform.pareto.dominance import Values

import numpy as np
from scipy.stats import norm, qmc

DIRECTIONS, SAMPLES = 128, 16
CHUNK = 64
"""Points at a time: then s x l numbers for each of them stay in a core's cache."""


@dataclass(frozen=True)
class HypervolumeImprovement:
    """Directions and normal samples by which improvements are measured, the same for all points compared."""

    corner: Values
    """The reference point [m]."""
    directions: Values
    """[l, m], in the objectives' units."""
    normals: Values
    """Standard normal samples [s, m]."""

    @classmethod
    def draw(
        cls,
        ideal: Values,
        corner: Values,
        rng: np.random.Generator,
        directions: int = DIRECTIONS,
        samples: int = SAMPLES,
    ) -> "HypervolumeImprovement":
        """Directions uniform on the positive sphere around the corner; ``samples`` is a power of two."""
        unit = np.abs(rng.standard_normal((directions, len(corner))))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cube = qmc.Sobol(len(corner), rng=rng).random(samples)
        normals = norm.ppf(np.clip(cube, 1e-4, 1 - 1e-4))
        return cls(corner, unit * np.maximum(corner - ideal, 1e-12), normals)

    def scalarised(self, values: Values) -> Values:
        """min_i max(0, (corner_i - y_i) / direction_i)^m of values [..., m]: [..., l]."""
        gains = np.clip(self.corner - values, 0, None)
        # Objective by objective: NumPy's minimum over a short axis and its powers take several times longer.
        ratios = (gains[..., j, None] / column for j, column in enumerate(self.directions.T))
        least = reduce(np.minimum, ratios)
        return np.asarray(reduce(np.multiply, [least] * len(self.corner)))

    def volume(self, best: Values) -> Values:
        """Hypervolume [...] of best scalarised values [..., l], in units of the box from ideal to corner."""
        m = len(self.corner)
        return np.asarray(best.mean(-1) * math.pi ** (m / 2) / math.gamma(m / 2 + 1) / 2**m)

    def expected_improvement(self, means: Values, deviations: Values, best: Values) -> Values:
        """Expected increase [n] of the volume over ``best`` [l] by independent normal values [n, m]."""
        improvements = np.empty(len(means))
        for start in range(0, len(means), CHUNK):
            part = slice(start, start + CHUNK)
            samples = means[part, None] + deviations[part, None] * self.normals
            improvements[part] = self.volume(np.clip(self.scalarised(samples) - best, 0, None)).mean(1)
        return improvements
