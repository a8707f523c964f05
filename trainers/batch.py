"""One unpaired batch: slices of 64 mT subjects beside slices of other subjects at 3 T."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images [B, 3, H, W] in [-1, 1] with brain masks [B, H, W]; ``source`` is 64 mT, ``target`` 3 T."""

    source: Tensor
    source_mask: Tensor
    target: Tensor
    target_mask: Tensor
