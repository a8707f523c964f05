"""Errors of an image's geometry and its ghost: motion between slices, shifts, gradient nonlinearity.

Volumes are arrays ``[X, Y, Z]``; lengths are in mm about the centre of a slice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from trainers.cohorts.simulation.physics import centres
from trainers.cohorts.simulation.site import Quality, draw
from trainers.data.arrays import Array

_FAR = 80.0  # mm from the centre, where the nonlinearity is stated
_PULL = 0.5  # how far a moving head returns to its place from one slice to the next


@dataclass(frozen=True)
class Pose:
    """Where the subject was while each of N slices was acquired, and the scanner's nonlinearity."""

    shift: Array
    """Of the subject ``[N, 3]`` (mm)."""
    turn: Array
    """Of the subject about z ``[N]`` (radians)."""
    nonlinearity: float
    """In-plane displacement (mm) at ``_FAR``; it grows with the cube of the distance."""

    @property
    def still(self) -> bool:
        """Whether every point is where it belongs."""
        return not (self.shift.any() or self.turn.any() or self.nonlinearity)


def draw_pose(rng: np.random.Generator, quality: Quality, slices: int, moved: Array) -> Pose:
    """A scan's pose: ``moved`` (mm ``[3]``) since the first contrast, and a walk that returns there."""
    size = draw(rng, quality.motion)
    steps = size * rng.standard_normal((slices, 4)) * (1, 1, 1, np.deg2rad(1.0))
    walk = np.zeros((slices, 4))
    for k in range(1, slices):
        walk[k] = (1 - _PULL) * walk[k - 1] + steps[k]
    walk -= walk.mean(0)
    return Pose(walk[:, :3] + moved, walk[:, 3], draw(rng, quality.gradient))


def draw_shift(rng: np.random.Generator, quality: Quality) -> Array:
    """A subject's move ``[3]`` (mm) between two contrasts, in a uniform direction."""
    direction = rng.standard_normal(3)
    return np.asarray(draw(rng, quality.shift) * direction / np.linalg.norm(direction))


def move_in_plane(volume: Array, spacing: Array, pose: Pose) -> Array:
    """Slices ``[X, Y, N]`` of a subject in a pose, as the scanner depicts it; cubic interpolation."""
    if pose.still:
        return volume
    count_x, count_y = volume.shape[:2]
    x, y = (
        torch.from_numpy(centres(n, float(d)).astype(np.float32))
        for n, d in zip((count_x, count_y), spacing, strict=False)
    )
    x, y = torch.meshgrid(x, y, indexing="ij")
    inward = 1 - pose.nonlinearity / _FAR**3 * (x**2 + y**2)
    x, y = x * inward, y * inward
    cos, sin, dx, dy = (
        torch.from_numpy(np.asarray(v, np.float32)).view(-1, 1, 1)
        for v in (np.cos(pose.turn), np.sin(pose.turn), pose.shift[:, 0], pose.shift[:, 1])
    )
    from_x, from_y = cos * (x - dx) + sin * (y - dy), cos * (y - dy) - sin * (x - dx)
    half = [(n - 1) / 2 * float(d) for n, d in zip((count_x, count_y), spacing, strict=False)]
    grid = torch.stack([from_y / half[1], from_x / half[0]], dim=-1)  # grid_sample wants the last axis first
    slices = torch.from_numpy(np.ascontiguousarray(volume.transpose(2, 0, 1), np.float32))[:, None]
    moved = functional.grid_sample(slices, grid, mode="bicubic", align_corners=True)
    return np.asarray(moved[:, 0].permute(1, 2, 0))


def ghost(volume: Array, amplitude: float) -> Array:
    """The volume plus its ghost, half the field of view away along y."""
    return volume + np.float32(amplitude) * np.roll(volume, volume.shape[1] // 2, axis=1)
