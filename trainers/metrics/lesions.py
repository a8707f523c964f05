"""How much of the lesions that a paired 3 T shows is left in an output: their contrast and their extent.

Where lesions are is known from a map that a cohort may have; what they look like is taken from the 3 T.
Shapes: n slices of one subject, H rows, W columns; spacing in mm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.data.store import CONTRASTS, DOMAINS, OPTIONAL, Cohort
from trainers.errors import InputError
from trainers.metrics.measures import LESIONS, TISSUES
from trainers.metrics.surface import dilate
from trainers.metrics.tissue import segment

MAP = "lesion"
"""The cohort's optional array: labels of lesions, 0 for none."""
LEAST = 40.0
"""Area (mm^2) over its slices below which a lesion, or its part of one kind, is not scored."""
GAP, REACH = 2.0, 6.0
"""From where to where (mm, in the plane) the white matter around a lesion is compared with it."""
BEYOND = 4.0
"""How far (mm, in the plane) a lesion's extent is looked for in white matter; in any tissue up to the gap."""
LOST = 0.25
"""Share of the contrast in the 3 T below which a lesion has no extent: half its height would be noise."""
_FEWEST = 5  # pixels of white matter around a lesion

Images = Mapping[str, Tensor]
"""Slices [n, H, W] in [0, 1] of one subject, by contrast."""


@dataclass(frozen=True, eq=False)
class Part:
    """A lesion's tissue of one kind; masks of the pixels in a ``box`` of its subject's slices."""

    box: tuple[slice, ...]
    inside: Tensor
    around: Tensor
    """White matter without lesions near the whole lesion."""
    near: Tensor
    """Where the part's extent is looked for."""

    def seen(self, image: Tensor) -> tuple[float, float]:
        """Mean of slices [n, H, W] in the part, and median of the white matter around it."""
        cut = image[self.box].double()
        return float(cut[self.inside].mean()), float(cut[self.around].median())

    def extent(self, image: Tensor, sign: float) -> Tensor:
        """Pixels in ``near`` beyond half the part's own height, in the direction of ``sign``: [k] bool."""
        lesion, normal = self.seen(image)
        return sign * (image[self.box].double()[self.near] - (lesion + normal) / 2) > 0


def read(cohort: Cohort, split: str) -> list[list[Part]]:
    """The parts of each paired subject of a split, in the brain at both fields.

    White matter is what the 3 T shows as such (:mod:`trainers.metrics.tissue`). Raises :class:`InputError`
    where the cohort has no map of lesions, or no subject has one that is scored.
    """
    names = ", ".join(LESIONS)
    if f"{split}/{OPTIONAL}/{MAP}.npy" not in cohort.manifest.get(OPTIONAL, {}):
        missing = f"the cohort has no map of lesions of {split}"
        raise InputError(
            f"{names}: {missing}; allowed: a cohort with one, such as the phantom's second anatomy"
        )
    rows, maps = cohort.split(split), cohort.optional(split, MAP)
    facts = {s["id"]: s["provenance"] for s in cohort.manifest["subjects"] if s["split"] == split}
    found = []
    for subject in rows.subjects("3T") if len(rows.mask("3T")) else ():
        own = slice(subject.start, subject.stop)
        region = torch.stack([torch.tensor(rows.mask(field)[own] > 0) for field in DOMAINS]).all(0)
        images = {c: (torch.tensor(rows.slices("3T", c)[own]).float() + 1) / 2 for c in CONTRASTS}
        white = segment(images, region) == TISSUES.index("wm")
        labels = torch.tensor(maps.of(subject.id)[facts[subject.id]["plane_of_slice"]])
        found.append(list(parts(labels * region, region, white, cohort.spacing)))
    if not any(found):
        allowed = f"allowed: one or more with a lesion of {LEAST:g} mm^2 or more in its slices"
        raise InputError(f"{names}: no paired subject of {split} has a lesion to score; {allowed}")
    return found


def parts(labels: Tensor, region: Tensor, white: Tensor, spacing: float) -> Iterator[Part]:
    """What is scored of one subject's map ``labels`` [n, H, W], 0 outside ``region`` [n, H, W].

    A lesion is what is connected over all kinds, within and across slices; its kinds are scored one by one,
    as its core and its rim may differ from ``white`` matter [n, H, W] in opposite directions.
    """
    from scipy import ndimage  # late: few trials need it

    lesions, _ = ndimage.label(labels.numpy() > 0, np.ones((3, 3, 3)))
    margin, least = int(np.ceil(REACH / spacing)), LEAST / spacing**2
    for number, box in enumerate(ndimage.find_objects(lesions), 1):
        wide = (box[0], *(slice(max(0, s.start - margin), s.stop + margin) for s in box[1:]))
        whole, kinds = torch.from_numpy(lesions[wide] == number), labels[wide]
        normal = white[wide] & ~dilate(kinds > 0, GAP / spacing)
        around = normal & dilate(whole, REACH / spacing)
        for kind in torch.unique(kinds[whole]):
            inside = whole & (kinds == kind)
            rim = dilate(inside, GAP / spacing) & region[wide] & (inside | (kinds == 0))
            if inside.sum() >= least and around.sum() >= _FEWEST:
                yield Part(wide, inside, around, rim | (normal & dilate(inside, BEYOND / spacing)))


def kept(output: Images, truth: Images, found: Sequence[Part]) -> dict[str, Tensor]:
    """``lesion_contrast`` and ``lesion_extent`` of one subject, both in [0, 1]; NaN without lesions.

    A lesion's contrast c is its mean less that of its surroundings. The first is the mean of |c_output / c_3T
    - 1|, at most 1 (lost, inverted, or twice as strong), the second that of the Dice overlap of the extents
    in both. Either mean is over parts and image contrasts, weighted by |c_3T|: a lesion that the 3 T hardly
    shows in T1 has a ratio of noise to noise there, and no logarithm is finite for one that is lost.
    """
    weight = error = overlap = 0.0
    for contrast, image in output.items():
        for part in found:
            (lesion, normal), (real, around) = part.seen(image), part.seen(truth[contrast])
            expected, own = real - around, lesion - normal
            weight += abs(expected)
            error += min(abs(own - expected), abs(expected))
            if expected and own / expected >= LOST:
                a, b = (part.extent(x, expected) for x in (image, truth[contrast]))
                overlap += abs(expected) * 2 * float((a & b).sum()) / float(a.sum() + b.sum())
    values = (error / weight, overlap / weight) if weight else (np.nan, np.nan)
    return dict(zip(LESIONS, torch.tensor(values, dtype=torch.float64), strict=True))
