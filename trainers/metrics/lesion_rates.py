"""What a translator does to known lesions: how much contrast they keep, how many vanish, how many are false.

Where lesions are is known from the cohort's map; what is compared is that of :mod:`trainers.metrics.lesions`.
Shapes: N slices of all subjects, n of one, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from trainers.data.arrays import Array
from trainers.data.store import CONTRASTS
from trainers.errors import InputError
from trainers.metrics.judge import Judge
from trainers.metrics.lesions import LEAST, LOST, MAP
from trainers.metrics.measures import TISSUES
from trainers.metrics.surface import dilate
from trainers.metrics.tissue import segment

SHOWN = 0.05
"""Least contrast at 3 T, in [0, 1], of a lesion whose ratio is taken."""
DEVIATIONS = 4.0
"""Above the white matter's median, in its robust standard deviations, where T2 looks like a lesion."""
MARGIN = 6.0
"""Millimetres around true lesions, and from other tissue, in which none counts as false."""


@dataclass(frozen=True)
class LesionRates:
    """Of all subjects of a split, over parts of lesions and contrasts that the 3 T shows by ``SHOWN``."""

    contrast: float
    """Median of the output's contrast over the input's."""
    contrast_of_3t: float
    """Median of the output's contrast over the 3 T's."""
    vanished: float
    """Share of those with less than ``LOST`` of the 3 T's contrast."""
    false: float
    """Bright T2 patches in white matter that neither is nor is near a lesion, a subject; NaN without T2."""
    parts: int
    """Of lesions and contrasts, which were compared."""
    subjects: int


def measure(judge: Judge, output: Tensor) -> LesionRates:
    """Rates of finished outputs [N, 3, H, W]; raises InputError for a split without lesions to compare."""
    if isinstance(judge.lesions, InputError):
        raise judge.lesions
    own, real = contrasts(judge, output)
    if not len(real):
        shown = f"no lesion of {judge.split} has a contrast of {SHOWN:g} at 3 T"
        raise InputError(f"lesions: {shown}; allowed: a split with one")
    before, _ = contrasts(judge, judge.source)
    false = false_lesions(judge, output, deep_white(judge)) if "T2" in judge.unit(output) else np.nan
    ratios = float(np.median(own / before)), float(np.median(own / real))
    return LesionRates(*ratios, float((own / real < LOST).mean()), false, len(real), len(judge.subjects))


def contrasts(judge: Judge, output: Tensor) -> tuple[Array, Array]:
    """Of every lesion part and contrast that the 3 T shows: the output's contrast, the 3 T's."""
    images, truth = judge.unit(output), judge.unit(judge.truth)
    own, real = [], []
    assert not isinstance(judge.lesions, InputError)
    for (start, stop), parts in zip(judge.subjects, judge.lesions, strict=True):
        for part in parts:
            for name, image in images.items():
                (a, b), (c, d) = part.seen(image[start:stop]), part.seen(truth[name][start:stop])
                if abs(c - d) >= SHOWN:
                    own.append(a - b)
                    real.append(c - d)
    return np.array(own), np.array(real)


def false_lesions(judge: Judge, output: Tensor, deep: Sequence[Tensor]) -> float:
    """Bright patches of T2 in ``deep`` white matter of each subject, of the least scored area, a subject."""
    least, t2 = LEAST / judge.spacing**2, judge.unit(output)["T2"]
    rows = [slice(start, stop) for start, stop in judge.subjects]
    found = sum(patches(bright(t2[own], each), least) for own, each in zip(rows, deep, strict=True))
    return found / len(rows)


def deep_white(judge: Judge) -> list[Tensor]:
    """Of each subject [n, H, W]: white matter far from lesions, other tissue and what is bright at 3 T."""
    truth, margin, found = judge.unit(judge.truth), MARGIN / judge.spacing, []
    maps = judge.cohort.optional(judge.split, MAP)
    facts = {s["id"]: s["provenance"] for s in judge.cohort.manifest["subjects"] if s["split"] == judge.split}
    for subject in judge.cohort.split(judge.split).subjects("3T"):
        rows = slice(subject.start, subject.stop)
        own = {c: truth[c][rows] for c in CONTRASTS}
        white = segment(own, judge.region[rows]) == TISSUES.index("wm")
        labels = torch.tensor(maps.of(subject.id)[facts[subject.id]["plane_of_slice"]]) > 0
        deep = white & ~dilate(judge.region[rows] & ~white, margin) & ~dilate(labels, margin)
        found.append(deep & ~dilate(bright(own["T2"], deep), margin))
    return found


def bright(image: Tensor, deep: Tensor) -> Tensor:
    """Where an image [n, H, W] is far brighter than most of its ``deep`` white matter, inside it."""
    inside = image[deep]
    if not len(inside):
        return torch.zeros_like(deep)
    deviation = 1.4826 * float((inside - inside.median()).abs().median())
    return (image > float(inside.median()) + DEVIATIONS * deviation) & deep


def patches(where: Tensor, least: float) -> int:
    """Connected parts of at least ``least`` pixels of [n, H, W]."""
    parts, count = ndimage.label(where.numpy())
    sizes = ndimage.sum(where.numpy(), parts, range(1, count + 1)) if count else []
    return int(np.sum(np.asarray(sizes) >= least))
