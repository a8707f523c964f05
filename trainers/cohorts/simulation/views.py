"""Coronal and sagittal 64 mT scans of a subject of the second anatomy, who moves from scan to scan.

They differ from the axial scan in the plane of their slices, their noise, their motion and where the subject
lies. The receive field is that of the axial scan, as the coil stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from trainers.cohorts.simulation.artefacts import draw_pose
from trainers.cohorts.simulation.imaging import Geometry, Volume
from trainers.cohorts.simulation.person import Person
from trainers.cohorts.simulation.physics import Contrast
from trainers.cohorts.simulation.scan import contrast_image, draw_conditions, thick_slices, tissue_signals
from trainers.cohorts.simulation.site import Site, Span, draw
from trainers.data.arrays import Array
from trainers.data.views import View

AXES: Mapping[View, tuple[int, int, int]] = {"coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""RAS axes within a view's slices, the phase encoding second, then its normal."""
IN_PLANE, THICKNESS = 1.6, 5.0
"""Voxel (mm), as that of the axial scan."""
SHIFT: Span = (0.5, 3.0)
"""Distance (mm) by which the subject has moved since the axial scan, in a uniform direction."""
TURN: Span = (0.5, 3.0)
"""Degrees by which the head has turned since then, about a uniform axis through the middle of the grid."""
_PLANE = 1.0  # mm between planes of the anatomy along a view's normal: slice centres fall on them


@dataclass(frozen=True)
class ViewScan:
    """A scan in RAS order [X, Y, Z] and where its subject lies."""

    volume: Volume
    to_view: Array
    """4x4: RAS points (mm) of the anatomy to those of the scan."""


@dataclass(frozen=True)
class ViewGrid:
    """A view's slices over the anatomy; volumes have its ``axes`` in order."""

    axes: tuple[int, int, int]
    geometry: Geometry
    shape: tuple[int, int, int]
    """Of the anatomy along these axes."""

    @classmethod
    def of(cls, person: Person, view: View) -> "ViewGrid":
        """The grid that covers a subject's."""
        axes = AXES[view]
        extent = [float(n * d) for n, d in zip(person.mask.shape, person.spacing, strict=True)]
        spacing = [*(float(person.spacing[k]) for k in axes[:2]), _PLANE]
        x, y, z = (round(extent[k] / d) for k, d in zip(axes, spacing, strict=True))
        affine = np.diag([*spacing, 1.0])
        for axis, k in enumerate(axes):  # both grids start at the same face
            affine[axis, 3] = person.affine[k, 3] + (spacing[axis] - person.spacing[k]) / 2
        rows, columns = (2 * int(np.ceil(extent[k] / IN_PLANE / 2)) for k in axes[:2])
        shape = rows, columns, int(np.ceil(extent[axes[2]] / THICKNESS))
        return cls(axes, Geometry(shape, (IN_PLANE, IN_PLANE, THICKNESS), affine), (x, y, z))

    def to_ras(self, affine: Array) -> Array:
        """4x4: voxels, in the order of the axes, to RAS mm, of an ``affine`` that keeps the order."""
        matrix = np.eye(4)
        matrix[list(self.axes)] = affine[:3]
        return matrix

    def in_ras(self, values: Array) -> tuple[Array, Array]:
        """A scan's values in RAS order [X, Y, Z] and their affine."""
        back = np.argsort(self.axes)
        affine = self.to_ras(self.geometry.affine(self.shape))
        return np.ascontiguousarray(values.transpose(back)), affine[:, [*back, 3]]

    def moved(self, image: Array, affine: Array, move: Array, order: Literal[1, 3]) -> Array:
        """A moved anatomy ``[X, Y, Z]`` along the view's axes, in one interpolation."""
        matrix = np.linalg.inv(move @ affine) @ self.to_ras(self.geometry.anatomy_affine)
        return np.asarray(affine_transform(image, matrix, output_shape=self.shape, order=order), np.float32)

    def at_slices(self, field: Array, affine: Array) -> Array:
        """A smooth field ``[X, Y, N]`` at the view's slices, at the anatomy's spacing in plane."""
        slices = self.geometry.anatomy_affine.copy()
        slices[2] = self.geometry.affine(self.shape)[2]
        shape = *self.shape[:2], self.geometry.shape[2]
        matrix = np.linalg.inv(affine) @ self.to_ras(slices)
        values = affine_transform(field, matrix, output_shape=shape, order=1, mode="nearest")
        return np.asarray(values, np.float32)


def scan_view(
    person: Person,
    site: Site,
    contrast: Contrast,
    view: View,
    rng: np.random.Generator,
    axial: tuple[Geometry, np.random.Generator],
) -> ViewScan:
    """A coronal or sagittal scan by its own ``rng``; ``axial``: geometry and stream of the axial one."""
    grid, move = ViewGrid.of(person, view), draw_move(rng, person)
    signals = tissue_signals(person, site, "64mT", contrast)
    image = grid.moved(contrast_image(person, signals), person.affine, move, 3)
    inside = grid.moved(person.mask.astype(np.float32), person.affine, move, 1)
    pose = draw_pose(rng, site.quality("64mT"), grid.geometry.shape[2], np.zeros(3))
    slices = person.affine.copy()
    slices[2] = axial[0].affine(person.mask.shape)[2]
    field = grid.at_slices(draw_conditions(person, axial[0], site, contrast, axial[1]).gain, slices)
    values = thick_slices(image, grid.geometry, pose, field, float(signals[0]), contrast, site, rng)
    brain, affine = grid.in_ras(grid.geometry.blur(inside) > 0.5)
    return ViewScan(Volume(grid.in_ras(values)[0] * brain, brain, affine, IN_PLANE, np.zeros(0, int)), move)


def draw_move(rng: np.random.Generator, person: Person) -> Array:
    """A small rigid displacement of a subject, 4x4, RAS mm."""
    direction, axis = rng.standard_normal((2, 3))
    turn = Rotation.from_rotvec(np.deg2rad(draw(rng, TURN)) * axis / np.linalg.norm(axis)).as_matrix()
    middle = (person.affine @ [*((n - 1) / 2 for n in person.mask.shape), 1])[:3]
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = middle - turn @ middle + draw(rng, SHIFT) * direction / np.linalg.norm(direction)
    return matrix


def isotropic(values: Array, affine: Array) -> tuple[Array, Array]:
    """A volume of 2 x 2 x 1 mm at 2 mm; any other as it is."""
    if affine[2, 2] == affine[0, 0]:
        return values, affine
    pairs = values[:, :, : values.shape[2] // 2 * 2]
    step = np.diag([1.0, 1, 2, 1])
    step[2, 3] = 0.5
    return (pairs[:, :, ::2] + pairs[:, :, 1::2]) / 2, affine @ step
