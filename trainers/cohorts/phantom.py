"""The embedded cohort: random anatomies from the MNI152 tissue maps, imaged at 64 mT and at 3 T.

No download; a subject depends only on the configuration's size and seed and on its own id (DATA.md A3, D1).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from trainers.cohorts.base import CohortSource, Mapper
from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.simulation.physics import CONTRASTS, FIELDS, Contrast, Field
from trainers.config import FieldError, Range, canonical, digest, plain_values
from trainers.data import writer
from trainers.data.arrays import Array
from trainers.data.grid import BACKGROUND, GRIDS, PERCENTILES
from trainers.data.store import MASK, PAIRED_SPLITS, SHIFTED, SPLITS
from trainers.data.views import View
from trainers.errors import InputError

# Late: the simulation's torch takes a second to import, for which a wrong setting need not wait.
if TYPE_CHECKING:
    from trainers.cohorts.simulation.imaging import Volume
    from trainers.cohorts.simulation.person import Person
    from trainers.cohorts.simulation.views import ViewScan

RECIPES = {"first": "phantom-1", "second": "phantom-4"}
"""Part of the cohort's hash, by anatomy: raise it with any change to the images."""
LABELS: dict[View, str] = {"axial": "AXI", "coronal": "COR", "sagittal": "SAG"}
"""Of the views' exported scans."""


@dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Settings of the phantom cohort; those after ``dtype`` are the second anatomy's."""

    size: Literal["2mm", "1mm"] = "2mm"
    """In-plane spacing of the anatomy and of the slices: 2mm for a laptop, 1mm."""
    train: Annotated[int, Range(1, 10000)] = 24
    """Training subjects a domain; those of 64 mT and of 3 T are different subjects."""
    val: Annotated[int, Range(1, 10000)] = 16
    """Paired validation subjects."""
    test: Annotated[int, Range(1, 10000)] = 16
    """Paired test subjects."""
    paired: bool = True
    """Whether validation and test subjects are scanned at 3 T too; else fidelity cannot be measured."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the whole cohort."""
    dtype: Literal["float16", "float32"] = "float16"
    """Type of the stored slices."""
    anatomy: Literal["first", "second"] = "second"
    """second: sharp cortex, people as different as people, lesions; first: that of older studies."""
    voxel: Literal[True, "scaled"] = True
    """Of 64 mT: true, 1.6x1.6x5 mm; scaled with the anatomy, as before: 3.2x3.2x10 mm at 2mm."""
    pathology: Literal["none", "ordinary", "more"] = "ordinary"
    """How often subjects have lesions; the first anatomy has up to three balls of its own."""
    site: Literal["different", "same"] = "different"
    """Whether 64 mT and 3 T training subjects are other populations, imaged by other hospitals."""
    shifted: Annotated[int, Range(0, 10000)] = 16
    """Paired subjects of a second test split: another anatomy, population and site, more lesions."""
    views: Literal["axial", "three"] = "axial"
    """Of the exported 64 mT scans: three adds a coronal and a sagittal one; slices are of the axial one."""

    EARLIER: ClassVar[dict[str, Any]] = {
        "anatomy": "first",
        "voxel": "scaled",
        "pathology": "none",
        "site": "same",
        "shifted": 0,
        "views": "axial",
    }
    """What the settings meant that did not exist from the start: see ``trainers.config.plain_values``."""
    EARLIER_DEFAULTS: ClassVar[dict[str, Any]] = {"val": 4, "test": 4}

    def __post_init__(self) -> None:
        """Settings of the second anatomy have their earlier meaning with the first one.

        Raises FieldError for one that is set to something else.
        """
        if self.anatomy == "first":
            for key, earlier in self.EARLIER.items():
                if getattr(self, key) not in (earlier, getattr(PhantomConfig, key)):
                    raise FieldError(key, getattr(self, key), f"{earlier} with anatomy: first")
                object.__setattr__(self, key, earlier)
        if self.views == "three" and self.voxel is not True:
            raise FieldError("views", self.views, "axial with voxel: scaled")


def subject_ids(config: PhantomConfig) -> list[str]:
    """Every subject's id, in the store's order: ``train-64mT-0000``, ``train-3T-0000``, ``val-0000``, ..."""
    train = [f"train-{domain}-{i:04d}" for domain in FIELDS for i in range(config.train)]
    counts = {"val": config.val, "test": config.test, SHIFTED: config.shifted}
    return train + [f"{split}-{i:04d}" for split, count in counts.items() for i in range(count)]


def split_of(subject_id: str) -> str:
    """``train``, ``val``, ``test`` or ``shifted``."""
    return subject_id.split("-")[0]


def domains_of(config: PhantomConfig, subject_id: str) -> tuple[Field, ...]:
    """The fields at which a subject was scanned: both if paired."""
    if split_of(subject_id) != "train":
        return FIELDS if config.paired else FIELDS[:1]
    return tuple(domain for domain in FIELDS if f"-{domain}-" in subject_id)


def cohort_hash(config: PhantomConfig) -> str:
    """Content hash of the configuration, the fixed choices, the recipe and the tissue maps."""
    from trainers.cohorts.simulation.anatomy import tissue_hashes
    from trainers.cohorts.simulation.folded_mesh import mesh_hashes

    choices = json.dumps(_fixed_choices(), sort_keys=True)
    sources = (*tissue_hashes(), *(mesh_hashes() if config.shifted else ()))
    return digest(canonical(config), choices, RECIPES[config.anatomy], *sources)


def prepare(config: PhantomConfig, root: Path, mapper: Mapper = map) -> Path:
    """Build the cohort under ``root``, or find it there; returns its folder.

    ``mapper(fn, items)`` keeps the order of its items, as ``map`` does.
    """
    hash_ = cohort_hash(config)
    found = writer.find(Path(root), hash_)
    if found:
        return found
    subjects = mapper(partial(prepare_subject, config), subject_ids(config))
    splits = (*SPLITS, SHIFTED) if config.shifted else SPLITS
    return writer.write(Path(root), hash_, _head(config), subjects, splits)


def prepare_subject(config: PhantomConfig, subject_id: str, healthy: bool = False) -> writer.SubjectArrays:
    """Image one subject and cut it into working slices.

    ``healthy``: with the tissue that the second anatomy's lesions replace instead, as displaced by a mass;
    all else is the same, the noise too, but for the percentiles of the normalisation.
    """
    imaged = _image(config, subject_id, healthy)
    arrays: dict[tuple[str, str], Array] = {}
    for domain, volumes in imaged.scans.items():
        arrays |= dict(_slices(config, volumes, domain))
    kept = np.logical_and.reduce([slicing.keep(mask) for (_, kind), mask in arrays.items() if kind == MASK])
    types = {key: np.dtype("uint8" if key[1] == MASK else config.dtype) for key in arrays}
    arrays = {key: array[kept].astype(types[key]) for key, array in arrays.items()}
    facts: dict[str, Any] = {"seed": config.seed, **imaged.facts, "slices": np.flatnonzero(kept).tolist()}
    if config.anatomy == "first":
        return writer.SubjectArrays(subject_id, split_of(subject_id), arrays, facts)
    first, optional = _planes(config, imaged)
    facts |= {"plane_of_slice": (imaged.planes[kept] - first).tolist()}
    return writer.SubjectArrays(subject_id, split_of(subject_id), arrays, facts, optional)


@dataclass(frozen=True)
class _Imaged:
    """A subject's scans by field and contrast, what the manifest says of it, and who it is."""

    scans: "dict[Field, dict[Contrast, Volume]]"
    facts: dict[str, Any]
    person: "Person | None" = None
    planes: Array = field(default_factory=lambda: np.zeros(0, int))
    """The anatomy's plane at each 64 mT slice centre."""


def native_volumes(config: PhantomConfig, subject_id: str) -> dict[tuple[str, str], tuple[Array, Array]]:
    """Skull-stripped volumes ``[X, Y, Z]`` (0 outside the brain) with RAS affines, by (field, contrast).

    With ``views: three`` those of 64 mT are by (``AXI``, ``COR`` or ``SAG``, contrast).
    """
    _require_subject(config, subject_id)
    imaged = _image(config, subject_id)
    scans: dict[tuple[str, str], Volume] = {
        (at, contrast): volume for at, by in imaged.scans.items() for contrast, volume in by.items()
    }
    if config.views == "three" and "64mT" in imaged.scans:
        views = {key: scan.volume for key, scan in _other_views(config, subject_id, imaged).items()}
        scans = {
            ("AXI" if at == "64mT" else at, contrast): volume for (at, contrast), volume in scans.items()
        }
        scans |= {(LABELS[view], contrast): volume for (view, contrast), volume in views.items()}
    return {key: (volume.values, volume.affine) for key, volume in scans.items()}


@dataclass(frozen=True)
class ViewedSubject:
    """A subject's 64 mT scans in three planes, and its true 3 T on an isotropic grid; volumes are RAS."""

    scans: "dict[tuple[View, Contrast], ViewScan]"
    truth: dict[Contrast, Array]
    """Without the 3 T scanner's receive field, noise and ghost [X, Y, Z]; 0 outside the brain."""
    brain: Array
    """The true brain on the grid of the truth."""
    affine: Array
    """Of that grid."""


def viewed_subject(config: PhantomConfig, subject_id: str) -> ViewedSubject:
    """A paired subject of the second anatomy in three views; the axial one is that of the cohort.

    The truth is of 1 mm, or of 2 mm at ``2mm``: means of two planes.
    """
    from trainers.cohorts.simulation.scan import contrast_image, tissue_signals
    from trainers.cohorts.simulation.site import SITES
    from trainers.cohorts.simulation.views import ViewScan, isotropic

    _require_subject(config, subject_id)
    imaged, site = _image(config, subject_id), SITES[site_names(config, subject_id)["3T"]]
    person = imaged.person
    assert person is not None  # the first anatomy has no views
    still = np.eye(4)
    scans: dict[tuple[View, Contrast], ViewScan] = {
        ("axial", c): ViewScan(volume, still) for c, volume in imaged.scans["64mT"].items()
    }
    scans |= _other_views(config, subject_id, imaged)
    images = {c: contrast_image(person, tissue_signals(person, site, "3T", c)) for c in CONTRASTS}
    truth = {c: isotropic(image * person.mask, person.affine)[0] for c, image in images.items()}
    brain, affine = isotropic(person.mask.astype(np.float32), person.affine)
    return ViewedSubject(scans, truth, brain > 0.5, affine)


def _other_views(
    config: PhantomConfig, subject_id: str, imaged: "_Imaged"
) -> "dict[tuple[View, Contrast], ViewScan]":
    from trainers.cohorts.simulation.imaging import Geometry
    from trainers.cohorts.simulation.site import SITES
    from trainers.cohorts.simulation.views import scan_view

    person, site = imaged.person, SITES[site_names(config, subject_id)["64mT"]]
    assert person is not None  # the first anatomy has no views
    geometry = Geometry.of("1mm" if config.voxel is True else config.size, person.affine)
    views: tuple[View, ...] = ("coronal", "sagittal")
    found = {}
    for view, contrast in product(views, CONTRASTS):
        rng, axial = (_generator(config, subject_id, f"64mT-{contrast}{end}") for end in (f"-{view}", ""))
        found[view, contrast] = scan_view(person, site, contrast, view, rng, (geometry, axial))
    return found


def _require_subject(config: PhantomConfig, subject_id: str) -> None:
    if subject_id not in subject_ids(config):
        raise InputError(
            f"subject: {subject_id!r} is not in this cohort; its last one is {subject_ids(config)[-1]}"
        )


def site_names(config: PhantomConfig, subject_id: str) -> dict[str, str]:
    """The site whose population a subject is of, and that of each of its scans' scanners.

    The 64 mT training scans are the north's, the 3 T ones the south's; so are the scans of paired
    subjects, who are of either population in turn. With ``site: same`` all are the north's. Those of the
    shifted split are the east's.
    """
    south = "north" if config.site == "same" else "south"
    if split_of(subject_id) == SHIFTED:
        return {"people": "east", "64mT": "east", "3T": "east"}
    if split_of(subject_id) in PAIRED_SPLITS:
        people = (south, "north")[int(subject_id[-4:]) % 2]
    else:
        people = south if "-3T-" in subject_id else "north"
    return {"people": people, "64mT": "north", "3T": south}


def _image(config: PhantomConfig, subject_id: str, healthy: bool = False) -> _Imaged:
    if config.anatomy == "first":
        return _image_first(config, subject_id)
    return _image_second(config, subject_id, healthy)


def _image_first(config: PhantomConfig, subject_id: str) -> _Imaged:
    from trainers.cohorts.simulation.anatomy import tissue_template
    from trainers.cohorts.simulation.imaging import Geometry, acquire
    from trainers.cohorts.simulation.subject import make_anatomy

    person = make_anatomy(tissue_template(config.size), _generator(config, subject_id, "anatomy"))
    geometry = Geometry.of(config.size, person.affine)
    scans = {
        at: {
            contrast: acquire(
                person, geometry, at, contrast, _generator(config, subject_id, f"{at}-{contrast}")
            )
            for contrast in CONTRASTS
        }
        for at in domains_of(config, subject_id)
    }
    facts = {"anatomy": "MNI152 2009a, random diffeomorphism", "lesions": person.lesions}
    return _Imaged(scans, facts)


def _image_second(config: PhantomConfig, subject_id: str, healthy: bool = False) -> _Imaged:
    from trainers.cohorts.simulation.folded_mesh import mesh_surfaces
    from trainers.cohorts.simulation.imaging import Geometry
    from trainers.cohorts.simulation.pathology import RATES
    from trainers.cohorts.simulation.person import make_person
    from trainers.cohorts.simulation.scan import scan
    from trainers.cohorts.simulation.site import SITES
    from trainers.cohorts.simulation.surfaces import template_surfaces

    names = site_names(config, subject_id)
    rng, people = _generator(config, subject_id, "anatomy"), SITES[names["people"]]
    shifted = split_of(subject_id) == SHIFTED
    template = (mesh_surfaces if shifted else template_surfaces)(config.size)
    rates = RATES["more" if shifted and config.pathology != "none" else config.pathology]
    person = make_person(template, rng, people, rates)
    person = replace(person, lesions=()) if healthy else person
    geometry = Geometry.of("1mm" if config.voxel is True else config.size, person.affine)
    scans = {
        at: scan(
            person,
            geometry,
            at,
            SITES[names[at]],
            {contrast: _generator(config, subject_id, f"{at}-{contrast}") for contrast in CONTRASTS},
        )
        for at in domains_of(config, subject_id)
    }
    source = "fsaverage5 meshes in" if shifted else "cortex of"
    facts = {
        "anatomy": f"{source} MNI152 2009a as distances, random diffeomorphism",
        "lesions": [{"kind": each.kind, "ml": round(each.volume, 3)} for each in person.lesions],
        "site": names,
        "affine": {"matrix": person.matrix.tolist(), "offset": person.offset.tolist()},
    }
    return _Imaged(scans, facts, person, geometry.planes(person.mask.shape[2]))


def _planes(config: PhantomConfig, imaged: _Imaged) -> tuple[int, dict[str, Array]]:
    """The first plane with brain, and from there on all 3 T planes and maps ``[P, H, W]``; the transform.

    ``3T_T1``, ``3T_T2``: as the slices; ``tissue``, ``lesion``: labels; ``origin [1, 3, x, y, z]``.
    """
    person, shape = imaged.person, GRIDS[config.size].shape
    assert person is not None
    span = np.flatnonzero(person.mask.any((0, 1)))
    planes = slice(int(span[0]), int(span[-1]) + 1)

    def cut(volume: Array, fill: float, dtype: str) -> Array:
        return slicing.crop_pad(slicing.axial(volume[:, :, planes]).astype(dtype), shape, fill)

    found = {
        f"3T_{contrast}": cut(slicing.normalise(volume.values, volume.mask), BACKGROUND, config.dtype)
        for contrast, volume in imaged.scans.get("3T", {}).items()
    }
    found |= {"tissue": cut(person.tissue_map, 0, "uint8"), "lesion": cut(person.lesion_map, 0, "uint8")}
    return planes.start, {**found, "origin": person.origin[None]}


def _slices(
    config: PhantomConfig, volumes: "dict[Contrast, Volume]", domain: Field
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
        "config": plain_values(config),
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
