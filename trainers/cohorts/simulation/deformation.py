"""Random diffeomorphisms: a stationary velocity field, exponentiated, and an affine change of shape.

Displacements are tensors ``[3, X, Y, Z]`` in voxels of their own grid; coordinates likewise.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.data.arrays import Array

SQUARINGS = 6


def velocity(rng: np.random.Generator, shape: tuple[int, ...], spacing: float) -> Tensor:
    """Random smooth velocity ``[3, *shape]`` in voxels of ``spacing`` mm: large shapes and small folds."""
    coarse = 3.0 * smooth_field(rng, shape, 25 / spacing, 3)
    fine = 1.4 * smooth_field(rng, shape, 8 / spacing, 3)
    return torch.from_numpy((coarse + fine) / spacing)


def exponential(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """Displacement of the flow of ``velocity`` at time one, by scaling and squaring (Arsigny 2006)."""
    displacement = velocity * 0.5**squarings
    for _ in range(squarings):
        displacement = displacement + sample(displacement, identity(displacement) + displacement)
    return displacement


def identity(like: Tensor) -> Tensor:
    """Voxel coordinates ``[3, X, Y, Z]`` of the grid of ``like``."""
    axes = [torch.arange(n, dtype=torch.float32) for n in like.shape[1:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def sample(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Trilinear samples of ``volume [C, X, Y, Z]`` at voxel ``coordinates [3, ...]``; edges are repeated."""
    size = _column(np.array(volume.shape[1:]))
    grid = (2 * coordinates / (size - 1) - 1).flip(0).permute(1, 2, 3, 0)[None]  # grid_sample wants z, y, x
    return functional.grid_sample(volume[None], grid, padding_mode="border", align_corners=True)[0]


def enlarge(displacement: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same displacement on a finer grid spanning the same box, in that grid's voxels."""
    scale = [(n - 1) / (m - 1) for n, m in zip(shape, displacement.shape[1:], strict=True)]
    fine = functional.interpolate(displacement[None], size=shape, mode="trilinear", align_corners=True)[0]
    return fine * _column(np.array(scale))


def random_affine(rng: np.random.Generator, spacing: float) -> tuple[Array, Array]:
    """Matrix ``[3, 3]`` (+-6 degrees, +-6 % an axis) and shift ``[3]`` (+-4 mm, in voxels)."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-6, 6, 3))):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix @ np.diag(1 + rng.uniform(-0.06, 0.06, 3)), rng.uniform(-4, 4, 3) / spacing


def random_coordinates(rng: np.random.Generator, shape: tuple[int, ...], spacing: float) -> Tensor:
    """Template coordinates of each voxel of a subject ``[3, *shape]``: affine after diffeomorphism."""
    half = tuple((n + 1) // 2 for n in shape)
    half_spacing = spacing * (shape[0] - 1) / (half[0] - 1)
    warp = enlarge(exponential(velocity(rng, half, half_spacing)), shape)
    matrix, shift = random_affine(rng, spacing)
    centre = _column(np.array([(n - 1) / 2 for n in shape]))
    moved = identity(warp) + warp - centre
    return torch.stack([_row(row, moved) for row in matrix]) + centre + _column(shift)


def _row(row: Array, moved: Tensor) -> Tensor:
    """Elementwise, not a matrix product, whose rounding could depend on the number of threads."""
    return float(row[0]) * moved[0] + float(row[1]) * moved[1] + float(row[2]) * moved[2]


def _column(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).view(3, 1, 1, 1)
