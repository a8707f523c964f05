"""Fusion of scans of one contrast with thick slices in different planes into one isotropic volume.

The scan of view v is y_v = A_v x + noise of variance s_v^2: x is moved to where the subject lay, blurred in
plane, and averaged over the profile of a slab along the normal. Starting from the mean of the views weighted
by slab profile and 1 / s_v^2, iterative back-projection (Irani & Peleg 1991; for slices in several planes
Kuklisova-Murgasova et al. 2012) lowers the sum over views of |y_v - A_v x|^2 / s_v^2 in the brain:

    x <- x + sum_v A_v^T (y_v - A_v x) / s_v^2  /  sum_v A_v^T 1 / s_v^2

No volume of more than ``MAX_VOXELS`` is made, and at most a dozen at a time, in float32: 1.5 GB.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter1d

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.registration import Image, resample
from trainers.data.arrays import Array, apply_along
from trainers.data.planes import FWHM
from trainers.errors import InputError

ROUNDS = 6
"""Most back-projections."""
LEAST_GAIN = 0.02
"""They stop where the weighted residual falls by less than this share."""
MARGIN = 6.0
"""Millimetres around the brain that slabs at its rim reach."""
MIN_SPACING = 1.0
"""Of the isotropic grid (mm)."""
MAX_VOXELS = 2**25
BLUR = 0.5
"""Standard deviation (voxels) of a scan's in-plane blur: the scanner's own smoothing."""
_FINE = 1.7  # mm, at most, between the planes of which a slab is the sum
_LEAST = 1e-3  # of the greatest weight: a voxel with less is seen by no view


@dataclass(frozen=True)
class ViewImage:
    """A scan to be fused, in RAS order."""

    image: Image
    brain: Array
    """Mask [X, Y, Z] of the voxels that are used."""
    to_view: Array
    """4x4: RAS points (mm) of the fused volume to those of this scan."""
    noise: float
    """Standard deviation of its noise."""

    @property
    def normal(self) -> int:
        """The array's axis along which its slices are thick."""
        return int(self.image.spacing.argmax())

    def cropped(self) -> "ViewImage":
        """Around the brain."""
        cut = slicing.box(self.brain, (1, 1, 1))
        return replace(self, image=self.image.cropped(cut), brain=self.brain[cut])


@dataclass(frozen=True)
class Fused:
    """An isotropic volume in RAS order, and what it says of the views."""

    image: Image
    disagreement: Array
    """Weighted standard deviation of the views about the volume, [X, Y, Z], in its units."""
    weights: tuple[float, ...]
    """Share of each view, 1 / s^2, of sum 1."""
    residuals: tuple[float, ...]
    """Weighted root mean square of y - A x in the brain, before each back-projection and after the last."""


def inverse_variances(noises: Sequence[float]) -> tuple[float, ...]:
    """Weights of sum 1 that give a weighted mean the least variance: proportional to 1 / s^2."""
    weights = np.array(noises, float) ** -2
    return tuple(float(w) for w in weights / weights.sum())


def noise_of(image: Image, brain: Array) -> float:
    """Standard deviation of a scan's noise: of diagonal details in plane, by their median magnitude.

    Donoho & Johnstone 1994, with the Haar wavelet, which anatomy hardly reaches there.
    """
    normal = int(image.spacing.argmax())
    values, inside = (np.moveaxis(each, normal, 0) for each in (image.values, brain))
    rows, columns = (n // 2 * 2 for n in values.shape[1:])

    def corners(a: Array) -> list[Array]:
        return [a[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]

    a, b, c, d = corners(values)
    details = (a - b - c + d)[np.logical_and.reduce(corners(inside))] / 2
    if not details.size or not (found := float(np.median(np.abs(details)))) > 0:
        raise InputError("the brain holds no detail; allowed: a scan of a brain")
    return found / 0.6745  # of a Gaussian


def isotropic_grid(first: Image, brain: Array, spacing: float) -> Image:
    """An empty isotropic volume along the axes of the first scan around its brain.

    Raises InputError where it has more than ``MAX_VOXELS``.
    """
    cut = slicing.box(brain, tuple(int(np.ceil(MARGIN / d)) for d in first.spacing))
    part = first.cropped(cut)
    extent = np.array(part.values.shape) * part.spacing
    shape = np.ceil(extent / spacing - 1e-6).astype(int)
    if shape.prod() > MAX_VOXELS:
        size = " x ".join(map(str, shape))
        raise InputError(f"its brain fills {size} voxels of {spacing:g} mm; allowed: {MAX_VOXELS} in all")
    affine = part.affine.copy()
    affine[:3, :3] *= spacing / part.spacing
    middle = part.affine @ [*((n - 1) / 2 for n in part.values.shape), 1]
    affine[:3, 3] = middle[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return Image(np.zeros(shape, np.float32), affine)


def spacing_of(views: Sequence[Image]) -> float:
    """Of the isotropic grid: the finest side of the views' voxels, at least ``MIN_SPACING``."""
    return max(MIN_SPACING, float(min(view.spacing.min() for view in views)))


@dataclass(frozen=True)
class Acquisition:
    """The linear operator A of a view: fused volume [X, Y, Z] -> its scan."""

    view: ViewImage
    grid: Image

    @cached_property
    def _parts(self) -> int:
        """Planes a slice."""
        return max(1, int(np.ceil(self.view.image.spacing[self.view.normal] / _FINE)))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        """Of the scan with fine planes, a slice more at each end."""
        shape = list(self.view.image.values.shape)
        shape[self.view.normal] = (shape[self.view.normal] + 2) * self._parts
        return tuple(shape)

    @cached_property
    def _slab(self) -> Array:
        """Profile [slices, planes]: a Gaussian of full width at half maximum of a slice; rows sum to 1."""
        n, parts = self.view.image.values.shape[self.view.normal], self._parts
        planes = (np.arange((n + 2) * parts) + 0.5) / parts - 1.5
        profile = np.exp(-0.5 * (np.subtract.outer(np.arange(n), planes) * FWHM) ** 2)
        return np.asarray(profile / profile.sum(1, keepdims=True))

    @cached_property
    def _matrix(self) -> Array:
        """4x4: fine voxels of the scan to voxels of the grid."""
        fine = np.eye(4)
        fine[self.view.normal, self.view.normal] = 1 / self._parts
        fine[self.view.normal, 3] = 0.5 / self._parts - 1.5
        to_grid = np.linalg.inv(self.view.to_view @ self.grid.affine)
        return np.asarray(to_grid @ self.view.image.affine @ fine)

    def _blurred(self, values: Array) -> Array:
        for axis in {0, 1, 2} - {self.view.normal}:
            values = gaussian_filter1d(values, BLUR, axis, mode="nearest")
        return values

    def forward(self, volume: Array) -> Array:
        """A x."""
        fine = affine_transform(volume, self._matrix, output_shape=self._shape, order=1, mode="nearest")
        return self._blurred(apply_along(fine, self._slab, self.view.normal))

    def backward(self, scan: Array) -> Array:
        """A^T y, up to a factor."""
        fine = apply_along(self._blurred(scan), self._slab.T * self._parts, self.view.normal)
        inverse = np.linalg.inv(self._matrix)
        shape = self.grid.values.shape
        return np.asarray(affine_transform(fine, inverse, output_shape=shape, order=1), np.float32)


def fuse(views: Sequence[ViewImage], grid: Image) -> Fused:
    """The volume on the voxels of ``grid`` that explains the views; 0 where none sees it.

    A single view is resampled, by cubic splines, and nothing disagrees with it.
    """
    if len(views) == 1:
        values = resample(views[0].image, grid, views[0].to_view)
        return Fused(Image(values, grid.affine), np.zeros_like(values), (1.0,), ())
    views = [view.cropped() for view in views]
    weights = inverse_variances([view.noise for view in views])
    operators = [Acquisition(view, grid) for view in views]
    brains = [view.brain.astype(np.float32) for view in views]
    total = _sum(w * a.backward(m) for w, a, m in zip(weights, operators, brains, strict=True))
    seen = total > _LEAST * total.max()
    total = np.where(seen, total, 1)

    def differences(volume: Array) -> list[Array]:
        return [
            m * (v.image.values - a.forward(volume)) for v, a, m in zip(views, operators, brains, strict=True)
        ]

    volume, residuals = np.zeros(grid.values.shape, np.float32), list[float]()
    left = [m * v.image.values for v, m in zip(views, brains, strict=True)]
    for _ in range(1 + ROUNDS):
        step = _sum(w * a.backward(d) for w, a, d in zip(weights, operators, left, strict=True))
        further = volume + np.where(seen, step / total, 0)
        remaining = differences(further)
        residual = _root_mean_square(remaining, brains, weights)
        if residuals and residual > residuals[-1]:
            break
        volume, left = further, remaining
        residuals.append(residual)
        if len(residuals) > 1 and residuals[-1] > (1 - LEAST_GAIN) * residuals[-2]:
            break
    spread = _sum(w * a.backward(d**2) for w, a, d in zip(weights, operators, left, strict=True))
    disagreement = np.where(seen, np.sqrt(np.maximum(spread, 0) / total), 0).astype(np.float32)
    return Fused(Image(volume, grid.affine), disagreement, weights, tuple(residuals))


def _sum(parts: Iterable[Array]) -> Array:
    total: Array | None = None
    for part in parts:
        total = part if total is None else total + part
    assert total is not None
    return np.asarray(total, np.float32)


def _root_mean_square(left: Sequence[Array], brains: Sequence[Array], weights: Sequence[float]) -> float:
    means = [float((d**2).sum(dtype=float) / m.sum(dtype=float)) for d, m in zip(left, brains, strict=True)]
    return float(np.sqrt(np.dot(weights, means)))
