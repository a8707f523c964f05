"""The template anatomy of the phantom: the MNI152 tissue maps in nilearn's wheel."""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.data.arrays import Array
from trainers.errors import InputError

_FILES = {kind: f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz" for kind in ("t1", "gm", "wm")}
_BRAIN_THRESHOLD = 0.2  # of the brain-only T1's maximum: nilearn's own brain mask, 1883 ml
_CLOSING = 4.0  # mm
_HALVING = np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
_DEEP_BOX = ((-31.0, 31.0), (-34.0, 22.0), (-10.0, 20.0))  # MNI mm: thalamus, caudate, lentiform nuclei


@dataclass(frozen=True)
class Template:
    """Tissue probabilities ``[4, X, Y, Z]`` (WM, GM, deep GM, CSF), soft brain mask and RAS affine.

    The probabilities sum to one everywhere: the surroundings of the brain count as CSF until masked.
    """

    tissues: Array
    mask: Array
    affine: Array
    spacing: float


def data_folder() -> Path:
    """Where nilearn's bundled data are, found without importing it; raises InputError without nilearn."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "phantom: package nilearn, whose brain maps it is made of, is missing; pip install nilearn"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data"


def tissue_files() -> dict[str, Path]:
    """The bundled maps (t1, gm, wm); raises InputError where one is missing."""
    folder = data_folder()
    paths = {kind: folder / name for kind, name in _FILES.items()}
    for path in paths.values():
        if not path.is_file():
            raise InputError(f"{path}: missing from the installed nilearn; reinstall it (0.10 or later)")
    return paths


def tissue_hashes() -> tuple[str, ...]:
    """Hex sha256 of each map: part of the phantom cohort's hash."""
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in tissue_files().values())


@lru_cache(maxsize=1)
def tissue_template(size: str) -> Template:
    """The template at ``2mm`` or ``1mm``; cached, as every subject needs it."""
    import nibabel

    images = {kind: nibabel.load(path) for kind, path in tissue_files().items()}
    t1, gm, wm = (np.asarray(images[kind].dataobj, dtype=np.float32) / 255 for kind in ("t1", "gm", "wm"))
    mask = (t1 >= _BRAIN_THRESHOLD).astype(np.float32)
    affine = np.asarray(images["t1"].affine, dtype=np.float64)
    if size == "2mm":
        gm, wm, mask = _halve(np.stack([gm, wm, mask]))
        affine = affine @ _HALVING
    spacing = float(affine[0, 0])
    mask = _smooth(_close(mask, round(_CLOSING / spacing)))
    deep = gm * deep_weight(gm.shape, affine)
    tissues = np.stack([wm, gm - deep, deep, 1 - gm - wm])
    return Template(tissues, mask, affine, spacing)


def _close(mask: Array, radius: int) -> Array:
    """Closing by an octagonal ball: the template's T1 is dark in the cisterns, which belong to the brain."""
    return np.asarray(1 - _grow(1 - _grow(torch.from_numpy(mask), radius), radius))


def _grow(mask: Tensor, radius: int) -> Tensor:
    for step in range(radius):
        if step % 2:  # a cube: one axis after the other
            for axis in range(3):
                mask = _pool(mask, axis)
        else:  # a cross
            mask = torch.stack([_pool(mask, axis) for axis in range(3)]).amax(0)
    return mask


def _pool(mask: Tensor, axis: int) -> Tensor:
    kernel = [3 if k == axis else 1 for k in range(3)]
    return functional.max_pool3d(mask[None, None], kernel, 1, [k // 2 for k in kernel])[0, 0]


def _smooth(mask: Array) -> Array:
    """Soft edge (mean of 3x3x3), so that a warped mask can be cut at one half without steps."""
    return np.asarray(functional.avg_pool3d(torch.from_numpy(mask)[None], 3, 1, 1)[0])


def deep_weight(shape: tuple[int, ...], affine: Array) -> Array:
    """One inside the box of the deep nuclei, falling to zero over a few mm."""
    sides = []
    for axis, (low, high) in enumerate(_DEEP_BOX):
        x = affine[axis, axis] * np.arange(shape[axis]) + affine[axis, 3]
        sides.append(1 / (1 + np.exp(-np.clip(np.minimum(x - low, high - x), -30, 30))))
    return np.asarray(np.einsum("i,j,k->ijk", *sides), np.float32)


def _halve(stack: Array) -> Array:
    """Mean of each 2x2x2 block ``[C, X, Y, Z] -> [C, X//2, Y//2, Z//2]``."""
    x, y, z = (n // 2 for n in stack.shape[1:])
    blocks = stack[:, : 2 * x, : 2 * y, : 2 * z].reshape(len(stack), x, 2, y, 2, z, 2)
    return np.asarray(blocks.mean(axis=(2, 4, 6), dtype=np.float32))
