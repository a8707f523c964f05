"""Translations by intensity alone, without a network: what every table shows beside the candidates.

Images are slices [N, H, W] in [0, 1] of "T1", "T2" or both; a mask [N, H, W] of bool is the brain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.data.arrays import Array

Images = Mapping[str, Tensor]

QUANTILES = np.linspace(0, 1, 257)
BINS = 32
"""Cells of a lookup along each contrast, equally full."""
SMOOTHING = 1.0
"""Sigma (cells) of a lookup's smoothing: a cell of few pixels takes the mean of its neighbourhood."""


@dataclass(frozen=True)
class HistogramMatch:
    """By contrast, the monotone curve that makes one pool's histogram another's; needs no pairs."""

    curves: Mapping[str, tuple[Array, Array]]
    """Intensities of equal rank: in the source's pool, in the target's."""

    @classmethod
    def of(cls, source: Images, source_mask: Tensor, target: Images, target_mask: Tensor) -> "HistogramMatch":
        """The curves from one pool of slices to another, of brain pixels alone."""
        pools = (source, source_mask), (target, target_mask)
        return cls({c: tuple(_quantiles(images[c][mask]) for images, mask in pools) for c in source})  # type: ignore[misc]

    def apply(self, images: Images, mask: Tensor) -> dict[str, Tensor]:
        """The mapped slices, black outside the mask."""
        found = {}
        for contrast, image in images.items():
            mapped = np.interp(image.numpy(), *self.curves[contrast])
            found[contrast] = torch.where(mask, torch.from_numpy(mapped).to(image), 0)
        return found


@dataclass(frozen=True)
class JointLookup:
    """The mean target intensities of each combination of source intensities, learnt from registered pairs.

    The best that can be done pixel by pixel, up to the width of a cell.
    """

    ranks: Mapping[str, Array]
    """Edges [BINS + 1] of the cells of each source contrast."""
    means: Mapping[str, Array]
    """[BINS, ...] of each target contrast, an axis a source contrast."""

    @classmethod
    def of(cls, source: Images, target: Images, region: Tensor) -> "JointLookup":
        """From slices of some subjects, paired pixel by pixel inside ``region``."""
        from scipy.ndimage import gaussian_filter

        ranks = {
            c: np.quantile(image[region].numpy(), np.linspace(0, 1, BINS + 1)) for c, image in source.items()
        }
        cells = np.stack([_cell(source[c][region].numpy(), edges) for c, edges in ranks.items()], 1)
        bins = [np.arange(BINS + 1) - 0.5] * len(ranks)

        def total(weights: Array | None) -> Array:
            return gaussian_filter(np.histogramdd(cells, bins, weights=weights)[0], SMOOTHING, mode="nearest")

        count = total(None)
        return cls(ranks, {c: _filled(total(image[region].numpy()), count) for c, image in target.items()})

    def apply(self, images: Images, mask: Tensor) -> dict[str, Tensor]:
        """The mapped slices, linear between the middles of the cells, black outside the mask."""
        from scipy.ndimage import map_coordinates

        cells = [_cell(images[c][mask].numpy(), edges) for c, edges in self.ranks.items()]
        found = {}
        for contrast, means in self.means.items():
            image = torch.zeros(mask.shape)
            image[mask] = torch.from_numpy(map_coordinates(means, cells, order=1, mode="nearest")).float()
            found[contrast] = image
        return found


def _quantiles(values: Tensor) -> Array:
    return np.quantile(values.numpy().astype(np.float64), QUANTILES)


def _cell(values: Array, edges: Array) -> Array:
    """Each value's position in cells: k at the middle of cell k."""
    return np.asarray(np.clip(np.interp(values, edges, np.arange(BINS + 1.0)) - 0.5, 0, BINS - 1))


def _filled(total: Array, count: Array) -> Array:
    """Means of the cells; one far from all data takes the nearest one's."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(count < 1e-3, return_distances=False, return_indices=True)
    return np.asarray((total / np.maximum(count, 1e-12))[tuple(nearest)])
