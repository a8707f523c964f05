"""The embedded cohort: random anatomies from the MNI152 tissue maps, imaged at 64 mT and at 3 T.

No download; a subject depends only on the configuration's size and seed and on its own id (DATA.md A3, D1).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from trainers.cohorts.base import CohortSource, Mapper
from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.simulation.physics import CONTRASTS, FIELDS, Field
from trainers.config import Range, canonical, digest
from trainers.data import writer
from trainers.data.arrays import Array
from trainers.data.grid import GRIDS, PERCENTILES
from trainers.data.store import MASK, PAIRED_SPLITS
from trainers.errors import InputError

# Late: the simulation's torch takes a second to import, for which a wrong setting need not wait.
if TYPE_CHECKING:
    from trainers.cohorts.simulation.imaging import Volume
    from trainers.cohorts.simulation.subject import Anatomy

RECIPE = "phantom-1"
"""Part of the cohort's hash: raise it with any change to the images."""


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Settings of the phantom cohort."""

    size: Literal["2mm", "1mm"] = "2mm"
    """Spacing of the anatomy: 2mm (64 mT voxels 3.2x3.2x10 mm) for a laptop, 1mm (1.6x1.6x5 mm)."""
    train: Annotated[int, Range(1, 10000)] = 24
    """Training subjects a domain; those of 64 mT and of 3 T are different subjects."""
    val: Annotated[int, Range(1, 10000)] = 4
    """Paired validation subjects."""
    test: Annotated[int, Range(1, 10000)] = 4
    """Paired test subjects."""
    paired: bool = True
    """Whether validation and test subjects are scanned at 3 T too; else fidelity cannot be measured."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the whole cohort."""
    dtype: Literal["float16", "float32"] = "float16"
    """Type of the stored slices."""


def subject_ids(config: PhantomConfig) -> list[str]:
    """Every subject's id, in the store's order: ``train-64mT-0000``, ``train-3T-0000``, ``val-0000``, ..."""
    train = [f"train-{domain}-{i:04d}" for domain in FIELDS for i in range(config.train)]
    return train + [f"val-{i:04d}" for i in range(config.val)] + [f"test-{i:04d}" for i in range(config.test)]


def split_of(subject_id: str) -> str:
    """``train``, ``val`` or ``test``."""
    return subject_id.split("-")[0]


def domains_of(config: PhantomConfig, subject_id: str) -> tuple[Field, ...]:
    """The fields at which a subject was scanned: both if paired."""
    if split_of(subject_id) in PAIRED_SPLITS:
        return FIELDS if config.paired else FIELDS[:1]
    return tuple(domain for domain in FIELDS if f"-{domain}-" in subject_id)


def cohort_hash(config: PhantomConfig) -> str:
    """Content hash of the configuration, the fixed choices, the recipe and the tissue maps."""
    from trainers.cohorts.simulation import anatomy

    choices = json.dumps(_fixed_choices(), sort_keys=True)
    return digest(canonical(config), choices, RECIPE, *anatomy.tissue_hashes())


def prepare(config: PhantomConfig, root: Path, mapper: Mapper = map) -> Path:
    """Build the cohort under ``root``, or find it there; returns its folder.

    ``mapper(fn, items)`` keeps the order of its items, as ``map`` does.
    """
    hash_ = cohort_hash(config)
    found = writer.find(Path(root), hash_)
    if found:
        return found
    subjects = mapper(partial(prepare_subject, config), subject_ids(config))
    return writer.write(Path(root), hash_, _head(config), subjects)


def prepare_subject(config: PhantomConfig, subject_id: str) -> writer.SubjectArrays:
    """Image one subject and cut it into working slices."""
    person = _anatomy(config, subject_id)
    arrays: dict[tuple[str, str], Array] = {}
    for domain in domains_of(config, subject_id):
        arrays |= dict(_slices(config, _volumes(config, subject_id, person, domain), domain))
    kept = np.logical_and.reduce([slicing.keep(mask) for (_, kind), mask in arrays.items() if kind == MASK])
    types = {key: np.dtype("uint8" if key[1] == MASK else config.dtype) for key in arrays}
    arrays = {key: array[kept].astype(types[key]) for key, array in arrays.items()}
    provenance = {
        "seed": config.seed,
        "anatomy": "MNI152 2009a, random diffeomorphism",
        "lesions": person.lesions,
        "slices": np.flatnonzero(kept).tolist(),
    }
    return writer.SubjectArrays(subject_id, split_of(subject_id), arrays, provenance)


def native_volumes(config: PhantomConfig, subject_id: str) -> dict[tuple[str, str], tuple[Array, Array]]:
    """Skull-stripped volumes ``[X, Y, Z]`` (0 outside the brain) with RAS affines, by (field, contrast)."""
    if subject_id not in subject_ids(config):
        raise InputError(
            f"subject: {subject_id!r} is not in this cohort; its last one is {subject_ids(config)[-1]}"
        )
    person = _anatomy(config, subject_id)
    return {
        (domain, contrast): (volume.values, volume.affine)
        for domain in domains_of(config, subject_id)
        for contrast, volume in _volumes(config, subject_id, person, domain).items()
    }


def _anatomy(config: PhantomConfig, subject_id: str) -> "Anatomy":
    from trainers.cohorts.simulation.anatomy import tissue_template
    from trainers.cohorts.simulation.subject import make_anatomy

    return make_anatomy(tissue_template(config.size), _generator(config, subject_id, "anatomy"))


def _volumes(config: PhantomConfig, subject_id: str, person: "Anatomy", domain: Field) -> "dict[str, Volume]":
    from trainers.cohorts.simulation.imaging import Geometry, acquire

    geometry = Geometry.of(config.size, person.affine)
    return {
        contrast: acquire(
            person, geometry, domain, contrast, _generator(config, subject_id, f"{domain}-{contrast}")
        )
        for contrast in CONTRASTS
    }


def _slices(
    config: PhantomConfig, volumes: "dict[str, Volume]", domain: Field
) -> Iterator[tuple[tuple[str, str], Array]]:
    """Working slices of a domain's volumes at the 64 mT slice positions, normalised, and their mask."""
    grid = GRIDS[config.size]
    for contrast, volume in volumes.items():
        spacing = (volume.spacing, volume.spacing)
        slices, mask = slicing.working_slices(volume.values, volume.mask, volume.planes, spacing, grid)
        yield (domain, contrast), slices
        yield (domain, MASK), mask


def _generator(config: PhantomConfig, subject_id: str, stream: str) -> np.random.Generator:
    text = f"{config.size}/{config.seed}/{subject_id}/{stream}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()))


def _head(config: PhantomConfig) -> dict[str, Any]:
    grid = GRIDS[config.size]
    return {
        "cohort": "phantom",
        "config": asdict(config),
        "spacing": grid.spacing,
        "shape": list(grid.shape),
        "dtype": config.dtype,
        "choices": _fixed_choices(),
    }


def _fixed_choices() -> dict[str, str]:
    low, high = PERCENTILES
    return {
        "grid": "axial, anterior rows first, at the 64 mT slice centres, in plane as the anatomy",
        "normalisation": f"volume p{low:g}-p{high:g} inside its mask to [-1, 1], clipped; -1 outside",
        "mask": "true brain on the own grid, linear resampling, > 0.5",
        "slice_filter": f"brain >= {slicing.MIN_BRAIN_FRACTION:.0%} of a slice; pairs: at both fields",
        "order": "by split, domain, subject, then inferior to superior",
    }


SOURCE = CohortSource("phantom", PhantomConfig, prepare, native_volumes=native_volumes)
