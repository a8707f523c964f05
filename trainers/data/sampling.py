"""Slices of a cohort as tensors: random training crops by counter, whole validation slices in row order.

Every draw is a function of (seed, step, rank) alone, so that resuming needs no stored random state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainers.config import FieldError
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.data.batch import Batch, Pairing
from trainers.data.degrader import Degradation, Degrader
from trainers.data.neighbours import parted, rows_around, surround
from trainers.data.planes import Planes
from trainers.data.store import Cohort, Split

Window = tuple[slice, slice, bool]
"""Rows, columns, and whether mirrored left-right."""


@dataclass(frozen=True)
class Slices:
    """Random square crops of the training split, of ``crop`` pixels, mirrored left-right half of the time."""

    split: Split
    layout: channels.Layout
    crop: int
    degrader: Degrader | None = None
    """Makes the 3 T slices of a batch degraded too."""

    @classmethod
    def of(
        cls, cohort: Cohort, layout: channels.Layout, crop: int, degradation: Degradation | None = None
    ) -> "Slices":
        """The training slices of a cohort; raises FieldError for a crop larger than a slice."""
        if crop > min(cohort.shape):
            raise FieldError(
                "crop", crop, f"at most {min(cohort.shape)}, the shorter side of this cohort's slices"
            )
        degrader = Degrader(Planes.of(cohort), degradation) if degradation else None
        return cls(cohort.split("train"), layout, crop, degrader)

    def batch(self, size: int, *counter: int, pairing: Pairing = "random") -> Batch:
        """``size`` slices of each domain, drawn by ``counter`` (seed, step, rank, ...)."""
        rng = np.random.default_rng(counter)
        rows, windows = self._draw("64mT", size, rng)
        low = self._surrounded if self.degrader else partial(self._crops, "64mT")
        source, source_mask = low(rows, windows)
        if pairing == "level":
            rows = self._level_rows(rows, rng)
        else:
            rows, windows = self._draw("3T", size, rng)
        target, target_mask = self._crops("3T", rows, windows)
        degraded = self._degraded(rows, windows, np.random.default_rng((*counter, 1)))
        return Batch(source, source_mask, target, target_mask, degraded)

    def pairs(self, size: int, rows: Array, *counter: int) -> Batch:
        """``size`` of the ``rows`` of a paired split, drawn by ``counter``: the same crop at both fields."""
        rng = np.random.default_rng(counter)
        drawn = rng.choice(rows, size)
        mask = self.split.mask("64mT")
        return self._pairs(drawn, [self._window(mask[row], rng) for row in drawn])

    def whole(self, rows: Array) -> Batch:
        """The ``rows`` of a paired split, whole and in order."""
        return self._pairs(rows, [(slice(None), slice(None), False)] * len(rows))

    def _pairs(self, rows: Array, windows: list[Window]) -> Batch:
        return Batch(*self._surrounded(rows, windows), *self._crops("3T", rows, windows))

    def target_crops(self, size: int, seed: int) -> Iterator[Tensor]:
        """Endless batches of 3 T crops [size, 3, crop, crop], for the teacher."""
        rng = np.random.default_rng(seed)
        while True:
            yield self._crops("3T", *self._draw("3T", size, rng))[0]

    def degraded_slices(self, seed: int, every: int = 1) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """One in ``every`` of the 3 T training slices.

        Degraded once, surrounded [1, 6, H, W]; itself [1, 3, H, W]; and the brain of both [1, H, W].
        """
        whole = [(slice(None), slice(None), False)]
        for row in range(0, len(self.split.mask("3T")), every):
            rows = np.array([row])
            target, mask = self._crops("3T", rows, whole)
            degraded = self._degraded(rows, whole, np.random.default_rng((seed, row)))
            assert degraded is not None
            yield degraded, target, mask & (parted(degraded)[0] > -1).any(1)

    def _draw(self, domain: str, size: int, rng: np.random.Generator) -> tuple[Array, list[Window]]:
        mask = self.split.mask(domain)
        rows = rng.integers(len(mask), size=size)
        return rows, [self._window(mask[row], rng) for row in rows]

    def _level_rows(self, source: Array, rng: np.random.Generator) -> Array:
        """For each 64 mT row, the row of a random 3 T subject that is nearest in relative height."""
        levels, subjects = relative_heights(self.split, "64mT").numpy(), self.split.subjects("3T")
        drawn = [subjects[i] for i in rng.integers(len(subjects), size=len(source))]
        last = [subject.stop - 1 - subject.start for subject in drawn]
        return np.array(
            [s.start + round(levels[row] * n) for row, s, n in zip(source, drawn, last, strict=True)]
        )

    def _crops(self, domain: str, rows: Array, windows: list[Window]) -> tuple[Tensor, Tensor]:
        t1, t2, inside = (
            torch.from_numpy(
                np.stack([_cut(a[row], *w) for row, w in zip(rows, windows, strict=True)]).astype(np.float32)
            )
            for a in (
                self.split.slices(domain, "T1"),
                self.split.slices(domain, "T2"),
                self.split.mask(domain),
            )
        )
        return channels.stack(t1, t2, self.layout), inside > 0

    def _surrounded(self, rows: Array, windows: list[Window]) -> tuple[Tensor, Tensor]:
        """64 mT crops with those below and above [B, 6, crop, crop], and their masks."""
        around = rows_around([(s.start, s.stop) for s in self.split.subjects("64mT")])
        below, above = (self._crops("64mT", each.numpy()[rows], windows)[0] for each in around)
        own, mask = self._crops("64mT", rows, windows)
        return surround(own, below, above), mask

    def _degraded(self, rows: Array, windows: list[Window], rng: np.random.Generator) -> Tensor | None:
        """Surrounded crops of 3 T slices as at 64 mT [B, 6, crop, crop].

        ``rng`` is not the batch's, which stays as it is without them.
        """
        if self.degrader is None:
            return None
        images = [self.degrader.degrade(row, rng) for row in rows]
        cut = np.stack([_cut(each, *w) for each, w in zip(images, windows, strict=True)], 2)
        own, below, above = (channels.stack(each[0], each[1], self.layout) for each in torch.from_numpy(cut))
        return surround(own, below, above)

    def _window(self, mask: Array, rng: np.random.Generator) -> Window:
        """A crop around a random brain pixel, moved inside the slice: every crop shows some brain.

        It ends with the slice where that is shorter than the crop.
        """
        inside = np.argwhere(mask)
        centre = inside[rng.integers(len(inside))]
        top, left = (
            int(np.clip(c - self.crop // 2, 0, max(0, n - self.crop)))
            for c, n in zip(centre, mask.shape, strict=True)
        )
        return slice(top, top + self.crop), slice(left, left + self.crop), bool(rng.integers(2))


def _cut(image: Array, rows: slice, columns: slice, mirrored: bool) -> Array:
    """A window of [..., H, W]."""
    piece = image[..., rows, columns]
    return piece[..., ::-1] if mirrored else piece


def whole_slices(split: Split, domain: str, layout: channels.Layout, rows: Array) -> Tensor:
    """The given rows as [N, 3, H, W] float32 in [-1, 1]."""
    t1, t2 = (torch.from_numpy(np.asarray(split.slices(domain, c)[rows], np.float32)) for c in ("T1", "T2"))
    return channels.stack(t1, t2, layout)


def halves(subjects: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Rows of half of the subjects, and of the rest; ``subjects``: rows (start, stop) of each.

    Of four subjects the first half has the outer two: both halves have as many even ones as odd ones, as the
    phantom's paired subjects are of two populations in turn.
    """
    found = [[torch.empty(0, dtype=torch.long)], [torch.empty(0, dtype=torch.long)]]
    for i, (start, stop) in enumerate(subjects):
        found[i % 4 in (1, 2)].append(torch.arange(start, stop))
    return [torch.cat(rows) for rows in found]


def example_subject(cohort: Cohort, layout: channels.Layout) -> Tensor:
    """All slices [L, 3, H, W] of the first 3 T training subject, inferior to superior."""
    split = cohort.split("train")
    first = split.subjects("3T")[0]
    return whole_slices(split, "3T", layout, np.arange(first.start, first.stop))


def relative_heights(split: Split, domain: str) -> Tensor:
    """Each row's relative height [N] within its subject, 0 lowest, 1 highest."""
    return torch.cat([torch.linspace(0, 1, s.stop - s.start) for s in split.subjects(domain)])
