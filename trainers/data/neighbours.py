"""Slices with the mean of the slices above and below, which tells what of a thick slice belongs to them.

Shapes: B slices, H rows, W columns. ``surrounded`` slices are [B, 6, H, W]: three channels of the slice, then
three of that mean.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CHANNELS = 3
"""Of a slice."""


def rows_around(subjects: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Rows below and above each row of subjects (start, stop), the first from row 0; at an end the row."""
    first, stop = torch.tensor(subjects, dtype=torch.long).reshape(-1, 2).T
    count, own = stop - first, torch.arange(int((stop - first).sum()))
    below = torch.maximum(own - 1, first.repeat_interleave(count))
    return below, torch.minimum(own + 1, (stop - 1).repeat_interleave(count))


def surround(own: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Slices [B, 3, H, W] in [-1, 1] with their neighbours, which are like them where they are black."""
    known = [torch.where((other <= -1).all(1, keepdim=True), own, other) for other in (below, above)]
    return torch.cat((own, (known[0] + known[1]) / 2), 1)


def surrounded(slices: Tensor, subjects: Sequence[tuple[int, int]] | None = None) -> Tensor:
    """All slices [N, 3, H, W] of ``subjects``, rows (start, stop) of each; by default of one."""
    below, above = rows_around(subjects or [(0, len(slices))])
    return surround(slices, slices[below.to(slices.device)], slices[above.to(slices.device)])


def parted(images: Tensor) -> tuple[Tensor, Tensor]:
    """Slices and the mean of their neighbours, each [B, 3, H, W]; a slice without them is its own."""
    return images[:, :CHANNELS], images[:, -CHANNELS:]
