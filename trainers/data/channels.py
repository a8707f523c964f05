"""How a slice's contrasts become the three channels of a network (METHOD.md section 3).

Shapes: B batch, H rows, W columns.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Layout = Literal["t1_t2_mean", "t1", "t2"]
"""``t1_t2_mean``: T1, T2 and their mean; ``t1``, ``t2``: one contrast three times."""

_CONTRASTS: dict[Layout, tuple[str, ...]] = {"t1_t2_mean": ("T1", "T2"), "t1": ("T1",), "t2": ("T2",)}


def contrasts(layout: Layout) -> tuple[str, ...]:
    """The contrasts that a layout carries."""
    return _CONTRASTS[layout]


def stack(t1: Tensor, t2: Tensor, layout: Layout) -> Tensor:
    """``[B, H, W]`` slices of both contrasts -> ``[B, 3, H, W]``."""
    third = {"t1_t2_mean": (t1, t2, (t1 + t2) / 2), "t1": (t1, t1, t1), "t2": (t2, t2, t2)}
    return torch.stack(third[layout], dim=1)


def restack(images: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """As :func:`stack`, of the contrasts that are there: a layout of one contrast ignores the other."""
    present = next(iter(images.values()))
    return stack(images.get("T1", present), images.get("T2", present), layout)


def delivered(x: Tensor, layout: Layout) -> Tensor:
    """``[B, 3, H, W]`` rebuilt from the contrasts that a user receives: a free channel counts nowhere."""
    return restack(split(x, layout), layout)


def split(x: Tensor, layout: Layout) -> dict[str, Tensor]:
    """``[B, 3, H, W]`` -> each contrast ``[B, H, W]``: the inverse of :func:`stack`.

    A generator's channels may differ: those of one contrast are averaged.
    """
    if layout == "t1_t2_mean":
        return {"T1": x[:, 0], "T2": x[:, 1]}
    return {contrasts(layout)[0]: x.mean(dim=1)}
