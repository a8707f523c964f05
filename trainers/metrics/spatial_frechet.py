"""Frechet distance of an encoder's features at every position in the brain: pooling a slice hides anatomy.

The frozen 3 T-domain encoder of FID, read after its first two stages and whitened by the 3 T pool.
Shapes: N slices, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.moments import Gaussian, SubjectMoments, Whitening, frechet
from trainers.metrics.resampling import Comparison
from trainers.networks.encoder import ResidualEncoder

STAGES = 2
"""Stages that are read, from the first: it sees noise, the second anatomy."""
STRIDE = 2**STAGES
"""Pixels between positions: each stage halves the resolution."""
LEAST_ROWS = 10
"""Pool positions needed for each feature."""
_CHUNK = 64  # slices at once

Rows = Sequence[tuple[int, int]]
"""Rows (start, stop) of each subject."""


@dataclass(frozen=True, eq=False)
class SpatialPool:
    """The 3 T pool's features, whitened: a set is compared with mean 0 and covariance 1."""

    encoder: ResidualEncoder
    whitening: Whitening

    @classmethod
    def of(cls, encoder: ResidualEncoder, slices: Tensor, mask: Tensor, subjects: Rows) -> "SpatialPool":
        """Pool of 3 T slices [N, 3, H, W] in [-1, 1] with brain masks [N, H, W].

        Raises :class:`InputError` for fewer positions in the brain than the covariance needs.
        """
        moments = SubjectMoments.of(_positions(encoder, slices, mask, subjects))
        positions, features = int(moments.count.sum()), moments.total.shape[1]
        if positions < LEAST_ROWS * features:
            raise InputError(
                f"fid_spatial: {len(subjects)} pool subjects with {positions} positions in the brain are not "
                f"allowed; allowed: {LEAST_ROWS * features} positions or more"
            )
        everyone = torch.ones(1, len(subjects), dtype=torch.float64)
        return cls(encoder, Whitening.of(moments.balanced(everyone), features))

    def distance(self, slices: Tensor, mask: Tensor, subjects: Rows) -> float:
        """``fid_spatial`` of slices [N, 3, H, W] in [-1, 1] inside ``mask`` [N, H, W].

        Per feature, so 0 for the pool; a linear map of the features does not change it. A subject counts
        once. NaN where the slices are not finite.
        """
        return self.compare(slices, mask, subjects).values()["fid_spatial"]

    def compare(self, slices: Tensor, mask: Tensor, subjects: Rows) -> Comparison:
        """As :meth:`distance`, for any weights of the subjects."""
        positions = _positions(self.encoder, slices, mask, subjects)
        moments = SubjectMoments.of([self.whitening(part) for part in positions])
        pool = Gaussian.standard(self.whitening.components)

        def distances(weights: Tensor) -> dict[str, Tensor]:
            return {"fid_spatial": frechet(moments.balanced(weights), pool) / self.whitening.components}

        return Comparison(len(subjects), distances)


def _positions(encoder: ResidualEncoder, slices: Tensor, mask: Tensor, subjects: Rows) -> list[Tensor]:
    """Features [n, D] of each subject at the positions in the brain."""
    found = []
    for start, stop in subjects:
        parts = torch.split(torch.arange(start, stop), _CHUNK)
        found.append(torch.cat([_features(encoder, slices[part], mask[part]) for part in parts]))
    return found


@torch.no_grad()
def _features(encoder: ResidualEncoder, slices: Tensor, mask: Tensor) -> Tensor:
    """Features [n, D] of every read stage, on the CPU, one row for each position in the brain.

    Place (i, j) of a map is centred on pixel (i, j) times its stride: strides of 2 with equal padding.
    """
    device = next(encoder.parameters()).device
    maps, image = [], torch.where(mask[:, None], slices, -1.0).to(device)
    for stage in range(STAGES):
        image = encoder.stages[stage](image)
        step = 2 ** (STAGES - 1 - stage)
        maps.append(image[..., ::step, ::step])
    return torch.cat(maps, 1).movedim(1, -1).cpu()[mask[:, ::STRIDE, ::STRIDE].cpu()]
