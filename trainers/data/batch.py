"""One unpaired batch: slices of 64 mT subjects and slices of other subjects at 3 T."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Pairing = Literal["random", "level"]
"""``level``: each 3 T slice has the relative height of its 64 mT slice, and the same crop."""


@dataclass(frozen=True)
class Batch:
    """Images [B, 3, H, W] in [-1, 1] with brain masks [B, H, W]; ``source`` is 64 mT, ``target`` 3 T.

    As drawn for methods that restore, and of pairs, ``source`` and ``degraded`` are surrounded [B, 6, H, W]
    (:mod:`trainers.data.neighbours`).
    """

    source: Tensor
    source_mask: Tensor
    target: Tensor
    target_mask: Tensor
    degraded: Tensor | None = None
    """``target`` as it would be at 64 mT, for methods that restore; else None."""
    restored: Tensor | None = None
    """What their restoration is to be; None: ``target``."""
