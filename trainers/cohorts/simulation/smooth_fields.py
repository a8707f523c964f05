"""Smooth random fields from cubic B-splines."""

import numpy as np

from trainers.data.arrays import Array, separable


def bspline_basis(n: int, knot_spacing: float) -> Array:
    """Cubic B-splines ``[n, m]`` with knots every ``knot_spacing`` samples; each row sums to one."""
    count = int(np.ceil((n - 1) / knot_spacing)) + 3
    distance = np.abs(np.subtract.outer(np.arange(n) / knot_spacing, np.arange(count) - 1.0))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, inner, outer))


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float | Array, components: int | None = None
) -> Array:
    """Gaussian field over ``shape`` (``[components, *shape]`` if given) of mean 0 and variance 1.

    As smooth as white noise after a Gaussian of ``sigma`` voxels, of each axis or of all: a cubic B-spline
    with knots every h has the variance h^2 / 3.
    """
    sigmas = np.broadcast_to(sigma, len(shape))
    bases = tuple(bspline_basis(n, np.sqrt(3) * each) for n, each in zip(shape, sigmas, strict=True))
    bases = tuple(basis / np.sqrt((basis**2).sum(1).mean()) for basis in bases)
    leading = () if components is None else (components,)
    control = rng.standard_normal((*leading, *(basis.shape[1] for basis in bases)))
    return separable(control, bases)
