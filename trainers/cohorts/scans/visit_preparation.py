"""One visit from its files to published working slices: one Ray task, skipped if done before.

<folder>/<visit>-<hash8>/slices.safetensors, native.safetensors, look.safetensors, manifest.json
"""

import importlib.metadata
import resource
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers import weights
from trainers.cohorts.preprocessing import nifti, registration, skullstrip, slicing
from trainers.cohorts.preprocessing.examination import Examination, dilate, examine, image_of, read
from trainers.cohorts.preprocessing.frame import Frame
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import BrainMask
from trainers.cohorts.scans import previews
from trainers.cohorts.scans.visits import Visit
from trainers.config import digest
from trainers.data.arrays import Array
from trainers.data.grid import GRIDS, PERCENTILES
from trainers.data.planes import FWHM
from trainers.errors import InputError
from trainers.files import file_sha256

# Late: torch takes a second to import, for which a wrong setting need not wait.
if TYPE_CHECKING:
    from torch import Tensor

RECIPE = "intake-1"
"""Part of a visit's key: raise it with any change to the slices."""
SUPPORT = (8, 8, 8)
"""Voxels around the brain that its interpolation may read."""


@dataclass(frozen=True)
class VisitSettings:
    """How visits are prepared, and where they are kept."""

    folder: Path
    size: str
    """A key of :data:`trainers.data.grid.GRIDS`."""
    brain_mask: BrainMask


@dataclass(frozen=True)
class VisitTask:
    """One visit to prepare; a 3 T visit is resampled to the frame of a prepared 64 mT visit, its target."""

    visit: Visit
    target: Path | None = None


@dataclass(frozen=True)
class VisitResult:
    """Where a visit was published, or the ``reason`` for which it is excluded."""

    visit: Visit
    folder: Path | None
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether the visit may be part of a cohort."""
        return self.folder is not None and not self.reason


def prepare_visit(settings: VisitSettings, task: VisitTask) -> VisitResult:
    """Prepare one visit, unless that was done before; an error excludes it and does not stop the others."""
    try:
        return VisitResult(task.visit, _prepare(settings, task))
    except InputError as error:
        return VisitResult(task.visit, None, str(error))
    except Exception as error:  # a bug: its traceback is kept, the other visits are prepared
        settings.folder.mkdir(parents=True, exist_ok=True)
        log = settings.folder / f"{task.visit.id}.traceback.txt"
        log.write_text(traceback.format_exc())
        return VisitResult(task.visit, None, f"{error.__class__.__name__}: {error} (see {log})")


def _prepare(settings: VisitSettings, task: VisitTask) -> Path:
    visit = task.visit
    if problem := incomplete(visit):
        raise InputError(problem)
    for path in input_files(visit).values():
        nifti.require_file(path)
    inputs = {name: file_sha256(path) for name, path in input_files(visit).items()}
    onto = weights.read_manifest(task.target)["key"] if task.target else "its own space"
    key = digest(*inputs.values(), *content_settings(settings), onto)
    folder = settings.folder / f"{visit.id}-{key[:8]}"
    if weights.is_published(folder):
        return folder
    started = time.perf_counter()
    given = None if visit.mask is None else nifti.read(visit.mask)
    examination = examine(read(visit.scans), settings.brain_mask, given)
    tensors, placement = (
        _in_target_space(examination, task.target) if task.target else _in_own_space(examination, settings)
    )
    facts = {
        "key": key,
        "visit": visit_to_json(replace(visit, split="")),  # a split may change, the slices stay
        "inputs": inputs,
        "settings": list(content_settings(settings)),
        "slices": int(slicing.keep(tensors["slices"]["mask"].numpy()).sum()),
        **examination.facts(),
        **placement,
        "warnings": [*examination.warnings, *placement.get("warnings", [])],
        "seconds": round(time.perf_counter() - started, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    weights.publish(folder, tensors, facts, "prepared visit")
    return folder


def incomplete(visit: Visit) -> str:
    """That a visit lacks a contrast; empty where it has both."""
    missing = sorted({"T1", "T2"} - set(visit.scans))
    return f"{visit.id}: has no {' and no '.join(missing)} scan; allowed: both contrasts" if missing else ""


def content_settings(settings: VisitSettings) -> tuple[str, ...]:
    """All that determines a visit's slices beside its files: recipe, size, mask method, software versions."""
    tool = skullstrip.installed_tool() if settings.brain_mask == "auto" else settings.brain_mask
    return (RECIPE, settings.size, settings.brain_mask, tool, *versions())


def versions() -> list[str]:
    """The software that prepares scans."""
    names = ("antspyx", "nibabel", "numpy", "scipy")
    return [f"{name} {importlib.metadata.version(name)}" for name in names]


def input_files(visit: Visit) -> dict[str, Path]:
    """The files of a visit: its scans and its mask."""
    return {**visit.scans, **({"mask": visit.mask} if visit.mask else {})}


def visit_to_json(visit: Visit) -> dict[str, Any]:
    """A visit as JSON values."""
    values = {**asdict(visit), "views": [[c, str(path)] for c, path in visit.views]}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


Prepared = tuple[dict[str, dict[str, "Tensor"]], dict[str, Any]]
"""Groups of tensors to publish, and facts for the manifest."""


def _in_own_space(examination: Examination, settings: VisitSettings) -> Prepared:
    """Slices of a 64 mT visit in its own space, and the T1 volume to which 3 T visits are registered."""
    frame = Frame.of(examination.mask, examination.first.affine, GRIDS[settings.size])
    volumes = examination.volumes
    cut = {contrast: frame.slices(values, examination.mask) for contrast, values in volumes.items()}
    slices = {contrast: pair[0] for contrast, pair in cut.items()} | {"mask": cut["T1"][1]}
    native = {"T1": np.where(examination.mask, volumes["T1"], 0), "mask": examination.mask}
    tensors = {"slices": _tensors(slices), "native": _tensors(native)}
    tensors["look"] = _tensors(previews.preview(volumes, examination.mask, examination.first.spacing, slices))
    return tensors, {"frame": frame.facts()}


def _in_target_space(examination: Examination, target: Path) -> Prepared:
    """Slices of a 3 T visit, resampled once to the working pixels of a 64 mT visit."""
    frame = Frame.read(weights.read_manifest(target)["frame"])
    native = weights.read_tensors(target, "native")
    fixed = Image(native["T1"].numpy(), frame.affine)
    moving = Image(np.where(examination.mask, examination.first.values, 0), examination.first.affine)
    region = native["mask"].numpy() > 0
    to_visit = registration.rigid(fixed, moving, dilate(region, fixed.spacing))
    slices = onto_frame(examination, frame, to_visit)
    moved = registration.resample(moving, fixed, to_visit, order=1)
    facts = {
        "warnings": registration.rotation_warnings(fixed, moved, region),
        "target": target.name,
        "target_to_visit": to_visit.tolist(),
        "similarity_to_target": registration.mutual_information(fixed.values[region], moved[region]),
    }
    preview = previews.preview(examination.volumes, examination.mask, examination.first.spacing, slices)
    preview["picture T1 on its 64 mT brain"] = previews.picture(moved, region, fixed.spacing)
    return {"slices": _tensors(slices), "look": _tensors(preview)}, facts


def onto_frame(examination: Examination, frame: Frame, to_visit: Array) -> dict[str, Array]:
    """Each contrast and ``mask`` as slices [N, H, W] of a frame, in the visit's own percentiles."""
    like, brain = frame.image, Image(examination.mask, examination.first.affine)
    inside = registration.resample(brain, like, to_visit, order=1) > 0.5
    slices = {"mask": slicing.axial(inside)}
    for contrast, values in examination.volumes.items():
        low, high = np.percentile(values[examination.mask], PERCENTILES)
        scan = _brain_alone(image_of(examination.scans[contrast]), brain, examination.to_scan[contrast])
        scan = _band_limited(scan, frame.grid.spacing)
        resampled = registration.resample(scan, like, examination.to_scan[contrast] @ to_visit)
        slices[contrast] = slicing.axial(slicing.rescale(resampled, inside, float(low), float(high)))
    return slices


def _brain_alone(scan: Image, brain: Image, to_scan: Array) -> Image:
    """Voxels outside the brain take the nearest brain value: interpolation mixes in no skull or black."""
    from scipy.ndimage import distance_transform_edt

    inside = registration.resample(brain, scan, np.linalg.inv(to_scan), order=1) > 0.5
    cut = slicing.box(inside, SUPPORT)
    scan = scan.cropped(cut)
    nearest = distance_transform_edt(~inside[cut], scan.spacing, return_distances=False, return_indices=True)
    return Image(scan.values[tuple(nearest)], scan.affine)


def _band_limited(scan: Image, spacing: float) -> Image:
    """The scan, smoothed in plane to the resolution of coarser pixels against aliasing."""
    from scipy.ndimage import gaussian_filter

    sigma = np.sqrt(np.clip((spacing / scan.spacing) ** 2 - 1, 0, None)) / FWHM
    return Image(gaussian_filter(scan.values, (*sigma[:2], 0)), scan.affine) if sigma[:2].any() else scan


def _tensors(arrays: Mapping[str, Array]) -> "dict[str, Tensor]":
    import torch

    return {
        name: torch.from_numpy(np.ascontiguousarray(a.astype(np.uint8) if a.dtype == bool else a))
        for name, a in arrays.items()
    }
