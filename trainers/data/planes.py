"""3 T training slices with the planes above and below them, of which a thick 64 mT slice is a mean.

Shapes: C contrasts, P planes of a subject, H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np

from trainers.data.arrays import Array
from trainers.data.grid import BACKGROUND
from trainers.data.store import CONTRASTS, Cohort

FWHM = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


@dataclass(frozen=True)
class Planes:
    """The 3 T planes of the training subjects; of a cohort that keeps none, its slices themselves."""

    volumes: tuple[tuple[Array, ...], ...]
    """Of each subject, each contrast [P, H, W] in [-1, 1]: read-only memory maps."""
    places: Array
    """Subject and plane [N, 2] of each 3 T training slice."""
    spacing: float
    """Planes from one 64 mT slice to the next, which touch; 0 where the cohort keeps no planes."""

    @classmethod
    def of(cls, cohort: Cohort) -> "Planes":
        """The planes of a cohort's 3 T training slices."""
        split = cohort.split("train")
        subjects = split.subjects("3T")
        if not cohort.has_optional("train", f"3T_{CONTRASTS[0]}"):
            slices = [split.slices("3T", c) for c in CONTRASTS]
            volumes = tuple(tuple(a[s.start : s.stop] for a in slices) for s in subjects)
            planes = [np.arange(s.stop - s.start) for s in subjects]
            return cls(volumes, _places(planes), 0.0)
        arrays = [cohort.optional("train", f"3T_{c}") for c in CONTRASTS]
        facts = {s["id"]: s["provenance"] for s in cohort.manifest["subjects"]}
        planes = [np.array(facts[s.id]["plane_of_slice"]) for s in subjects]
        steps = np.concatenate([np.diff(each) for each in planes])
        spacing = float(np.median(steps)) if len(steps) else 0.0
        return cls(tuple(tuple(a.of(s.id) for a in arrays) for s in subjects), _places(planes), spacing)

    def thick(self, row: int, width: float) -> Array:
        """T1, T2 in [0, 1], 0 outside the brain, and the brain's share: [3, H, W] of slice ``row``.

        Means over a Gaussian slice profile with a full width at half maximum of ``width`` planes.
        """
        subject, plane = self.places[row]
        depth = len(self.volumes[subject][0])
        offsets, weights = slice_profile(width)
        chosen: Array = plane + offsets
        inside = np.flatnonzero((chosen >= 0) & (chosen < depth))
        block = slice(int(chosen[inside[0]]), int(chosen[inside[-1]]) + 1)
        images = np.stack([np.asarray(a[block], np.float32) for a in self.volumes[subject]])
        brain = np.asarray((images > BACKGROUND).any(0))
        values: Array = np.concatenate(((images + 1) / 2 * brain, brain[None]))
        return np.asarray(np.tensordot(weights[inside], values, (0, 1)), np.float32)

    def around(self, row: int) -> list[int]:
        """The slices below and above one, of the same subject; at an end itself."""
        own = self.places[:, 0]
        return [r if 0 <= r < len(own) and own[r] == own[row] else row for r in (row - 1, row + 1)]


def slice_profile(width: float) -> tuple[Array, Array]:
    """Offsets [n] in planes and weights [n], of sum 1, of a Gaussian slice profile; width 0: one plane."""
    deviation = width / FWHM
    reach = int(np.ceil(2 * deviation))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / max(deviation, 1e-9)) ** 2)
    return offsets, weights / weights.sum()


def _places(planes: list[Array]) -> Array:
    subjects = np.repeat(np.arange(len(planes)), [len(each) for each in planes])
    return np.stack((subjects, np.concatenate(planes)), 1)
