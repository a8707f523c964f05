"""Whether two registered scans show one person: their edges agree where they are, and not a few mm beside.

Two people fit each other nearly as well beside the place where registration has put them.
"""

import numpy as np

from trainers.cohorts.preprocessing.registration import Image
from trainers.data.arrays import Array

ASIDE = 8.0
"""Millimetres by which one is moved."""
DEEP = 5.0
"""Millimetres below the brain's edge, which two people share."""
SMOOTH = 1.5
"""Standard deviation (mm) before gradients are taken."""
LEAST = 1.45
"""Agreement over that aside: halfway, in the logarithm, between the highest of two people, 1.13, and the lowest
of one person, 1.85 (phantoms at 64 mT and 3 T, heads of four people; ``tests.bench.one_person``)."""


def person_warnings(first: Image, moved: Array, mask: Array) -> list[str]:
    """A line if ``moved``, on the grid of ``first``, may show another brain than that of ``mask``."""
    ratio = sharpness(first, moved, mask)
    if ratio is None or ratio >= LEAST:
        return []
    beside = f"its edges fit {ratio:.2f} times as well as {ASIDE:g} mm beside, those of one person {LEAST:g}"
    return [f"it may be of another person, or is not aligned: {beside} times or more"]


def sharpness(first: Image, moved: Array, mask: Array) -> float | None:
    """Agreement of edges over its mean at four places aside; None where no brain is deep enough."""
    from scipy.ndimage import distance_transform_edt

    plane = tuple(int(axis) for axis in np.sort(np.argsort(first.spacing)[:2]))
    apart = [first.spacing[axis] if axis in plane else 1e6 for axis in range(3)]
    inner = distance_transform_edt(mask, sampling=apart) > DEEP
    if not inner.any():
        return None
    fixed, other = (_gradient(values, first.spacing, plane) for values in (first.values, moved))
    aside = []
    for axis in plane:
        voxels = max(1, round(ASIDE / first.spacing[axis]))
        aside += [agreement(fixed, np.roll(other, way * voxels, 1 + axis), inner) for way in (1, -1)]
    return agreement(fixed, other, inner) / max(float(np.mean(aside)), 1e-9)


def agreement(a: Array, b: Array, inside: Array) -> float:
    """Mean squared cosine of gradients [2, X, Y, Z], weak ones less (Haber & Modersitzki 2006, eq. 9).

    "Weak" is below the median of their squares, which is noise.
    """
    first, second = a[:, inside], b[:, inside]
    squares = [(each**2).sum(0) for each in (first, second)]
    floors = [float(np.median(each)) + 1e-12 for each in squares]
    weights = (squares[0] + floors[0]) * (squares[1] + floors[1])
    return float((((first * second).sum(0)) ** 2 / weights).mean())


def _gradient(values: Array, spacing: Array, plane: tuple[int, ...]) -> Array:
    from scipy.ndimage import gaussian_filter

    widths = [SMOOTH / spacing[axis] if axis in plane else 0 for axis in range(3)]
    smooth = gaussian_filter(values.astype(np.float32), widths)
    return np.stack([np.gradient(smooth, float(spacing[axis]), axis=axis) for axis in plane])
