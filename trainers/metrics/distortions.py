"""Distortions of where things are in a slice: blocks out of order, warps, mirrored halves, a wrong cortex.

Images [N, C, H, W], brain masks [N, H, W]; lengths in pixels. Generators decide what is random.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.metrics.edges import smooth_inside
from trainers.metrics.patches import Box, brain_box, reflected
from trainers.metrics.surface import dilate

Rows = Sequence[tuple[int, int]]
"""Rows (start, stop) of each subject."""


def shuffled(
    images: Tensor, mask: Tensor, subjects: Rows, side: int, seam: float, generator: torch.Generator
) -> Tensor:
    """Square blocks of ``side`` inside the brain in another order within each slice; of two none stays.

    ``seam`` is the width over which a block fades into what was there; 0 for a hard edge.
    """
    result, window = images.clone(), _window(side, seam).to(images)
    for start, stop in subjects:
        corners = _corners(brain_box(mask[start:stop]), side)
        for row in range(start, stop):
            inside = [corner for corner in corners if bool(_block(mask[row], corner, side).all())]
            order = torch.randperm(len(inside), generator=generator).tolist()
            # One cycle through a random order: none stays.
            for here, there in zip(order, order[1:] + order[:1], strict=True):
                own, other = (_block(images[row], inside[i], side) for i in (here, there))
                _block(result[row], inside[here], side).copy_(torch.lerp(own, other, window))
    return result


def warped(images: Tensor, largest: float, sigma: float, generator: torch.Generator) -> Tensor:
    """A random warp of each slice: white noise smoothed by ``sigma``, at most ``largest``; bicubic."""
    n, _, height, width = images.shape
    field = torch.randn(2 * n, height, width, generator=generator)
    smooth = smooth_inside(field, torch.ones_like(field, dtype=torch.bool), sigma).reshape(
        n, 2, height, width
    )
    moved = smooth / smooth.abs().amax((1, 2, 3), keepdim=True) * largest
    identity = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), [n, 1, height, width], align_corners=False)
    grid = identity + moved.movedim(1, -1).to(identity) * 2 / torch.tensor([width, height])
    return F.grid_sample(images, grid, mode="bicubic", align_corners=False)


def mirrored_halves(images: Tensor, mask: Tensor, subjects: Rows) -> Tensor:
    """The right half of the brain's box, and its mirror image in the place of the left one."""
    result, columns = images.clone(), torch.arange(images.shape[-1])
    for start, stop in subjects:
        box = brain_box(mask[start:stop])
        own = images[start:stop]
        result[start:stop] = torch.where(2 * columns < box[2] + box[3], reflected(own, box), own)
    return result


def pasted_cortex(images: Tensor, mask: Tensor, subjects: Rows, depth: float) -> Tensor:
    """The outer ``depth`` of the next subject's brain at the same relative height, the boxes' middles laid
    over each other; the subject's own where the other has none.
    """
    result, rim = images.clone(), mask & dilate(~mask, depth)
    for (start, stop), (first, last) in zip(subjects, (*subjects[1:], subjects[0]), strict=True):
        rows = first + torch.linspace(0, last - 1 - first, stop - start).round().long()
        own, other = _middle(brain_box(mask[start:stop])), _middle(brain_box(mask[rows]))
        shifts = own[0] - other[0], own[1] - other[1]
        image, there = (x.roll(shifts, (-2, -1)) for x in (images[rows], mask[rows]))
        result[start:stop] = torch.where((rim[start:stop] & there)[:, None], image, images[start:stop])
    return result


def _window(side: int, seam: float) -> Tensor:
    """Weights [side, side] of a block: 1 inside, a cosine down to its border."""
    depth = torch.minimum(torch.arange(side), torch.arange(side - 1, -1, -1)) + 0.5
    ramp = (1 - torch.cos(math.pi * (depth / seam).clamp(max=1))) / 2 if seam else torch.ones(side)
    return ramp[:, None] * ramp


def _corners(box: Box, side: int) -> list[tuple[int, int]]:
    """Corners of the blocks of a grid over the box."""
    top, bottom, left, right = box
    return [(i, j) for i in range(top, bottom - side + 2, side) for j in range(left, right - side + 2, side)]


def _block(image: Tensor, corner: tuple[int, int], side: int) -> Tensor:
    return image[..., corner[0] : corner[0] + side, corner[1] : corner[1] + side]


def _middle(box: Box) -> tuple[int, int]:
    return (box[0] + box[1]) // 2, (box[2] + box[3]) // 2
