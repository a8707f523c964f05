"""Shapes of lesions: blobs with irregular borders, their rims and cavities, and hyperintensities."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainers.cohorts.simulation import deformation
from trainers.cohorts.simulation.lesion_tissues import Kind, Lesion
from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.data.arrays import Array

Box = tuple[slice, slice, slice]
ROUGH = 0.18
"""Deviation of a border's distance from the centre, in radii."""
LOWEST = -2.0
"""Height (mm) in the template below which no lesion is placed: below the hemispheres."""
PUSH, PUSH_REACH = 0.4, 1.4
"""Share of the way to the centre by which a mass draws what grew there outwards; its reach in radii."""


@dataclass(frozen=True)
class Ground:
    """What lesions are placed in: arrays ``[X, Y, Z]`` over a subject's grid of ``spacing`` (mm)."""

    levels: Array
    """Distances ``[5, X, Y, Z]`` (mm) of ``surfaces.LEVELS``."""
    white: Array
    """Share of white matter."""
    solid: Array
    """Share of all tissue but fluid."""
    left: Array
    """Whether a voxel is left of the midline."""
    height: Array
    """Its height z (mm) in the template."""
    spacing: Array


@dataclass(frozen=True)
class Blob:
    """An ellipsoid about a voxel with a rough border: ``axes [3]`` are relative to its ``radius`` (mm)."""

    radius: float
    axes: Array
    seed: int
    rim: float
    """Uniform in [0, 1]: how wide its surroundings are affected."""
    centre: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, volume: float) -> "Blob":
        """A blob of ``volume`` (ml), not placed yet."""
        axes = np.exp(0.15 * rng.standard_normal(3))
        radius = 10 * (3 * volume / (4 * np.pi)) ** (1 / 3)
        seed, rim = int(rng.integers(2**32)), float(rng.random())
        return cls(radius, axes / np.cbrt(axes.prod()), seed, rim, np.zeros(3, int))

    def at(self, centre: Array) -> "Blob":
        """The blob about a voxel."""
        return replace(self, centre=centre)

    def box(self, shape: tuple[int, ...], spacing: Array, margin: float) -> Box:
        """The voxels up to ``margin`` mm from it."""
        reach = np.ceil((1.6 * self.radius + margin) / spacing).astype(int)
        x, y, z = (
            slice(max(0, int(c - r)), min(n, int(c + r) + 1))
            for c, r, n in zip(self.centre, reach, shape, strict=True)
        )
        return x, y, z

    def depth(self, box: Box, spacing: Array) -> Array:
        """Distance (mm) to the border, positive inside, roughly: along the line to the centre."""
        axes = [
            (np.arange(s.start, s.stop) - c) * d / a
            for s, c, d, a in zip(box, self.centre, spacing, self.axes, strict=True)
        ]
        away = np.sqrt(sum(np.square(each) for each in np.ix_(*axes)))
        rough = smooth_field(
            np.random.default_rng(self.seed), away.shape, max(self.radius / 3, 2.0) / float(spacing.mean())
        )
        return np.asarray(self.radius * (1 + ROUGH * rough) - away)


@dataclass(frozen=True)
class Mass:
    """A growing mass, which displaces what is around it."""

    blob: Blob

    def push(self, coordinates: Tensor, spacing: Array) -> Tensor:
        """Template ``coordinates [3, X, Y, Z]`` of the subject after growth: all was nearer to the centre.

        With r the distance from the centre and s = PUSH_REACH radii, what is at r was at
        r (1 - PUSH exp(-(r / s)^2)): no point moves past another one.
        """
        box = self.blob.box(tuple(coordinates.shape[1:]), spacing, 3 * self.blob.radius)
        local = coordinates[(slice(None), *box)]
        centre = torch.tensor([c - s.start for c, s in zip(self.blob.centre, box, strict=True)]).view(
            3, 1, 1, 1
        )
        step = torch.from_numpy(spacing.astype(np.float32)).view(3, 1, 1, 1)
        away = deformation.identity(local) - centre
        square = ((away * step) ** 2).sum(0) / (PUSH_REACH * self.blob.radius) ** 2
        before = centre + away * (1 - PUSH * torch.exp(-square))
        pushed = coordinates.clone()
        pushed[(slice(None), *box)] = deformation.sample(local, before)
        return pushed


def soft(depth: Array, spacing: Array) -> Array:
    """Share of a voxel inside a border at ``depth`` (mm) from its centre."""
    return np.asarray(np.clip(depth / float(np.cbrt(spacing.prod())) + 0.5, 0, 1), np.float32)


def lesion(kind: Kind, box: Box, weight: Array, spacing: Array) -> Lesion:
    """A lesion of ``weight`` in ``box``."""
    return Lesion(kind, box, np.asarray(weight, np.float32), float(spacing.prod()) / 1000)


def hyperintensities(volume: float, rng: np.random.Generator, ground: Ground) -> Lesion:
    """White-matter hyperintensities of ``volume`` (ml): caps at the ventricles, then foci that merge.

    A score falls with the distance from the ventricles and varies at random over some mm; the volume sets
    its threshold.
    """
    spacing, white = ground.spacing, ground.white
    noise = 0.55 * smooth_field(rng, white.shape, 2.8 / float(spacing.mean()))
    score = noise + 2.2 * np.exp(np.minimum(ground.levels[3], 0) / 4)
    depth = np.clip((ground.levels[0] - 1.5) / 2, 0, 1)
    able = (ground.height > LOWEST) & (white > 0.6) & (depth > 0)
    score = np.where(able, score * depth, -np.inf).astype(np.float32)
    voxels = min(int(volume * 1000 / spacing.prod()), int(able.sum()) - 1)
    threshold = np.partition(score[able], -voxels)[-voxels]
    weight = np.where(able, np.clip(0.5 + (score - threshold) / 0.15, 0, 1) * white, 0)
    spans = [np.flatnonzero((weight > 0).any(tuple({0, 1, 2} - {k}))) for k in range(3)]
    x, y, z = (slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    return lesion("hyperintensity", (x, y, z), weight[x, y, z], spacing)
