"""Analysis of the scans of one visit: its brain mask, and the alignment of its contrasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trainers.cohorts.preprocessing import nifti, registration, scan_checks, skullstrip, slicing
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.one_person import person_warnings
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import BrainMask, Stripped
from trainers.data.arrays import Array
from trainers.errors import InputError

SLAB = 32
"""Slices of a slab."""
MASK_MARGIN = 8.0
"""Millimetres around the brain used in registration: its edge aligns it best."""


@dataclass(frozen=True)
class Examination:
    """One visit's scans, brain mask and alignment; its grid is that of its first contrast, in RAS."""

    scans: Mapping[str, Scan]
    """By contrast, on their own grids."""
    stripped: Stripped
    """The brain on the first contrast's grid."""
    to_scan: Mapping[str, Array]
    """4x4: RAS points (mm) of the first contrast to those of each."""

    @property
    def first(self) -> Image:
        """The contrast whose grid is the visit's."""
        return image_of(next(iter(self.scans.values())))

    @property
    def mask(self) -> Array:
        """The brain [X, Y, Z]."""
        return self.stripped.mask

    @cached_property
    def volumes(self) -> dict[str, Array]:
        """Every contrast on the visit's own grid."""
        return {
            contrast: registration.resample(image_of(scan), self.first, self.to_scan[contrast])
            for contrast, scan in self.scans.items()
        }

    @cached_property
    def warnings(self) -> list[str]:
        """Lines about what a person should check."""
        images = {c: Image(values, self.first.affine) for c, values in self.volumes.items()}
        warnings = [
            f"{contrast}: {line}"
            for contrast, image in images.items()
            for line in scan_checks.check_scan(image, self.stripped, contrast)
        ]
        own = [  # on its own grid: it was checked on that of the first
            f"{contrast}: {line}"
            for contrast, scan in list(self.scans.items())[1:]
            for line in scan_checks.not_axial(image_of(scan).spacing)
        ]
        warnings += [line for line in own if line not in warnings]
        return warnings + [f"{contrast}: {line}" for contrast, line in self.doubts.items()]

    @cached_property
    def doubts(self) -> dict[str, str]:
        """By contrast: that it is not aligned with the first, or of another person."""
        found: dict[str, str] = {}
        for contrast, values in list(self.volumes.items())[1:]:
            lines = registration.rotation_warnings(self.first, values, self.mask)
            lines = lines or person_warnings(self.first, values, self.mask)
            if lines:
                found[contrast] = lines[0]
        return found

    def facts(self) -> dict[str, Any]:
        """The results as JSON values."""
        facts = {"brain_mask": self.stripped.method, **self.stripped.facts, "warnings": self.warnings}
        facts["to_scan"] = {contrast: matrix.tolist() for contrast, matrix in self.to_scan.items()}
        facts["registration"] = {
            "rigid": str(registration.schedule_for(self.first)),
            "seed": registration.SEED,
        }
        if len(self.volumes) > 1:
            t1, t2 = (values[self.mask] for values in self.volumes.values())
            facts["similarity_t2_t1"] = registration.mutual_information(t1, t2)
        return facts


def examine(scans: Mapping[str, Scan], how: BrainMask, given: Scan | None = None) -> Examination:
    """Find the brain in the first scan and register the others to it, rigidly.

    Brain-extracted scans on one grid count as registered. Raises InputError where a mask is on another grid
    than the scan, or where no brain is found.
    """
    first = next(iter(scans.values()))
    if given is not None and not given.same_grid(first):
        raise InputError(f"{given.path}: its grid differs from that of {first.path}; allowed: the scan's own")
    mask = None if given is None else given.values > 0.5
    stripped = with_path(first.path, skullstrip.strip, image_of(first), how, mask)
    if not stripped.mask.any():
        raise InputError(f"{first.path}: no brain was found in it; allowed: a scan of a head")
    to_scan = {}
    for contrast, scan in scans.items():
        registered = scan is first or (stripped.method == "given" and _prepared(first, scan))
        to_scan[contrast] = (
            np.eye(4) if registered else with_path(scan.path, _align, first, scan, stripped.mask)
        )
    examination = Examination(scans, stripped, to_scan)
    for contrast, values in examination.volumes.items():
        if np.ptp(values[stripped.mask]) == 0:
            path = scans[contrast].path
            raise InputError(f"{path}: has no contrast inside the brain; allowed: a scan of that brain")
    return examination


def read(paths: Mapping[str, Path]) -> dict[str, Scan]:
    """The scans of one visit by contrast; raises InputError for the first unreadable one."""
    return {contrast: nifti.read(path) for contrast, path in paths.items()}


def image_of(scan: Scan) -> Image:
    """A scan's RAS values and affine."""
    return Image(scan.values, scan.ras_affine)


def dilate(mask: Array, spacing: Array, margin: float = MASK_MARGIN) -> Array:
    """``mask`` and all voxels within ``margin`` mm of it.

    Slab by slab, as the distance transform takes 40 bytes a voxel; what is nearer than ``margin`` is in it.
    """
    from scipy.ndimage import distance_transform_edt

    wide = np.ceil(margin / spacing).astype(int)
    inside, dilated = slicing.box(mask, tuple(wide)), np.zeros_like(mask)
    first, last = inside[2].start, inside[2].stop
    for low in range(first, last, SLAB):
        high = min(low + SLAB, last)
        start = max(first, low - int(wide[2]))
        part = (*inside[:2], slice(start, min(last, high + int(wide[2]))))
        if mask[part].any():
            near = distance_transform_edt(~mask[part], sampling=spacing) <= margin
            dilated[(*inside[:2], slice(low, high))] = near[..., low - start : high - start]
    return dilated


def _prepared(first: Scan, other: Scan) -> bool:
    """Whether another scan was registered to the first beforehand: brain-extracted, on the same grid."""
    return first.same_grid(other) and skullstrip.is_extracted(image_of(other))


def _align(first: Scan, other: Scan, mask: Array) -> Array:
    fixed, moving = image_of(first), image_of(other)
    region = dilate(mask, fixed.spacing)
    cut = slicing.box(region)
    return registration.rigid(fixed.cropped(cut), moving, region[cut])


def with_path(path: Path, call: Any, *args: Any) -> Any:
    """The call's result; the path is prepended to the message of an InputError."""
    try:
        return call(*args)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
