"""Slices of a cohort as tensors: random training crops by counter, whole validation slices in row order.

Every draw is a function of (seed, step, rank) alone, so resuming at a step needs no stored random state.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.batch import Batch
from trainers.cohorts import channels
from trainers.cohorts.fields import Array
from trainers.cohorts.store import Cohort, Split
from trainers.config import FieldError


@dataclass(frozen=True)
class Slices:
    """Random square crops of the training split, of ``crop`` pixels, mirrored left-right half of the time."""

    split: Split
    layout: channels.Layout
    crop: int

    @classmethod
    def of(cls, cohort: Cohort, layout: channels.Layout, crop: int) -> "Slices":
        """The training slices of a cohort; raises FieldError for a crop that does not fit into them."""
        if crop > min(cohort.shape):
            raise FieldError(
                "crop", crop, f"at most {min(cohort.shape)}, the shorter side of this cohort's slices"
            )
        return cls(cohort.split("train"), layout, crop)

    def batch(self, size: int, *counter: int) -> Batch:
        """``size`` slices of either domain, drawn by ``counter`` (seed, step, rank, ...), independently."""
        rng = np.random.default_rng(counter)
        source, source_mask = self._crops("64mT", size, rng)
        target, target_mask = self._crops("3T", size, rng)
        return Batch(source, source_mask, target, target_mask)

    def target_crops(self, size: int, seed: int) -> Iterator[Tensor]:
        """Endless batches of 3 T crops [size, 3, crop, crop], for the teacher."""
        rng = np.random.default_rng(seed)
        while True:
            yield self._crops("3T", size, rng)[0]

    def _crops(self, domain: str, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        mask = self.split.mask(domain)
        rows = rng.integers(len(mask), size=size)
        windows = [self._window(mask[row], rng) for row in rows]
        t1, t2, inside = (
            torch.from_numpy(
                np.stack([_cut(a[row], *w) for row, w in zip(rows, windows, strict=True)]).astype(np.float32)
            )
            for a in (self.split.slices(domain, "T1"), self.split.slices(domain, "T2"), mask)
        )
        return channels.stack(t1, t2, self.layout), inside > 0

    def _window(self, mask: Array, rng: np.random.Generator) -> tuple[slice, slice, bool]:
        """A crop around a random brain pixel, moved inside the slice: no crop is all background."""
        inside = np.argwhere(mask)
        centre = inside[rng.integers(len(inside))]
        top, left = (
            int(np.clip(c - self.crop // 2, 0, n - self.crop))
            for c, n in zip(centre, mask.shape, strict=True)
        )
        return slice(top, top + self.crop), slice(left, left + self.crop), bool(rng.integers(2))


def _cut(image: Array, rows: slice, columns: slice, mirrored: bool) -> Array:
    piece = image[rows, columns]
    return piece[:, ::-1] if mirrored else piece


def whole_slices(split: Split, domain: str, layout: channels.Layout, rows: Array) -> Tensor:
    """The given rows as [N, 3, H, W] float32 in [-1, 1]."""
    t1, t2 = (torch.from_numpy(np.asarray(split.slices(domain, c)[rows], np.float32)) for c in ("T1", "T2"))
    return channels.stack(t1, t2, layout)


def heights(split: Split, domain: str) -> Tensor:
    """Each row's relative height [N] within its subject, 0 lowest, 1 highest."""
    return torch.cat([torch.linspace(0, 1, s.stop - s.start) for s in split.subjects(domain)])
