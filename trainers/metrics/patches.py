"""Patches of a subject's brain, and the region of the brain that each lies in.

Shapes: n slices of one subject, C contrasts, H rows, W columns.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8
"""Pixels of a patch's side."""
_HALF = 0.5 - 1e-9

Box = tuple[int, int, int, int]
"""First and last row, first and last column of the brain in any slice."""


@dataclass(frozen=True, kw_only=True)
class PatchGrid:
    """How patches are cut."""

    pixel: float
    """mm; slices are averaged down to about this."""
    step: float
    """mm between patches."""
    share: float
    """Least share of brain in a patch."""
    regions: tuple[int, int, int] = (1, 1, 1)
    """Parts of the brain from front to back, from the middle outwards, and from low to high."""
    mirrored: bool = False
    """Whether a slice's mirror image is subtracted."""

    def cut(self, images: Tensor, mask: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
        """Patches [P, C * SIDE^2], float64, of images [n, C, H, W] in ``mask`` [n, H, W]; their regions [P].

        Slices from inferior to superior; ``spacing`` in mm. Both sides of the middle share their regions.
        """
        factor = max(1, round(self.pixel / spacing))
        stride = max(1, round(self.step / (factor * spacing)))
        inside = F.avg_pool2d(mask[:, None].double(), factor) > _HALF
        coarse = F.avg_pool2d(images.double(), factor)
        box = brain_box(inside[:, 0])
        if self.mirrored:
            coarse = coarse - reflected(coarse, box)
            inside = inside & (reflected(inside.double(), box) > _HALF)
        share = F.avg_pool2d(inside.double(), SIDE, stride).flatten(1)
        kept = share > self.share - 1e-9
        regions = self._regions((len(inside), inside.shape[2], inside.shape[3]), stride, box)
        return F.unfold(coarse, SIDE, stride=stride).mT[kept], regions[kept]

    def _regions(self, shape: tuple[int, int, int], stride: int, box: Box) -> Tensor:
        """The region of each patch [n, L] of slices of ``shape`` (n, H, W), exact at borders."""
        top, bottom, left, right = box
        rows, columns = (  # twice the patches' middles
            2 * torch.arange(0, side - SIDE + 1, stride) + SIDE - 1 for side in shape[1:]
        )
        relative = (
            (rows - 2 * top, 2 * (bottom - top)),
            ((columns - left - right).abs(), right - left),
            (torch.arange(shape[0]), max(shape[0] - 1, 1)),
        )
        back, outwards, height = (
            (distance * parts).div(length, rounding_mode="floor").clamp(0, parts - 1)
            for (distance, length), parts in zip(relative, self.regions, strict=True)
        )
        in_plane = back[:, None] * self.regions[1] + outwards
        return in_plane.flatten() * self.regions[2] + height[:, None]


def brain_box(mask: Tensor) -> Box:
    """The box of the brain in masks [n, H, W], at least two pixels wide; the corner's if there is none."""
    rows, columns = (torch.nonzero(mask.any(0).any(axis)).flatten().tolist() or [0] for axis in (1, 0))
    return rows[0], max(rows[-1], rows[0] + 1), columns[0], max(columns[-1], columns[0] + 1)


def reflected(images: Tensor, box: Box) -> Tensor:
    """Images [..., W] mirrored about the middle of the box's columns; zero comes in."""
    width = images.shape[-1]
    columns = box[2] + box[3] - torch.arange(width)
    valid = (columns >= 0) & (columns < width)
    return images[..., columns.clamp(0, width - 1)] * valid
