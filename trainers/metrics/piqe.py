"""PIQE: perception-based quality of a slice without a reference, 0 best, 100 worst.

Venkatanath et al., NCC 2015, in the form of MATLAB R2018b (DATA.md B2). It is not monotone in noise (a little
noise scores better than none): report it with a noise estimate and never tune on it.
"""

import torch
from torch import Tensor

from trainers.metrics.smoothing import smoothing_matrix

BLOCK = 16
_STRIDE = BLOCK // 2
_THRESHOLD = 0.1  # a block is active above this variance, a segment flat below this deviation
_SEGMENT = 6
_WINDOW, _SIGMA = 7, 7 / 6


def piqe(images: Tensor, masks: Tensor | None = None) -> Tensor:
    """PIQE of slices [B, H, W] in [0, 1]: [B], float64.

    Without masks, as in MATLAB: the whole slice, padded to whole blocks, scaled by its own maximum.
    With masks [B, H, W]: only blocks fully inside, the mean of the scores on four grids shifted by (0, 8)^2
    (a grid that holds no block is left out), 1 taken as the volume's maximum; NaN where no block is inside.
    """
    images = images.double()
    if masks is None:
        images = _pad(images)
        blocks = _tiles(_normalised(images / images.amax((1, 2), keepdim=True)), BLOCK)
        everywhere = torch.ones(blocks.shape[:3], dtype=torch.bool, device=images.device)
        distortion, active = _assess(blocks, everywhere)
        return _score(distortion.sum((1, 2)), active.sum((1, 2)))
    inside = _inside(masks)
    distortion, active = _assess(_tiles(_normalised(images), _STRIDE), inside)
    scores = _score(_per_grid(distortion), _per_grid(active))
    return torch.where(_per_grid(inside) > 0, scores, torch.nan).nanmean(1)


def _score(distortion: Tensor, active: Tensor) -> Tensor:
    return 100 * (distortion + 1) / (active + 1)


def _assess(blocks: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Distortion and activity (0 or 1) [B, R, C] of the blocks [B, R, C, 16, 16] inside; 0 elsewhere."""
    chosen = blocks[inside]
    sums, squares = chosen.sum(1), (chosen * chosen).sum(1)  # of each column
    spread, surround, centre = (
        _deviation(sums[:, columns], squares[:, columns], BLOCK * len(columns)) for columns in _COLUMNS
    )
    variance, ratio = spread**2, (centre / surround).nan_to_num(nan=0.0, posinf=torch.inf)
    beta = (spread - ratio).abs() / torch.maximum(spread, ratio)
    active = variance > _THRESHOLD
    distortion = torch.where(_impaired(chosen), 1 - variance, 0) + torch.where(spread > 2 * beta, variance, 0)
    result = blocks.new_zeros(2, *inside.shape)
    result[:, inside] = torch.stack([distortion * active, active.to(distortion)])
    return result[0], result[1]


# Whole block, surround, centre. MATLAB drops column 8, then the 9th of the rest: 8 and 10, counted from 1.
_COLUMNS = (list(range(BLOCK)), [c for c in range(BLOCK) if c not in (7, 9)], [7, 8])


def _deviation(sums: Tensor, squares: Tensor, count: int) -> Tensor:
    """Sample deviation of ``count`` values from their partial sums [K, P] and sums of squares [K, P]: [K]."""
    return ((squares.sum(1) - sums.sum(1) ** 2 / count) / (count - 1)).clamp(min=0).sqrt()


def _impaired(blocks: Tensor) -> Tensor:
    """Whether any segment of the four edges of blocks [K, 16, 16] is flat: [K]."""
    edges = torch.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], 1)
    return (edges.unfold(2, _SEGMENT, 1).std(3) < _THRESHOLD).flatten(1).any(1)


def _normalised(images: Tensor) -> Tensor:
    """Mean-subtracted contrast-normalised coefficients of images [B, H, W] in [0, 1], float64."""
    levels = (255 * images).round_()
    rows, columns = (smoothing_matrix(side, _WINDOW, _SIGMA, levels) for side in levels.shape[1:])
    mean, energy = (rows @ (x @ columns.T) for x in (levels, levels * levels))
    deviation = energy.addcmul_(mean, mean, value=-1).abs_().sqrt_()
    return (levels - mean) / deviation.add_(1)


def _pad(images: Tensor) -> Tensor:
    """Extend the sides to multiples of 16 by mirroring, the edge pixel repeated."""
    rows, columns = (_mirrored(side, images.device) for side in images.shape[1:])
    return images[:, rows][:, :, columns]


def _mirrored(side: int, device: torch.device) -> Tensor:
    index = torch.arange(side + -side % BLOCK, device=device) % (2 * side)
    return torch.minimum(index, 2 * side - 1 - index)


def _tiles(images: Tensor, stride: int) -> Tensor:
    """Blocks [B, R, C, 16, 16] of images [B, H, W], as a view."""
    rows: Tensor = images.unfold(1, BLOCK, stride)
    return rows.unfold(2, BLOCK, stride)


def _inside(masks: Tensor) -> Tensor:
    """Which blocks at half-block stride lie fully inside masks [B, H, W]: [B, R, C]."""
    return _tiles(masks, _STRIDE).flatten(3).all(3)


def _per_grid(maps: Tensor) -> Tensor:
    """Sums of maps [B, R, C] at half-block stride over each of the four grids: [B, 4]."""
    return torch.stack([maps[:, row::2, column::2].sum((1, 2)) for row in (0, 1) for column in (0, 1)], 1)
