"""How a subject of the second anatomy differs in shape from the template.

Displacements are tensors ``[3, X, Y, Z]``; a coarse grid of about 4 mm spans the box of the fine one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.cohorts.simulation import deformation
from trainers.cohorts.simulation.site import Site, draw
from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.cohorts.simulation.surfaces import BRAIN, DEEP, THICKNESS, VENTRICLE, Surfaces
from trainers.data.arrays import Array

COARSE = 4.0
"""Spacing (mm) of velocities."""
HEAD = 0.915
"""Mean length of a subject in the template's, whose brain of 1.9 litres is larger than people's."""
LARGE, LARGE_SIGMA = 3.0, 25.0
"""Deviation (mm) of the velocity that makes large shapes, and its smoothness."""
FINE, FINE_SIGMA = 1.6, 8.0
"""The same of gyri."""
CALM = 0.75
"""Share of the fine velocity that is taken away at ventricles and deep grey matter."""
SMOOTH_SKULL = 0.8
"""How calm it is at the skull, by the share that it is at ventricles; 10 mm inwards it is not."""
TORQUE = (1.0, 0.7)
"""Mean and deviation (mm) by which the right half lies in front of the left one (Yakovlev's torque)."""


@dataclass(frozen=True)
class Shape:
    """Where each voxel of a subject comes from, and what its surfaces were moved by.

    ``coordinates [3, X, Y, Z]`` are voxels of the template; ``scale [1, X, Y, Z]`` is the linear size of a
    piece of template in the subject; ``matrix [3, 3]`` and ``offset [3]`` (mm) the affine part.
    """

    coordinates: Tensor
    scale: Tensor
    matrix: Array
    offset: Array


def draw_shape(template: Surfaces, rng: np.random.Generator) -> Shape:
    """A random diffeomorphism: affine after the flow of a velocity that is calm around the ventricles."""
    shape = template.levels.shape[1:]
    velocity = _velocity(template, rng, coarse_shape(template))
    flow = deformation.exponential(velocity)
    matrix, shift = deformation.random_affine(rng, 1.0)
    matrix = matrix / HEAD
    spacing = torch.from_numpy(template.spacing.astype(np.float32)).view(3, 1, 1, 1)
    step = _steps(template, flow.shape[1:])
    place = (deformation.identity(flow) + flow) * step  # mm from the grid's first voxel
    centre = torch.from_numpy((np.array(shape) - 1) / 2 * template.spacing).float().view(3, 1, 1, 1)
    away = place - centre
    offset = torch.from_numpy(shift).float().view(3, 1, 1, 1)
    place = torch.stack([_row(row, away) for row in matrix]) + centre + offset
    scale = jacobian(place, step.flatten().tolist()).clamp(min=0.05) ** (-1 / 3)
    both = torch.cat([place / spacing, scale[None]])
    both = functional.interpolate(both[None], size=shape, mode="trilinear", align_corners=True)[0]
    return Shape(both[:3], both[3:], matrix, shift)


def jacobian(place: Tensor, steps: list[float]) -> Tensor:
    """Determinant ``[X, Y, Z]`` of the derivative of ``place [3, X, Y, Z]``; ``steps`` of the grid; in mm."""
    a, b, c = torch.gradient(place, spacing=steps, dim=(1, 2, 3))
    determinant: Tensor = (a * torch.linalg.cross(b, c, dim=0)).sum(0)
    return determinant


def coarse_shape(template: Surfaces) -> tuple[int, ...]:
    """Size of the grid of velocities."""
    sizes = zip(template.levels.shape[1:], template.spacing, strict=True)
    return tuple(int(np.ceil((n - 1) * d / COARSE)) + 1 for n, d in sizes)


def _steps(template: Surfaces, shape: tuple[int, ...]) -> Tensor:
    """Spacing (mm) ``[3, 1, 1, 1]`` of a grid of ``shape`` over the template's box."""
    box = (np.array(template.levels.shape[1:]) - 1) * template.spacing
    return torch.from_numpy((box / (np.array(shape) - 1)).astype(np.float32)).view(3, 1, 1, 1)


def _velocity(template: Surfaces, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    step = _steps(template, shape)
    mean = float(step.mean())
    large = LARGE * smooth_field(rng, shape, LARGE_SIGMA / mean, 3)
    fine = FINE * smooth_field(rng, shape, FINE_SIGMA / mean, 3)
    x = (np.arange(shape[0]) - (shape[0] - 1) / 2) * float(step[0])
    large[1] += (rng.normal(*TORQUE) / 2 * np.tanh(x / 25))[:, None, None]
    return torch.from_numpy(large + fine * (1 - CALM * calm_zone(template, shape))).float() / step


def calm_zone(template: Surfaces, shape: tuple[int, ...]) -> Array:
    """One in ventricles and deep grey matter, zero 8 mm away; most of one at the skull ``[*shape]``."""
    inner = np.maximum(template.levels[DEEP], template.levels[VENTRICLE])
    outer = SMOOTH_SKULL * np.clip(1 - template.levels[BRAIN] / 10, 0, 1)
    near = torch.from_numpy(np.maximum(np.clip(1 + inner / 8, 0, 1), outer))[None, None]
    return np.asarray(functional.interpolate(near, size=shape, mode="trilinear", align_corners=True)[0, 0])


def vary_surfaces(
    levels: Array, rng: np.random.Generator, site: Site, spacing: Array, left: Array, scale: Array
) -> None:
    """Move a subject's surfaces, given as distances ``[5, X, Y, Z]`` (mm), in place.

    The warp scaled the cortex's thickness by ``scale [X, Y, Z]``, which is undone but for the part across
    which it stretched more than along. Gyri differ by more than a warp, the thickness varies over some cm,
    atrophy widens sulci and ventricles; ``left [X, Y, Z]`` is one in the left half, whose ventricle differs
    from the right one.
    """
    shape, mean = levels.shape[1:], float(spacing.mean())
    for level in levels[:2]:
        level /= np.clip(slope(level, spacing), *_SLOPES)
    white, pial, deep, ventricle, _ = levels
    folds = GYRI * smooth_field(rng, shape, GYRI_SIGMA / mean)
    thicker = THICKER * smooth_field(rng, shape, THICKER_SIGMA / mean) + np.float32(rng.normal(0, 0.08))
    both = (thicker - THICKNESS * (np.minimum(scale, 2) - 1)) / 2
    white += folds - both
    pial += folds + both - draw(rng, site.atrophy)
    thinnest, thickest = LIMITS
    inner = np.maximum(deep, ventricle) > -3
    depth = pial - thicker
    np.clip(white, depth - thickest, np.where(inner, np.inf, depth - thinnest), out=white)
    wider, asymmetry = draw(rng, site.ventricles), rng.normal(0, 0.4)
    ventricle += np.float32(wider) + np.float32(asymmetry) * (left - 0.5)


GYRI, GYRI_SIGMA = 0.4, 3.0
"""Deviation (mm) by which both surfaces of the cortex move together, and its smoothness."""
LIMITS = (1.9, 3.4)
"""Least and greatest depth (mm) of the white matter below the pial surface, where the cortex is average."""
THICKER, THICKER_SIGMA = 0.25, 12.0
"""Deviation (mm) of the cortex's thickness within a subject, and its smoothness."""


def slope(level: Array, spacing: Array) -> Array:
    """Length ``[X, Y, Z]`` of the gradient of ``level`` (per mm), by central differences."""
    total = np.zeros(level.shape, np.float32)
    for axis, step in enumerate(spacing):
        lines, found = np.moveaxis(level, axis, 0), np.moveaxis(total, axis, 0)
        found[1:-1] += np.square((lines[2:] - lines[:-2]) / np.float32(2 * step))
    return np.sqrt(total)


_SLOPES = (0.6, 1.8)  # beyond these a level has a crest or is cut off


def _row(row: Array, moved: Tensor) -> Tensor:
    """Elementwise, not a matrix product, whose rounding could depend on the number of threads."""
    return float(row[0]) * moved[0] + float(row[1]) * moved[1] + float(row[2]) * moved[2]
