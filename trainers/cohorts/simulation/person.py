"""A random subject of the second anatomy: sharp tissues between warped surfaces, and lesions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from trainers.cohorts.simulation import deformation, morphology, pathology
from trainers.cohorts.simulation.focal import Ground
from trainers.cohorts.simulation.lesion_tissues import KINDS, Lesion, lesion_relaxation
from trainers.cohorts.simulation.physics import FIELDS, RELAXATION, Field, Relaxation
from trainers.cohorts.simulation.site import Site
from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.cohorts.simulation.subject import JITTER, TEXTURE
from trainers.cohorts.simulation.surfaces import BRAIN, Surfaces
from trainers.data.arrays import Array

TISSUES = ("WM", "GM", "deep GM", "CSF")
"""In the order of fractions; labels of tissue maps are 1, 2, ...; 0 is outside the brain."""
RIM = 3.0
"""Fluid (mm) beyond the brain's mask, which cuts through it: the edges of thick slices are not darker."""


@dataclass(frozen=True)
class Person:
    """Tissue fractions ``[4, X, Y, Z]`` that sum to one in the ``mask`` and a rim of fluid, and the rest.

    ``lesions`` replace what they fill. ``relaxation`` has the tissues', then the lesions'
    kinds. ``origin [3, x, y, z]`` (mm, RAS) says where each point of a coarse grid over the same box lies
    in the template; ``matrix`` and ``offset`` (mm) are its affine part, about the grid's centre.
    """

    fractions: Array
    mask: Array
    affine: Array
    texture: Array
    lesions: tuple[Lesion, ...]
    relaxation: Mapping[Field, tuple[Relaxation, ...]]
    origin: Array
    matrix: Array
    offset: Array

    @property
    def spacing(self) -> Array:
        """Voxel size (mm) ``[3]``."""
        return np.diag(self.affine)[:3]

    @property
    def tissue_map(self) -> Array:
        """Label ``[X, Y, Z]`` of the tissue that fills most of each voxel, as if there were no lesions."""
        return np.where(self.mask, 1 + self.fractions.argmax(0), 0).astype(np.uint8)

    @property
    def lesion_map(self) -> Array:
        """Label ``[X, Y, Z]`` of the greatest lesion in each voxel that lesions fill at least half of."""
        labels = np.zeros(self.mask.shape, np.uint8)
        filled, greatest = np.zeros((2, *self.mask.shape), np.float32)
        for lesion in self.lesions:
            filled[lesion.box] += lesion.weight
            greater = lesion.weight > greatest[lesion.box]
            labels[lesion.box][greater] = 1 + KINDS.index(lesion.kind)
            np.maximum(greatest[lesion.box], lesion.weight, out=greatest[lesion.box])
        return np.where(filled >= 0.5, labels, np.uint8(0))


def make_person(template: Surfaces, rng: np.random.Generator, site: Site, rates: pathology.Rates) -> Person:
    """Draw a subject; the same generator state gives the same subject."""
    spacing, maps = template.spacing, torch.from_numpy(template.levels)
    shape = morphology.draw_shape(template, rng)
    plan = pathology.draw_plan(rng, rates, site.lesions)
    coordinates, levels = shape.coordinates, deformation.sample(maps, shape.coordinates)
    mask = (levels[BRAIN] > 0).numpy()
    mass = pathology.place_mass(plan, rng, _ground(template, levels.numpy(), coordinates))
    if mass:  # the skull stays where it is
        coordinates = mass.push(coordinates, spacing)
        levels = deformation.sample(maps, coordinates)
    distances = (levels * shape.scale).numpy()
    ground = _ground(template, distances, coordinates)
    morphology.vary_surfaces(distances, rng, site, spacing, ground.left, shape.scale[0].numpy())
    fractions = tissue_fractions(distances, float(np.cbrt(spacing.prod()))) * mask
    fractions[TISSUES.index("CSF")][~mask & (distances[BRAIN] > -RIM)] = 1
    ground = replace(ground, white=fractions[0], solid=fractions[:3].sum(0) * mask)
    lesions = pathology.make_lesions(plan, rng, ground, mass)
    texture = (1 + TEXTURE * smooth_field(rng, mask.shape, 1.2)).astype(np.float32)
    relaxation, origin = draw_relaxation(rng), _origin(coordinates, template)
    return Person(
        fractions, mask, template.affine, texture, lesions, relaxation, origin, shape.matrix, shape.offset
    )


def _ground(template: Surfaces, levels: Array, coordinates: torch.Tensor) -> Ground:
    """Where lesions may be placed, by ``levels`` alone."""
    (x, z), affine = coordinates[::2].numpy(), template.affine
    left, height = x < -affine[0, 3] / affine[0, 0], affine[2, 2] * z + affine[2, 3]
    return Ground(levels, np.zeros(0), np.zeros(0), left, height, template.spacing)


def tissue_fractions(distances: Array, voxel: float) -> Array:
    """Fractions ``[4, X, Y, Z]`` of ``TISSUES`` in voxels of ``voxel`` mm, from distances to surfaces.

    A plane at the signed distance d from a voxel's centre leaves d / voxel + 1/2 of it on its inner side.
    """
    white, pial, deep, ventricle, _ = np.clip(distances / np.float32(voxel) + np.float32(0.5), 0, 1)
    fluid = np.maximum(1 - pial, ventricle)
    deep = np.minimum(deep, 1 - fluid)
    white = np.clip(np.minimum(white, pial) - deep - ventricle, 0, 1 - fluid - deep)
    return np.stack([white, 1 - fluid - deep - white, deep, fluid])


def draw_relaxation(rng: np.random.Generator) -> Mapping[Field, tuple[Relaxation, ...]]:
    """A subject's tissues and lesions: each constant varied by some 3 %, equally at both fields."""
    tables = {field: (*RELAXATION[field][:4], *lesion_relaxation(field)) for field in FIELDS}
    factors = np.exp(JITTER * rng.standard_normal((len(tables["3T"]), 3)))
    return {
        field: tuple(
            Relaxation(t.pd * float(pd), t.t1 * float(t1), t.t2 * float(t2))
            for t, (pd, t1, t2) in zip(table, factors, strict=True)
        )
        for field, table in tables.items()
    }


def _origin(coordinates: torch.Tensor, template: Surfaces) -> Array:
    """Template positions (mm) at the points of a coarse grid, every 4 mm, as float16: to 0.06 mm."""
    steps = [max(1, round(morphology.COARSE / d)) for d in template.spacing]
    coarse = coordinates[:, :: steps[0], :: steps[1], :: steps[2]].numpy()
    scale, first = template.spacing[:, None, None, None], template.affine[:3, 3, None, None, None]
    return (coarse * scale + first).astype(np.float16)
