"""Running means of gradients' norms, by which a term is weighted relative to another."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

DECAY = 0.8
"""Of the exponential moving averages, a measurement."""
LIMIT = 1e4
"""Largest quotient of two norms: a term whose gradient vanishes is not followed into noise."""


class RunningNorms(nn.Module):
    """Exponential moving averages of norms by name, unbiased from the start (Kingma & Ba 2015, 3).

    They are buffers, so that a checkpoint keeps them. Nothing waits for the GPU.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        for name in self.names:
            self.register_buffer(f"sum_{name}", torch.zeros(()))
            self.register_buffer(f"weight_{name}", torch.zeros(()))

    @torch.no_grad()
    def update(self, norms: Mapping[str, Tensor]) -> None:
        """One measurement of some of the names; others in ``norms`` are ignored."""
        for name in self.names:
            if name in norms:
                getattr(self, f"sum_{name}").lerp_(norms[name].float(), 1 - DECAY)
                getattr(self, f"weight_{name}").lerp_(torch.ones_like(norms[name]).float(), 1 - DECAY)

    def quotient(self, name: str, reference: str) -> Tensor:
        """Mean norm of ``reference`` over that of ``name``, at most :data:`LIMIT`; 0 where one is missing."""
        (of_name, count), (of_reference, other) = self._means(name), self._means(reference)
        measured = (count > 0) & (other > 0)
        return torch.where(measured, (of_reference / of_name.clamp_min(1e-30)).clamp_max(LIMIT), 0.0)

    def _means(self, name: str) -> tuple[Tensor, Tensor]:
        total, weight = getattr(self, f"sum_{name}"), getattr(self, f"weight_{name}")
        return total / weight.clamp_min(1e-30), weight
