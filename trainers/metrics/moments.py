"""Counts, sums and second moments of each subject's samples, and Frechet distances from them.

Resampling subjects then costs sums of matrices, no second pass over the images.
Shapes: S subjects, R sets of weights, D numbers a sample; all float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_NEGLIGIBLE = 1e-6  # variance of a direction over the largest: below it float32 features are rounding


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean [..., D] and covariance [..., D, D]."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def standard(cls, dimension: int) -> "Gaussian":
        """Mean 0 [1, D] and covariance 1 [1, D, D]."""
        unit = torch.eye(dimension, dtype=torch.float64)[None]
        return cls(torch.zeros_like(unit[0, :1]), unit)


@dataclass(frozen=True, eq=False)
class SubjectMoments:
    """Sufficient statistics of the samples of each subject."""

    count: Tensor
    """[S]"""
    total: Tensor
    """[S, D]"""
    second: Tensor
    """[S, D, D], sums of outer products."""

    @classmethod
    def of(cls, samples: Sequence[Tensor]) -> "SubjectMoments":
        """Of the samples [n, D] of every subject, in any float type; a subject may have none."""
        parts = [part.double() for part in samples]
        return cls(
            torch.tensor([len(part) for part in parts], dtype=torch.float64),
            torch.stack([part.sum(0) for part in parts]),
            torch.stack([part.T @ part for part in parts]),
        )

    def pooled(self, weights: Tensor) -> Gaussian:
        """Mean [R, D] and covariance [R, D, D] with weights [R, S] of each of a subject's samples.

        The covariance is that of n - 1, n the samples of the subjects with a weight; NaN for n < 2.
        """
        mass = (weights @ self.count)[:, None]
        mean = weights @ self.total / mass
        second = torch.einsum("rs,sij->rij", weights, self.second) / mass[..., None]
        n = (weights > 0).double() @ self.count
        spread = second - mean[:, :, None] * mean[:, None]
        return Gaussian(mean, spread * (n / (n - 1))[:, None, None])

    def balanced(self, weights: Tensor) -> Gaussian:
        """As :meth:`pooled` with weights [R, S] of a whole subject, however many samples it has."""
        return self.pooled(weights / self.count.clamp(min=1))


@dataclass(frozen=True, eq=False)
class Whitening:
    """Principal components of a pool, each scaled to unit variance: the pool gets mean 0, covariance 1."""

    centre: Tensor
    """[D]"""
    matrix: Tensor
    """[D, d], d components, that of the largest variance first."""

    @classmethod
    def of(cls, pool: Gaussian, components: int) -> "Whitening":
        """At most so many components of a Gaussian [1, D]; directions without variance are left out."""
        variances, vectors = (x.flip(-1) for x in torch.linalg.eigh(pool.covariance[0]))
        kept = min(components, int((variances > _NEGLIGIBLE * variances[0]).sum()))
        return cls(pool.mean[0], vectors[:, :kept] / variances[:kept].sqrt())

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [N, D] -> [N, d]."""
        return (samples.double() - self.centre) @ self.matrix

    @property
    def components(self) -> int:
        """D."""
        return self.matrix.shape[1]


def frechet(a: Gaussian, b: Gaussian) -> Tensor:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) [R] of a [R, D] and b [1, D] (Heusel et al. 2017, eq. 6).

    The trace is that of (S2^(1/2) S1 S2^(1/2))^(1/2): symmetric, so real. NaN where ``a`` is not finite.
    """
    finite = a.covariance.isfinite().all(-1).all(-1) & a.mean.isfinite().all(-1)
    own = torch.where(finite[:, None, None], a.covariance, 0)
    root = _square_root(b.covariance)
    trace = torch.linalg.eigvalsh(root @ own @ root).clamp(min=0).sqrt().sum(-1)
    distance = (a.mean - b.mean).square().sum(-1) + _trace(own) + _trace(b.covariance) - 2 * trace
    return torch.where(finite, distance.clamp(min=0), torch.nan)


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT
    return root


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
