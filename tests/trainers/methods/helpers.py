"""Contexts, batches and update functions for single steps of methods."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainers.data.batch import Batch
from trainers.methods.base import Context
from trainers.references.config import ReferenceConfig

SMALL: dict[str, Any] = {"generator_width": 4, "generator_blocks": 1, "discriminator_width": 4, "crop": 32}
"""Settings of methods with one generator and a discriminator."""


def built(module: Any, **settings: Any) -> Any:
    """The method of a module from a fixed seed; references that it does not need are left out."""
    torch.manual_seed(0)
    unused: Any = nn.Identity()
    context = Context(ReferenceConfig(), unused, unused, torch.zeros(1, 3, 32, 32))
    return module.Method(module.Config(**settings), context)


def images(count: int = 2, side: int = 32, seed: int = 0) -> Tensor:
    """Uniform noise [count, 3, side, side] in [-1, 1]."""
    return 2 * torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) - 1


def inside(count: int = 2, side: int = 32) -> Tensor:
    return torch.ones(count, side, side, dtype=torch.bool)


def batch(seed: int = 0, side: int = 32) -> Batch:
    mask = inside(2, side)
    return Batch(images(2, side, 2 * seed), mask, images(2, side, 2 * seed + 1), mask)


def ignore(names: Sequence[str], loss: Tensor) -> None:
    """Trains nothing."""


class Updates:
    """Trains nothing and records the names and losses of each update."""

    def __init__(self) -> None:
        self.losses: dict[tuple[str, ...], Tensor] = {}

    def __call__(self, names: Sequence[str], loss: Tensor) -> None:
        self.losses[tuple(names)] = loss

    @property
    def order(self) -> list[tuple[str, ...]]:
        return list(self.losses)
