"""Imaging an anatomy at a field: contrast, receive field, point spread, noise, mask."""

from dataclasses import dataclass

import numpy as np

from trainers.cohorts.simulation import physics
from trainers.cohorts.simulation.physics import Contrast, Field
from trainers.cohorts.simulation.subject import Anatomy
from trainers.data.arrays import Array, apply_along

_NATIVE = {"2mm": ((62, 72, 20), (3.2, 3.2, 10.0)), "1mm": ((124, 146, 38), (1.6, 1.6, 5.0))}
BIAS_SIGMA = 55.0  # mm


@dataclass(frozen=True)
class Volume:
    """A skull-stripped native volume; ``planes`` are those at the 64 mT slice centres.

    ``planes`` may be outside the volume at its ends.
    """

    values: Array
    mask: Array
    affine: Array
    spacing: float
    planes: Array


@dataclass(frozen=True)
class Geometry:
    """The 64 mT grid laid over an anatomy grid, so that slice centres fall on anatomy planes."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    anatomy_affine: Array

    @classmethod
    def of(cls, size: str, anatomy_affine: Array) -> "Geometry":
        """The geometry of ``2mm`` or ``1mm``."""
        return cls(*_NATIVE[size], anatomy_affine)

    def planes(self, depth: int) -> Array:
        """Anatomy plane of each 64 mT slice; may be outside ``0..depth-1`` at the ends."""
        step = round(self.spacing[2] / self.anatomy_affine[2, 2])
        first = (depth - 1 - step * (self.shape[2] - 1)) // 2
        return np.arange(first, first + step * self.shape[2], step)

    def shifts(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Offset (mm, in x and y) of the 64 mT centre from the anatomy's.

        Half a voxel where the anatomy's size is odd: the centre of the (even) working grid, whose
        columns run with x and whose rows run against y.
        """
        half_x, half_y = (self.anatomy_affine[k, k] / 2 for k in (0, 1))
        return -half_x * (shape[0] % 2), half_y * (shape[1] % 2)

    def affine(self, shape: tuple[int, ...]) -> Array:
        """RAS affine of the 64 mT grid over an anatomy of ``shape``."""
        spacing, origin = np.diag(self.anatomy_affine), self.anatomy_affine[:3, 3]
        affine = np.diag([*self.spacing, 1.0])
        for axis, shift in enumerate(self.shifts(shape)):
            middle = origin[axis] + (shape[axis] - 1) / 2 * spacing[axis] + shift
            affine[axis, 3] = middle - (self.shape[axis] - 1) / 2 * self.spacing[axis]
        affine[2, 3] = origin[2] + self.planes(shape[2])[0] * self.anatomy_affine[2, 2]
        return affine

    def blur(self, volume: Array) -> Array:
        """The 64 mT point spread: anatomy grid -> 64 mT grid."""
        x, y = self._in_plane(volume.shape)
        return physics.point_spread(volume, (x, y), self.slab(volume.shape[2]))

    def crop(self, slices: Array) -> Array:
        """Only the crop of k-space in plane: ``[X, Y, N]`` at the anatomy's spacing -> ``[X', Y', N]``."""
        x, y = self._in_plane(slices.shape)
        return apply_along(apply_along(slices, x, 0), y, 1)

    def slab(self, depth: int, moved: Array | float = 0.0) -> Array:
        """Slice profiles ``[N, depth]`` of a subject ``moved`` upwards (mm), in each slice or in all."""
        spacing = self.anatomy_affine[2, 2]
        positions = np.arange(depth) * spacing
        return physics.slab_profile(positions, self.planes(depth) * spacing - moved, spacing, self.spacing[2])

    def _in_plane(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        x, y = (
            physics.kspace_crop(shape[k], self.anatomy_affine[k, k], self.shape[k], self.spacing[k], shift)
            for k, shift in enumerate(self.shifts(shape))
        )
        return x, y


def acquire(
    person: Anatomy, geometry: Geometry, field: Field, contrast: Contrast, rng: np.random.Generator
) -> Volume:
    """Image ``person`` at a field: 3 T on the anatomy's grid, 64 mT on its own thick slices."""
    scanner = physics.SCANNERS[field]
    sequence = physics.SEQUENCES[field, contrast]
    signals = np.array([physics.signal(t, sequence) for t in person.relaxation[field]], np.float32)
    ideal = contrast_image(person, signals)
    ideal *= physics.bias_field(rng, ideal.shape, BIAS_SIGMA / person.spacing, scanner.bias)
    sigma = float(signals[0]) / scanner.white_matter_snr[contrast]
    shape = person.mask.shape
    if field == "3T":
        values, planes = physics.rician(ideal, rng, sigma), geometry.planes(shape[2])
        return Volume(values * person.mask, person.mask, person.affine, person.spacing, planes)
    values = physics.denoise_in_plane(physics.rician(geometry.blur(ideal), rng, sigma))
    mask = geometry.blur(person.mask.astype(np.float32)) > 0.5
    affine, native = geometry.affine(shape), np.arange(geometry.shape[2])
    return Volume(values * mask, mask, affine, geometry.spacing[0], native)


def contrast_image(person: Anatomy, signals: Array) -> Array:
    """Noise-free image ``[X, Y, Z]``: tissue fractions mix their signals linearly, times the texture."""
    image = np.zeros(person.mask.shape, np.float32)
    for fraction, signal in zip(person.fractions, signals, strict=True):
        image += signal * fraction
    return image * person.texture
