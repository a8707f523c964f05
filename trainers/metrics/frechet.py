"""Frechet and kernel distances of features to a fixed pool.

Small sets make the Frechet distance large (DATA.md B1): compare at equal N only, and with the distance
of real slices to the same pool.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

# Late: a trial needs it at its first report only.
if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

_ROWS = 1024  # kernel rows in memory at once


@dataclass(frozen=True, eq=False)
class FeaturePool:
    """The fixed pool of features that sets are compared with; what depends on it alone is computed once."""

    features: Tensor
    """[M, D], float64."""

    @classmethod
    def of(cls, features: Tensor) -> "FeaturePool":
        """Take features [M, D] of any float type."""
        return cls(features.detach().to(torch.float64))

    def fid(self, features: Tensor) -> float:
        """:meth:`frechet` by torchmetrics; within 1e-4 of it."""
        rows = features.detach().to(self.features)
        if len(rows) < 2 or not (rows.isfinite().all() and self.features.isfinite().all()):
            return float("nan")
        self._torchmetrics.update(rows, real=False)
        value = float(self._torchmetrics.compute())
        self._torchmetrics.reset()
        return max(0.0, value)

    def frechet(self, features: Tensor) -> float:
        """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) >= 0 of features [N, D] (Heusel et al. 2017, eq. 6).

        Covariances of n - 1. With any factors S1 = A^T A, S2 = B^T B the last trace is the nuclear norm of
        A B^T: real, no matrix square root, exact for singular covariances (DATA.md B1). NaN with fewer than
        two rows or where a value is not finite (a diverged trial). Several times faster than :meth:`fid`,
        which matters for the values without each subject.
        """
        if len(features) < 2:
            return float("nan")
        mean, factor = _moments(features.detach().to(self.features))
        pool_mean, pool_factor = self._pool
        if not (factor.isfinite().all() and pool_factor.isfinite().all()):
            return float("nan")
        trace = torch.linalg.svdvals(factor @ pool_factor.T).sum()
        spread = factor.square().sum() + pool_factor.square().sum() - 2 * trace
        return max(0.0, float((mean - pool_mean).square().sum() + spread))

    def kernel(self, features: Tensor) -> float:
        """Unbiased squared MMD of features [N, D], kernel (x.y / D + 1)^3 (Binkowski et al. 2018, section 4).

        N need not be the pool's M, as torchmetrics' KID requires, which therefore takes random subsets. About
        0, of either sign, for equal distributions; NaN for a single row.
        """
        rows = features.detach().to(self.features)
        across = _kernel_rows(rows, self.features).mean()
        return float(_similarity_within(rows) + self._within - 2 * across)

    @cached_property
    def _torchmetrics(self) -> "FrechetInceptionDistance":
        """Torchmetrics' distance of features, the pool's taken in."""
        from torchmetrics.image.fid import FrechetInceptionDistance

        features = _Features(self.features.shape[1])
        # One process of a trial validates; by default torchmetrics would wait for the others here.
        distance = FrechetInceptionDistance(features, reset_real_features=False, sync_on_compute=False)
        distance.update(self.features, real=True)
        return distance

    @cached_property
    def _pool(self) -> tuple[Tensor, Tensor]:
        return _moments(self.features)

    @cached_property
    def _within(self) -> Tensor:
        return _similarity_within(self.features)


class _Features(nn.Identity):
    """The network of torchmetrics: it is given features."""

    num_features: int

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width


@dataclass(frozen=True)
class Interval:
    """A confidence interval and the estimate that it belongs to."""

    estimate: float
    low: float
    high: float


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and a factor A [min(N, D), D] of the covariance A^T A; NaN for a single row."""
    rows, dimension = features.shape
    mean = features.mean(0)
    factor = (features - mean) / features.new_tensor(rows - 1).sqrt()
    # QR's triangle has the same Gram matrix in D rows and, unlike a Cholesky factor, always exists.
    return mean, torch.linalg.qr(factor, mode="r").R if rows > dimension else factor


def _kernel_rows(x: Tensor, y: Tensor) -> Tensor:
    """Mean kernel [N] of each row of x [N, D] with all rows of y [M, D]."""
    parts = x.tensor_split(tuple(range(_ROWS, len(x), _ROWS)))
    return torch.cat([((part @ y.T / x.shape[1] + 1) ** 3).mean(1) for part in parts])


def _similarity_within(x: Tensor) -> Tensor:
    """Mean kernel over ordered pairs of different rows."""
    own = (x.square().sum(1) / x.shape[1] + 1) ** 3
    total = _kernel_rows(x, x).sum() * len(x)
    return (total - own.sum()) / own.new_tensor(len(x) * (len(x) - 1))
