"""The anatomy of the shifted test domain: the folded cortex of FreeSurfer's fsaverage5 in nilearn's wheel.

Its white and pial meshes (10,242 vertices a hemisphere) become distances on the template's grid; what they
do not have, deep grey matter, ventricles, brain stem and cerebellum, is the template's.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainers.cohorts.simulation import surfaces
from trainers.cohorts.simulation.anatomy import data_folder
from trainers.cohorts.simulation.surfaces import Surfaces
from trainers.data.arrays import Array
from trainers.errors import InputError

_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
    ]
)
"""From the space of fsaverage (MNI305) to MNI152, in mm: FreeSurfer's wiki, CoordinateSystems."""
WIDER = (0.4, 1.2)
"""Shift (mm) of the white and the pial surface outwards: an average brain has wide sulci, a thin cortex."""
_NUDGE = (3.7e-4, 7.1e-4, 5.3e-4)
"""Voxels by which vertices are moved, so that none lies on a line of voxel centres."""


def mesh_files() -> dict[str, Path]:
    """The bundled meshes by surface and side; raises InputError where one is missing."""
    folder = data_folder() / "fsaverage5"
    names = [f"{kind}_{side}" for kind in ("white", "pial") for side in ("left", "right")]
    paths = {name: folder / f"{name}.gii.gz" for name in names}
    for path in paths.values():
        if not path.is_file():
            raise InputError(f"{path}: missing from the installed nilearn; reinstall it (0.10 or later)")
    return paths


def mesh_hashes() -> tuple[str, ...]:
    """Hex sha256 of each mesh: part of the hash of a cohort with a shifted test split."""
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in mesh_files().values())


@lru_cache(maxsize=1)
def mesh_surfaces(size: str) -> Surfaces:
    """The folded anatomy on the grid of ``surfaces.template_surfaces``; cached."""
    template = surfaces.template_at_1mm()
    white, pial = (_fill(kind, template) for kind in ("white", "pial"))
    pial |= white
    levels = template.levels.copy()
    lower = surfaces.below_tentorium(template.affine, levels.shape[1:])
    inner = np.maximum(levels[surfaces.DEEP], levels[surfaces.VENTRICLE])
    skull = levels[surfaces.BRAIN]
    for index, region, wider in ((surfaces.WHITE, white, WIDER[0]), (surfaces.PIAL, pial, WIDER[1])):
        cortex = np.minimum(surfaces.distance(region) + np.float32(wider), skull)
        cortex = np.maximum(cortex, np.minimum(inner + 1.0, surfaces.REACH))
        levels[index] = np.where(lower, np.maximum(levels[index], cortex), cortex)
    return surfaces.on_grid(Surfaces(levels, template.affine), size)


def _fill(kind: str, template: Surfaces) -> Array:
    """Voxels inside the closed surface of either hemisphere."""
    import nibabel

    found = np.zeros(template.levels.shape[1:], bool)
    for side in ("left", "right"):
        mesh = nibabel.load(mesh_files()[f"{kind}_{side}"])
        points, faces = (each.data for each in mesh.darrays[:2])
        mm = points.astype(float) @ _TO_MNI152[:, :3].T + _TO_MNI152[:, 3]
        found |= inside(mm - template.affine[:3, 3], faces, found.shape)
    return found


def inside(vertices: Array, faces: Array, shape: tuple[int, ...]) -> Array:
    """Voxels ``[X, Y, Z]`` whose centres are inside a closed mesh.

    ``vertices [V, 3]`` are in voxels, ``faces [F, 3]`` their indices. By parity: along each line parallel
    to x, a crossing changes the side.
    """
    corners = (vertices + np.array(_NUDGE))[faces]
    low = np.ceil(corners[:, :, 1:].min(1)).astype(int)
    span = int((np.floor(corners[:, :, 1:].max(1)) - low).max()) + 1
    crossings = np.zeros(shape, np.uint8)
    for offset in np.ndindex(span, span):
        line = low + offset
        weights = _barycentric(corners[:, :, 1:], line)
        hit = (weights > 0).all(1)
        x = (weights[hit] * corners[hit, :, 0]).sum(1)
        at = np.clip(np.ceil(x).astype(int), 0, shape[0] - 1)
        np.add.at(crossings, (at, *line[hit].T), 1)
    return np.asarray(np.cumsum(crossings, axis=0, dtype=np.uint8) % 2 == 1)


def _barycentric(corners: Array, points: Array) -> Array:
    """Weights ``[F, 3]`` of each triangle's corners ``[F, 3, 2]`` at a point ``[F, 2]``."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]

    def area(p: Array, q: Array, r: Array) -> Array:
        return np.asarray(
            (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])
        )

    whole = area(a, b, c)
    whole = np.where(np.abs(whole) < 1e-12, np.inf, whole)
    return np.stack([area(points, b, c), area(a, points, c), area(a, b, points)], axis=1) / whole[:, None]
