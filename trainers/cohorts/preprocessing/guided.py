"""The contrast of one volume with the detail of others: the guided filter (He, Sun & Tang 2013)."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from trainers.data.arrays import Array

WIDTH = 5.0
"""Standard deviation (mm) of the window within which the contrasts are related: a slab's thickness."""
RIDGE = 1e-4
"""Variance (intensities in [0, 1]) of a guide below which it says nothing."""


def guided(contrast: Array, guides: Sequence[Array], brain: Array, spacing: float) -> Array:
    """The affine function of the ``guides`` [X, Y, Z], in each window, that is nearest to ``contrast``.

    Equations 5, 6 and 8 of the paper with Gaussian windows, and equation 19 for several guides. Windows end
    at the ``brain``'s edge; outside, the result is ``contrast``.
    """
    weight = brain.astype(np.float32)
    total = np.maximum(_window(weight, spacing), 1e-6)

    def mean(values: Array) -> Array:
        return np.asarray(_window(values * weight, spacing) / total)

    means, level = [mean(guide) for guide in guides], mean(contrast)
    right = np.stack([mean(g * contrast) - m * level for g, m in zip(guides, means, strict=True)], -1)
    size = len(guides)
    covariance = np.zeros((*brain.shape, size, size), np.float32)
    for i in range(size):
        for j in range(i, size):
            covariance[..., i, j] = covariance[..., j, i] = mean(guides[i] * guides[j]) - means[i] * means[j]
    covariance += RIDGE * np.eye(size, dtype=np.float32)
    slopes = np.moveaxis(np.linalg.solve(covariance, right[..., None])[..., 0], -1, 0)
    offset = level - sum(a * m for a, m in zip(slopes, means, strict=True))
    found = mean(offset) + sum(mean(a) * g for a, g in zip(slopes, guides, strict=True))
    return np.where(brain, found, contrast).astype(np.float32)


def _window(values: Array, spacing: float) -> Array:
    return np.asarray(gaussian_filter(values, WIDTH / spacing, truncate=3.0))
