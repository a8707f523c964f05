"""Maps of what stands out: of an output against its input, and of a brain against its own other side.

Shapes: volumes [N, H, W] of N slices, H rows and W columns, by contrast; ``spacing`` (mm) from slice to
slice, row to row and column to column. Intensities are in [0, 1].
"""

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

from trainers.data.arrays import Array

Spacing = tuple[float, float, float]
Images = Mapping[str, Array]

DETAIL = 2.0
"""Deviation (mm) of the Gaussian in the plane by which both images are smoothed: less is not compared."""
FIELD = 18.0
"""Deviation (mm) in the plane of the Gaussian whose mean is no difference: what receive fields leave."""
BLUR = 5.0
"""Deviation (mm) of the wider blur from which an image is expected."""
GAIN = 25.0
"""Deviation (mm) in the plane over which the gain of two images is one."""
MISPLACED = 2.0
"""By how much (mm) an edge may be elsewhere in the output: motion and distortion of the input."""
SIDES = 6.0
"""How far (mm, in the plane) from its mirrored place something of one side is looked for on the other."""
_FIELD_DEPTH = 0.6  # of FIELD, across slices
_GAINS = 0.7, 1.4
_HUBER = 1.5
_ROUNDS = 8
_EVERY = 3  # every third voxel is enough
_TINY = 1e-6
_MAD = 1.4826  # to the deviation of a Gaussian
_MEDIAN_SQUARE = 0.455  # of a squared standard Gaussian


def smooth(image: Array, brain: Array, spacing: Spacing, deviation: tuple[float, float, float]) -> Array:
    """Gaussian smoothing inside ``brain`` alone (normalised convolution), ``deviation`` (mm) of each axis."""
    sigma = [d / s for d, s in zip(deviation, spacing, strict=True)]
    inside = np.where(brain, image, 0).astype(np.float32)
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma, truncate=3)
    found = ndimage.gaussian_filter(inside, sigma, truncate=3) / np.maximum(weight, _TINY)
    return np.where(brain, found, 0)


def in_plane(images: Images, brain: Array, spacing: Spacing) -> dict[str, Array]:
    """The images smoothed to the detail that is compared."""
    return {c: smooth(x, brain, spacing, (0, DETAIL, DETAIL)) for c, x in images.items()}


def expected(known: Images, wanted: Images, brain: Array, spacing: Spacing) -> dict[str, Array]:
    """What ``known`` images let expect of the ``wanted`` ones of the same brain: [N, H, W] by contrast.

    Least squares on the known contrasts, those blurred, their means of the slices above and below, and the
    products of contrasts: the contrast of tissues, sharpness and thickness of slices are those of this visit.
    By iterated least squares with Huber's weights (Huber 1964), on which small regions have little influence;
    then a gain, smooth over ``GAIN``, for the receive fields.
    """
    design = np.stack([np.ones(int(brain.sum())), *(x[brain] for x in _features(known, brain, spacing))], 1)
    wide, found = (_FIELD_DEPTH * GAIN, GAIN, GAIN), {}
    for contrast, image in wanted.items():
        fitted = np.zeros(brain.shape, np.float32)
        fitted[brain] = design @ _huber(design[::_EVERY], image[brain][::_EVERY])
        both, own = (smooth(fitted * x, brain, spacing, wide) for x in (image, fitted))
        found[contrast] = fitted * np.where(brain, np.clip(both / np.maximum(own, _TINY), *_GAINS), 0)
    return found


def _features(images: Images, brain: Array, spacing: Spacing) -> Iterator[Array]:
    """What an image is expected from, each [N, H, W]."""
    around = {c: _neighbours(_filled(x, brain)) for c, x in images.items()}
    for contrast, image in images.items():
        yield image
        yield around[contrast]
        for each, deviation in ((image, DETAIL), (image, BLUR), (around[contrast], DETAIL)):
            yield smooth(each, brain, spacing, (0, deviation, deviation))
    fine, above = (
        [smooth(x, brain, spacing, (0, DETAIL / 2, DETAIL / 2)) for x in each.values()]
        for each in (images, around)
    )
    for a, b in combinations_with_replacement(fine, 2):
        yield a * b
    for a, b in zip(fine, above, strict=True):
        yield a * b
        yield b * b


def _neighbours(image: Array) -> Array:
    """Mean of the slices above and below."""
    padded = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + padded[2:]) / 2)


def _huber(design: Array, values: Array) -> Array:
    weight, coefficients = np.ones(len(values)), np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        coefficients = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        away = np.abs(values - design @ coefficients)
        weight = 1 / np.maximum(1, away / (_HUBER * _MAD * np.median(away) + _TINY))
    return coefficients


def deviations(shown: Images, wanted: Images, brain: Array, spacing: Spacing) -> dict[str, Array]:
    """An image less what is expected of it, in units of what is usual there in this visit, by contrast.

    The mean over :data:`FIELD` is taken off. What is usual is a variance of noise plus multiples of two
    squares: the change over :data:`MISPLACED` mm in the plane, and the difference from the mean of the slices
    above and below, each the lesser of both images' own: an edge that only one of them has is unusual. The
    multiples are those of this visit, so that noise, motion and thick slices of a scanner are allowed for.
    """
    found = {}
    wide = (_FIELD_DEPTH * FIELD, FIELD, FIELD)
    for contrast, image in shown.items():
        difference = np.where(brain, image - wanted[contrast], 0)
        difference = np.where(brain, difference - smooth(difference, brain, spacing, wide), 0)
        both = [_structure(x, brain, spacing) for x in (image, wanted[contrast])]
        edge, step = (np.minimum(*pair)[brain] for pair in zip(*both, strict=True))
        design = np.stack([np.ones(len(edge)), edge**2, step**2], 1)
        scale = np.zeros(brain.shape)
        scale[brain] = np.sqrt(
            design @ _variances(design[::_EVERY], difference[brain][::_EVERY] ** 2) + _TINY
        )
        found[contrast] = np.where(brain, difference / np.maximum(scale, _TINY), 0)
    return found


def _structure(image: Array, brain: Array, spacing: Spacing) -> tuple[Array, Array]:
    """Change over :data:`MISPLACED` mm in the plane, and the absolute difference from the slices around."""
    filled = _filled(image, brain)
    slopes = [ndimage.gaussian_filter1d(filled, 1.0, axis=a, order=1) / spacing[a] for a in (1, 2)]
    return MISPLACED * np.hypot(*slopes), np.abs(filled - _neighbours(filled))


def _filled(image: Array, brain: Array) -> Array:
    """The image, beyond the brain that of its nearest voxel in the slice: its rim is no edge."""
    filled = image.copy()
    for k in np.flatnonzero(brain.any((1, 2))):
        nearest = ndimage.distance_transform_edt(~brain[k], return_distances=False, return_indices=True)
        filled[k] = image[k][tuple(nearest)]
    return filled


def _variances(design: Array, squares: Array) -> Array:
    """Coefficients >= 0 of the variance, squares beyond nine times of it left out, in units of it."""
    coefficients = np.array([np.median(squares) / _MEDIAN_SQUARE, 0.05, 0.05])
    for _ in range(_ROUNDS - 2):
        variance = np.maximum(design @ coefficients, _TINY)
        usual = squares < 9 * variance
        scaled = design[usual] / variance[usual, None]
        coefficients = nnls(scaled, squares[usual] / variance[usual])[0]
    return coefficients


def directions(z: Images) -> list[Array]:
    """Signed maps of deviations ``z``: of two contrasts their difference and sum, each with both signs.

    A lesion deviates in both contrasts: like fluid in opposite directions, or in the same one.
    """
    maps = list(z.values())
    if len(maps) == 2:
        maps = [(maps[1] - maps[0]) / np.sqrt(2), (maps[0] + maps[1]) / np.sqrt(2)]
    return [sign * each for each in maps for sign in (1, -1)]


def one_sided(images: Images, brain: Array, spacing: Spacing) -> dict[str, Array]:
    """By how much a voxel is beyond all that is near its mirrored place: [N, H, W] by contrast, 0 within.

    The mirror is the sagittal plane through the brain's middle; near is :data:`SIDES` mm in the plane and one
    slice. In units of the robust deviation of differences from the mirrored image.
    """
    size = (3, *(2 * round(SIDES / d) + 1 for d in spacing[1:]))
    found = {}
    for contrast, image in images.items():
        other = _mirrored(_filled(image, brain), brain)
        away = image[brain] - other[brain]
        unit = _MAD * np.median(np.abs(away - np.median(away))) + _TINY
        high, low = ndimage.maximum_filter(other, size), ndimage.minimum_filter(other, size)
        beyond = np.maximum(image - high, 0) - np.maximum(low - image, 0)
        found[contrast] = np.where(brain, beyond / unit, 0)
    return found


def _mirrored(image: Array, brain: Array) -> Array:
    """Columns mirrored about the mean column of the brain, to half a pixel."""
    columns = np.arange(image.shape[2])
    middle = round(2 * float((brain.sum((0, 1)) * columns).sum() / brain.sum()))
    return image[:, :, np.clip(middle - columns, 0, image.shape[2] - 1)]
