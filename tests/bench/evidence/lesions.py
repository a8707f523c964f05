"""Lesions of the test subjects one by one: what is left of their contrast, which vanish, which are false."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from tests.bench.evidence.patients import translated_rows
from tests.bench.evidence.results import Trained
from trainers.data.store import CONTRASTS, Cohort
from trainers.metrics.judge import Judge, clamp_and_mask
from trainers.metrics.lesions import LEAST, LOST, MAP, Part
from trainers.metrics.measures import TISSUES
from trainers.metrics.surface import dilate
from trainers.metrics.tissue import segment
from trainers.references.store import References

SHOWN = 0.05
"""Least contrast at 3 T, in [0, 1], of a lesion whose ratio is taken."""
DEVIATIONS = 4.0
"""Above the white matter's median, in its robust standard deviations, where T2 looks like a lesion."""
MARGIN = 6.0
"""Millimetres around true lesions, and from other tissue, in which none counts as false."""
COLUMNS = ("contrast / 3 T's, median", "contrast / input's, median", "vanished", "false a subject")


def table(
    cohort: Cohort, references: References, trained: Sequence[Trained], names: Sequence[str]
) -> list[list[str]]:
    """Rows of the input, the 3 T and each system, over its seeds, on the test split."""
    judge = Judge.of(cohort, references, "test")
    assert not isinstance(judge.lesions, Exception)
    outputs = {"untouched input": [judge.source], "3 T": [judge.truth]}
    for name in names:
        own = [each for each in trained if each.system == name]
        outputs[name] = [translated_rows(judge.source, each, references, judge.subjects) for each in own]
    deep = deep_white(judge)
    before = contrasts(judge, judge.lesions, judge.source)
    rows = []
    for name, seeds in outputs.items():
        finished = [clamp_and_mask(output, judge.mask) for output in seeds]
        found = [contrasts(judge, judge.lesions, output) for output in finished]
        own, real = (np.concatenate([each[i] for each in found]) for i in (0, 1))
        of_input = np.concatenate([each[0] / before[0] for each in found])
        lost = float((own / real < LOST).mean())
        false = float(np.mean([false_lesions(judge, output, deep) for output in finished]))
        medians = float(np.median(own / real)), float(np.median(of_input))
        rows.append([name, *(f"{value:.2f}" for value in medians), f"{lost:.1%}", f"{false:.2f}"])
    return rows


def contrasts(judge: Judge, found: Sequence[Sequence[Part]], output: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of every lesion part and contrast that the 3 T shows: the output's contrast, the 3 T's."""
    images, truth = judge.unit(output), judge.unit(judge.truth)
    own, real = [], []
    for (start, stop), parts in zip(judge.subjects, found, strict=True):
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
    return sum(patches(bright(t2[own], each), least) for own, each in zip(rows, deep, strict=True)) / len(
        rows
    )


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
