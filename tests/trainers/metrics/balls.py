"""Drawn visits for the lesion check: a mirrored anatomy, balls in input or output, noise."""

import numpy as np
from scipy import ndimage

from trainers.data.arrays import Array
from trainers.metrics.lesion_check import Report, compare

SPACING = (5.0, 2.0, 2.0)
SHAPE = (11, 72, 64)
PLACES = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
CENTRE = np.array([5, 30, 20])
NOISE = 0.02
BRAIN = (((PLACES - np.array([5, 36, 32])) / np.array([6, 33, 29])) ** 2).sum(-1) < 1
MAP = {"T1": (0.1, 0.9, -0.1), "T2": (0.05, 0.1, 0.8)}
"""Of the output: offset, share of the input's T1 and T2."""
HEIGHT = {"T1": -0.15, "T2": 0.3}
"""Of a lesion in the input."""
Images = dict[str, Array]


def ball(radius: float, centre: Array = CENTRE) -> Array:
    """[N, H, W] bool; ``radius`` in mm."""
    return np.asarray((((PLACES - centre) * SPACING) ** 2).sum(-1) <= radius**2)


def tissue(seed: int) -> Images:
    """Two contrasts of a mirrored, smooth anatomy without noise, about .5."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.standard_normal((2, *SHAPE)), (0, 2, 6, 6))
    fields = fields + fields[..., ::-1]
    fields *= 0.12 / fields.std()
    return {"T1": 0.5 + fields[0], "T2": 0.45 - fields[0] + 0.5 * fields[1]}


def scanned(images: Images, seed: int, deviation: float = NOISE) -> Images:
    rng = np.random.default_rng([seed, 1])
    return {c: np.where(BRAIN, x + deviation * rng.standard_normal(SHAPE), 0) for c, x in images.items()}


def mapped(images: Images) -> Images:
    return {c: a + b * images["T1"] + d * images["T2"] for c, (a, b, d) in MAP.items()}


def lesioned(images: Images, mask: Array, share: float = 1.0) -> Images:
    return {c: x + share * HEIGHT[c] * mask for c, x in images.items()}


def report(mask: Array, shown: float, made: float, seed: int = 0, wide: Array | None = None) -> Report:
    """Of a lesion that the input shows at a share of its height, the output at another one (in ``wide``)."""
    healthy = tissue(seed)
    before = scanned(lesioned(healthy, mask, shown), seed)
    after = scanned(mapped(lesioned(healthy, mask if wide is None else wide, made)), seed + 1000, NOISE / 4)
    return compare(before, after, BRAIN, SPACING)
