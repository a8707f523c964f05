"""Separable Gaussian smoothing as two matrix products: on a CPU several times faster than convolving."""

import torch
from torch import Tensor


def smoothing_matrix(side: int, window: int, sigma: float, like: Tensor) -> Tensor:
    """Weights [side, side], row i those of output i, of a unit-sum Gaussian window with the ends replicated.

    ``window`` taps (odd), ``sigma`` in samples; dtype and device of ``like``. Rows ``window // 2`` to
    ``side - window // 2`` never touch the ends.
    """
    offsets = torch.arange(window, device=like.device) - window // 2
    taps = torch.exp(-(offsets.to(like.dtype) ** 2) / (2 * sigma**2))
    columns = (torch.arange(side, device=like.device)[:, None] + offsets).clamp(0, side - 1)
    matrix = like.new_zeros(side, side)
    return matrix.scatter_add_(1, columns, (taps / taps.sum()).expand(side, window))
