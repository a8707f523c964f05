"""Rigid registration of scans of one contrast with thick slices in different planes.

Each scan is first blurred along the other's normal by the other's slab, which gives both one resolution.
Gauss-Newton then lowers the squared difference, a common gain apart, which one contrast permits and mutual
information of anisotropic scans does less precisely.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

from trainers.cohorts.preprocessing import registration
from trainers.cohorts.preprocessing.registration import Image
from trainers.data.arrays import Array
from trainers.data.planes import FWHM

LEVELS = (6.0, 3.0, 1.0)
"""Standard deviations (mm) of the smoothing, coarse to fine."""
ROUNDS = 20
"""Most steps a level."""
CLOSE = 0.005
"""A level ends with a step below this: millimetres, and degrees."""
POINTS = 20_000
"""Of the fixed scan at which they are compared, at most."""


def register_view(fixed: Image, moving: Image, region: Array) -> Array:
    """The 4x4 matrix that takes RAS points of ``fixed`` to those of ``moving``: heads of one person.

    ``region`` of the fixed grid is compared. Starts as ``registration.best_start``, so that the pose may
    differ by what the centres of mass and a nod of the head make good.
    """
    matrix = registration.best_start(fixed, moving, region)
    points = np.argwhere(region)[:: max(1, int(region.sum()) // POINTS)]
    alike = _with_slab_of(fixed, moving), _with_slab_of(moving, fixed)
    for sigma in LEVELS:
        first, second = (_smoothed(image, sigma) for image in alike)
        problem = _Problem.of(first, second, points)
        for _ in range(ROUNDS):
            step, size = problem.step(matrix)
            matrix = step @ matrix
            if size < CLOSE:
                break
    return matrix


def _with_slab_of(image: Image, other: Image) -> Image:
    """The scan, blurred along the other's normal by the width of its slab."""
    normal = other.affine[:3, int(other.spacing.argmax())]
    axis = int(np.abs(image.affine[:3, :3].T / image.spacing[:, None] @ normal).argmax())
    if axis == int(image.spacing.argmax()):
        return image
    sigma = float(other.spacing.max()) / FWHM / image.spacing[axis]
    return Image(gaussian_filter1d(image.values.astype(np.float32), sigma, axis), image.affine)


def _smoothed(image: Image, sigma: float) -> Image:
    return Image(gaussian_filter(image.values, sigma / image.spacing), image.affine)


@dataclass(frozen=True)
class _Problem:
    """Values of the fixed scan at RAS ``places [n, 3]``, and splines of the moving one and of its slope."""

    places: Array
    values: Array
    to_voxels: Array
    splines: tuple[Array, ...]

    @classmethod
    def of(cls, fixed: Image, moving: Image, points: Array) -> "_Problem":
        places = points @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
        to_voxels = np.linalg.inv(moving.affine)
        slopes = np.tensordot(to_voxels[:3, :3].T, np.stack(np.gradient(moving.values)), 1)  # a millimetre
        splines = (spline_filter(moving.values, 3, np.float32), *slopes.astype(np.float32))
        return cls(places, fixed.values[tuple(points.T)], to_voxels, splines)

    def step(self, matrix: Array) -> tuple[Array, float]:
        """The next rigid step, 4x4, and its size in millimetres and degrees."""
        moved = self.places @ matrix[:3, :3].T + matrix[:3, 3]
        voxels = (moved @ self.to_voxels[:3, :3].T + self.to_voxels[:3, 3]).T
        found = map_coordinates(self.splines[0], voxels, order=3, prefilter=False)
        slope = np.stack([map_coordinates(each, voxels, order=1) for each in self.splines[1:]], 1)
        middle = moved.mean(0)
        gain = float(found @ self.values / max(float(found @ found), 1e-12))
        columns = gain * np.concatenate((slope, np.cross(moved - middle, slope)), 1)
        solved = np.linalg.lstsq(columns.T @ columns, columns.T @ (self.values - gain * found), rcond=None)[0]
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(solved[3:]).as_matrix()
        step[:3, 3] = middle - step[:3, :3] @ middle + solved[:3]
        return step, float(max(np.abs(solved[:3]).max(), np.rad2deg(np.abs(solved[3:])).max()))
