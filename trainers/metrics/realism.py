"""Realism that sees anatomy: distances to the 3 T pool at every position of the brain, and of its patches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.data import channels
from trainers.data.sampling import whole_slices
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics.aggregate import balanced_rows
from trainers.metrics.patch_distance import PatchPool
from trainers.metrics.resampling import Comparison
from trainers.metrics.spatial_frechet import SpatialPool
from trainers.networks.encoder import ResidualEncoder
from trainers.references.store import References

SLICES = 16
"""Slices of a subject that are compared, evenly spread, at most."""
SPATIAL, PATCHES = ("fid_spatial",), ("patch_fd", "patch_texture", "patch_place", "patch_symmetry")
"""The distances of each pool."""


@dataclass(frozen=True, eq=False)
class RealismPools:
    """The 3 T training pool of each distance."""

    layout: channels.Layout
    spatial: SpatialPool | InputError
    """Or why the cohort is too small for it."""
    patches: PatchPool | InputError

    @classmethod
    def of(cls, cohort: Cohort, references: References) -> "RealismPools":
        """From the cohort's 3 T training slices."""
        train, layout = cohort.split("train"), references.config.channels
        whole = [(s.start, s.stop) for s in train.subjects("3T")]
        rows, subjects = some_rows(whole)
        slices = whole_slices(train, "3T", layout, rows.numpy())
        mask = torch.from_numpy(np.asarray(train.mask("3T")[rows.numpy()]) > 0)
        encoder = references.domain
        assert isinstance(encoder, ResidualEncoder)
        spatial: SpatialPool | InputError
        patches: PatchPool | InputError
        try:
            spatial = SpatialPool.of(encoder, slices, mask, subjects)
        except InputError as error:
            spatial = error
        try:
            patches = PatchPool.of(_images(slices, layout), mask, subjects, cohort.spacing)
        except InputError as error:
            patches = error
        return cls(layout, spatial, patches)

    def compare(self, slices: Tensor, mask: Tensor, subjects: Sequence[tuple[int, int]]) -> list[Comparison]:
        """Slices [N, 3, H, W] in [-1, 1], rebuilt as they are delivered, inside ``mask`` [N, H, W]."""
        rows, groups = some_rows(subjects)
        slices, mask = channels.delivered(slices[rows], self.layout), mask[rows]
        found = []
        if isinstance(self.spatial, SpatialPool):
            found.append(self.spatial.compare(slices, mask, groups))
        if isinstance(self.patches, PatchPool):
            found.append(self.patches.compare(_images(slices, self.layout), mask, groups))
        return found

    def refusal(self, name: str) -> InputError | None:
        """Why this cohort does not allow a distance."""
        for names, pool in ((SPATIAL, self.spatial), (PATCHES, self.patches)):
            if name in names and isinstance(pool, InputError):
                return pool
        return None


def some_rows(subjects: Sequence[tuple[int, int]]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Rows of at most :data:`SLICES` slices of each subject (start, stop), and where they then are."""
    count = min([SLICES, *(stop - start for start, stop in subjects)])
    return balanced_rows(subjects, count), [(i * count, (i + 1) * count) for i in range(len(subjects))]


def _images(slices: Tensor, layout: channels.Layout) -> Tensor:
    """The delivered contrasts [N, C, H, W] in [0, 1]."""
    return torch.stack([(x + 1) / 2 for x in channels.split(slices, layout).values()], 1)
