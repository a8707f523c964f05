"""Realism without a trained network: Frechet distance of small patches in principal components of the 3 T.

Three blocks: *texture* (all fine patches), *place* (coarse patches, one Gaussian a region of the brain) and
*symmetry* (fine patches of a slice minus its mirror image). Works with T1, T2 or both.
Shapes: N slices, C contrasts, H rows, W columns, S subjects, R sets of weights; images in [0, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.moments import Gaussian, SubjectMoments, Whitening, frechet
from trainers.metrics.patches import PatchGrid
from trainers.metrics.resampling import Comparison

LEAST_ROWS = 20
"""Pool patches needed for each component."""

Rows = Sequence[tuple[int, int]]
"""Rows (start, stop) of each subject."""


@dataclass(frozen=True)
class Block:
    """One part of the score."""

    grid: PatchGrid
    components: int
    """Principal components for each contrast."""
    unit: float
    """Distance per component that counts as 1."""
    region_rows: int = 0
    """Least pool patches of a region that is compared."""


# Components and units: those with the largest margins of the sensitivity card on phantoms of 2 mm and 1 mm,
# checked on others. Symmetry has the largest unit: glued mirror images have no variance left at all, which
# would otherwise count more than everything that a 64 mT image lacks.
BLOCKS: Mapping[str, Block] = {
    "texture": Block(PatchGrid(pixel=1, step=8, share=0.9), 39, 0.0075),
    "place": Block(PatchGrid(pixel=4, step=4, share=0.8, regions=(4, 3, 3)), 24, 0.0017, 600),
    "symmetry": Block(PatchGrid(pixel=2, step=8, share=0.9, mirrored=True), 12, 0.16),
}


@dataclass(frozen=True, eq=False)
class BlockPool:
    """A block's principal components, and the pool's Gaussian in every region."""

    block: Block
    whitening: Whitening
    regions: Mapping[int, Gaussian]
    rows: Mapping[int, int]
    """The pool's patches in each region: its weight."""

    @classmethod
    def of(cls, name: str, images: Tensor, mask: Tensor, subjects: Rows, spacing: float) -> "BlockPool":
        """Pool of 3 T slices; raises :class:`InputError` where there are too few patches."""
        block = BLOCKS[name]
        patches, places = _cut(block, images, mask, subjects, spacing)
        raw = SubjectMoments.of(patches)
        components, everyone = block.components * images.shape[1], torch.ones(1, len(subjects)).double()
        _require(name, int(raw.count.sum()), LEAST_ROWS * components, len(subjects))
        whitening = Whitening.of(raw.balanced(everyone), components)
        white = [whitening(part) for part in patches]
        regions = {k: _within(white, places, k) for k in range(_count(block))}
        rows = {k: int(moments.count.sum()) for k, moments in regions.items()}
        _require(f"{name} in one region", max(rows.values()), block.region_rows, len(subjects))
        rows = {k: n for k, n in rows.items() if n >= max(1, block.region_rows)}
        weights = everyone / raw.count.clamp(min=1)
        return cls(block, whitening, {k: regions[k].pooled(weights) for k in rows}, rows)

    def compare(self, images: Tensor, mask: Tensor, subjects: Rows, spacing: float) -> "BlockComparison":
        """The statistics of slices, by region."""
        patches, places = _cut(self.block, images, mask, subjects, spacing)
        white = [self.whitening(part) for part in patches]
        count = torch.tensor([max(1, len(part)) for part in white])
        return BlockComparison(self, count, {k: _within(white, places, k) for k in self.regions})


@dataclass(frozen=True, eq=False)
class BlockComparison:
    """A block's statistics of one set of slices, to be compared with the pool."""

    pool: BlockPool
    count: Tensor
    """[S], patches of each subject."""
    regions: Mapping[int, SubjectMoments]

    def distances(self, weights: Tensor) -> Tensor:
        """Distance [R] per component in the block's unit for weights [R, S] of subjects.

        Mean over the regions in which the set has enough patches, weighted by the pool's patches there.
        """
        components = self.pool.whitening.components
        # A subject counts once over all regions, not in each: a few patches there are no subject's worth.
        each = weights / self.count
        total, mass = torch.zeros(2, len(weights), dtype=torch.float64)
        for region, moments in self.regions.items():
            enough = (weights > 0).double() @ moments.count > components
            distance = frechet(moments.pooled(each), self.pool.regions[region])
            total = total + torch.where(enough, self.pool.rows[region] * distance, 0)
            mass = mass + enough * self.pool.rows[region]
        mean: Tensor = total / mass / components / self.pool.block.unit
        return mean


@dataclass(frozen=True, eq=False)
class PatchPool:
    """The 3 T pool of every block."""

    spacing: float
    """In the plane (mm)."""
    blocks: Mapping[str, BlockPool]

    @classmethod
    def of(cls, images: Tensor, mask: Tensor, subjects: Rows, spacing: float) -> "PatchPool":
        """Pool of 3 T slices [N, C, H, W] in [0, 1] with brain masks [N, H, W].

        Raises :class:`InputError` for a cohort that is too small.
        """
        inside = torch.where(mask[:, None], images, 0)
        return cls(spacing, {name: BlockPool.of(name, inside, mask, subjects, spacing) for name in BLOCKS})

    def distance(self, images: Tensor, mask: Tensor, subjects: Rows) -> dict[str, float]:
        """``patch_fd``, the mean of its blocks in their units, and each block as ``patch_<block>``.

        Slices [N, C, H, W] in [0, 1] inside ``mask`` [N, H, W]. A subject counts once. NaN where the
        slices are not finite or have fewer patches than components.
        """
        return self.compare(images, mask, subjects).values()

    def compare(self, images: Tensor, mask: Tensor, subjects: Rows) -> Comparison:
        """As :meth:`distance`, for any weights of the subjects."""
        inside = torch.where(mask[:, None], images, 0)
        parts = {name: b.compare(inside, mask, subjects, self.spacing) for name, b in self.blocks.items()}

        def distances(weights: Tensor) -> dict[str, Tensor]:
            blocks = {f"patch_{name}": part.distances(weights) for name, part in parts.items()}
            return {"patch_fd": torch.stack(list(blocks.values())).mean(0)} | blocks

        return Comparison(len(subjects), distances)


def _require(what: str, rows: int, needed: int, subjects: int) -> None:
    if rows < needed:
        enough = f"about {-(-needed * subjects // rows)} subjects" if rows else "slices with more brain"
        raise InputError(
            f"patch_fd: {subjects} pool subjects with {rows} patches of {what} are not allowed; "
            f"allowed: {needed} patches or more ({enough})"
        )


def _cut(
    block: Block, images: Tensor, mask: Tensor, subjects: Rows, spacing: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Patches and their regions of each subject."""
    cut = [block.grid.cut(images[start:stop], mask[start:stop], spacing) for start, stop in subjects]
    return [patches for patches, _ in cut], [regions for _, regions in cut]


def _count(block: Block) -> int:
    back, outwards, height = block.grid.regions
    return back * outwards * height


def _within(patches: Sequence[Tensor], places: Sequence[Tensor], region: int) -> SubjectMoments:
    return SubjectMoments.of([part[place == region] for part, place in zip(patches, places, strict=True)])
