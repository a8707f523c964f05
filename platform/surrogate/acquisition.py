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
"""Points at a time: as many times s x l numbers stay in a core's cache."""


@dataclass(frozen=True)
class HypervolumeImprovement:
    """Directions and normal draws with which improvements are measured, the same for all points compared."""

    corner: Values
    """[m]"""
    along: Values
    """Directions [l, m], in the objectives' units."""
    normals: Values
    """Standard normal draws [s, m]."""

    @classmethod
    def draw(
        cls,
        ideal: Values,
        corner: Values,
        rng: np.random.Generator,
        lines: int = DIRECTIONS,
        samples: int = SAMPLES,
    ) -> "HypervolumeImprovement":
        """Directions uniform on the positive sphere around the corner; ``samples`` is a power of two."""
        lengths = np.abs(rng.standard_normal((lines, len(corner))))
        lengths /= np.linalg.norm(lengths, axis=1, keepdims=True)
        cube = qmc.Sobol(len(corner), rng=rng).random(samples)
        return cls(
            corner, lengths * np.maximum(corner - ideal, 1e-12), norm.ppf(np.clip(cube, 1e-4, 1 - 1e-4))
        )

    def scalarised(self, values: Values) -> Values:
        """min_i max(0, (corner_i - y_i) / along_i)^m of values [..., m]: [..., l]."""
        gains = np.clip(self.corner - values, 0, None)
        # Objective by objective: numpy's minimum over a short axis, and powers, take several times as long.
        least = reduce(np.minimum, (gains[..., j, None] / along for j, along in enumerate(self.along.T)))
        return np.asarray(reduce(np.multiply, [least] * len(self.corner)))

    def volume(self, best: Values) -> Values:
        """Hypervolume [...], in units of the box from ideal to corner, of scalarised values [..., l]."""
        m = len(self.corner)
        return np.asarray(best.mean(-1) * math.pi ** (m / 2) / math.gamma(m / 2 + 1) / 2**m)

    def expected_improvement(self, means: Values, deviations: Values, best: Values) -> Values:
        """Expected growth [n] of the volume beyond ``best`` [l] by independent normal values [n, m]."""
        found = np.empty(len(means))
        for start in range(0, len(means), CHUNK):
            part = slice(start, start + CHUNK)
            draws = means[part, None] + deviations[part, None] * self.normals
            found[part] = self.volume(np.clip(self.scalarised(draws) - best, 0, None)).mean(1)
        return found
