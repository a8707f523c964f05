"""Realism that sees anatomy: distances to the 3 T pool at every position of the brain, and of its patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    """The 3 T training pool of each distance, made when it is first compared with."""

    cohort: Cohort
    references: References

    @property
    def layout(self) -> channels.Layout:
        """How contrasts make channels."""
        return self.references.config.channels

    @cached_property
    def spatial(self) -> SpatialPool | InputError:
        """Or why the cohort is too small for it."""
        encoder = self.references.domain
        assert isinstance(encoder, ResidualEncoder)
        try:
            return SpatialPool.of(encoder, *_pool(self.cohort, self.layout))
        except InputError as error:
            return error

    @cached_property
    def patches(self) -> PatchPool | InputError:
        """Likewise."""
        return patch_pool(self.cohort, self.layout)

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
        pool = self.spatial if name in SPATIAL else self.patches if name in PATCHES else None
        return pool if isinstance(pool, InputError) else None


def patch_pool(cohort: Cohort, layout: channels.Layout) -> PatchPool | InputError:
    """The 3 T training pool's patches, or why the cohort is too small for them: needs no references."""
    slices, mask, subjects = _pool(cohort, layout)
    try:
        return PatchPool.of(_images(slices, layout), mask, subjects, cohort.spacing)
    except InputError as error:
        return error


def some_rows(subjects: Sequence[tuple[int, int]]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Rows of at most :data:`SLICES` slices of each subject (start, stop), and where they then are."""
    count = min([SLICES, *(stop - start for start, stop in subjects)])
    return balanced_rows(subjects, count), [(i * count, (i + 1) * count) for i in range(len(subjects))]


def _pool(cohort: Cohort, layout: channels.Layout) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Slices [N, 3, H, W] in [-1, 1], masks [N, H, W] and rows of the 3 T training subjects."""
    train = cohort.split("train")
    rows, subjects = some_rows([(s.start, s.stop) for s in train.subjects("3T")])
    mask = torch.from_numpy(np.asarray(train.mask("3T")[rows.numpy()]) > 0)
    return whole_slices(train, "3T", layout, rows.numpy()), mask, subjects


def _images(slices: Tensor, layout: channels.Layout) -> Tensor:
    """The delivered contrasts [N, C, H, W] in [0, 1]."""
    return torch.stack([(x + 1) / 2 for x in channels.split(slices, layout).values()], 1)
