"""A visit with several views of each contrast: scans with thick slices in different planes.

The first view, axial where there is one, is examined as any visit; the others are registered to it. The views
are fused on an isotropic grid about its brain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trainers.cohorts.preprocessing import fusion, nifti, registration, skullstrip
from trainers.cohorts.preprocessing.examination import Examination, dilate, examine, image_of, with_path
from trainers.cohorts.preprocessing.fusion import Fused, ViewImage
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import BrainMask, Stripped
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.cohorts.preprocessing.view_registration import register_view
from trainers.data.arrays import Array
from trainers.data.views import IN_ORDER, NORMAL, View, view_of
from trainers.errors import InputError

_IDENTITY = np.array([[0, 1], [1, 1], [2, 1]], float)  # nibabel's orientation of an array in RAS order


def by_view(scans: Iterable[Scan]) -> dict[View, Scan]:
    """Scans of one contrast by the plane of their slices, the axial first.

    Raises InputError for two of one plane, and for one among several that has no thick slices.
    """
    found: dict[View, Scan] = {}
    for scan in scans:
        view = view_of(scan.ras_affine)
        if view is None:
            sizes = " x ".join(f"{size:.3g}" for size in scan.spacing)
            problem = f"has voxels of {sizes} mm, which are of no plane"
            raise InputError(f"{scan.path}: {problem}; allowed beside others: thick slices")
        if view in found:
            both = f"{found[view].path} and {scan.path} are {view} views of one contrast"
            raise InputError(f"{both}; allowed: one of each plane")
        found[view] = scan
    return {view: found[view] for view in NORMAL if view in found}


@dataclass(frozen=True)
class ViewedVisit:
    """The views of a visit, examined; all contrasts have the same planes."""

    first: Examination
    """Of the first views."""
    scans: Mapping[str, Mapping[View, Scan]]
    to_view: Mapping[str, Mapping[View, Array]]
    """4x4: RAS points (mm) of the visit, those of its first scan, to those of each."""

    @property
    def views(self) -> tuple[View, ...]:
        """In order."""
        return tuple(next(iter(self.scans.values())))

    @cached_property
    def grid(self) -> Image:
        """The isotropic grid, empty."""
        images = [image_of(scan) for by in self.scans.values() for scan in by.values()]
        return fusion.isotropic_grid(self.first.first, self.first.mask, fusion.spacing_of(images))

    @cached_property
    def brain(self) -> Array:
        """The brain on the grid: where most views of the first contrast have it."""
        contrast = next(iter(self.scans))
        shares = [
            registration.resample(
                Image(self.brains[contrast][view].astype(np.float32), image_of(scan).affine),
                self.grid,
                self.to_view[contrast][view],
                order=1,
            )
            for view, scan in self.scans[contrast].items()
        ]
        return np.asarray(np.mean(shares, 0) > 0.5)

    @cached_property
    def brains(self) -> dict[str, dict[View, Array]]:
        """The brain in each scan: its own where it is brain-extracted, else that of the visit."""
        return {c: {v: self._brain(c, v) for v in by} for c, by in self.scans.items()}

    def _brain(self, contrast: str, view: View) -> Array:
        image, to_view = image_of(self.scans[contrast][view]), self.to_view[contrast][view]
        masked = self.first.stripped.facts.get("source") == "mask"
        if self.first.stripped.method == "given" and not masked and skullstrip.is_extracted(image):
            return skullstrip.strip(image, "given").mask
        mask = Image(self.first.mask.astype(np.float32), self.first.first.affine)
        return registration.resample(mask, image, np.linalg.inv(to_view), order=1) > 0.5

    def turned(self, view: View) -> Examination:
        """The scans of a view as a visit of its own, arrays in the order of ``IN_ORDER``: its normal last."""
        axes, first = IN_ORDER[view], next(iter(self.scans))
        scans = {c: _turned(by[view], axes) for c, by in self.scans.items()}
        back = np.linalg.inv(self.to_view[first][view])
        to_scan = {c: self.to_view[c][view] @ back for c in scans}
        mask = np.ascontiguousarray(self.brains[first][view].transpose(axes))
        return Examination(scans, Stripped(mask, self.first.stripped.method, {}), to_scan)

    @cached_property
    def noises(self) -> dict[str, dict[View, float]]:
        """Standard deviation of each scan's noise, normalised as it is translated."""
        return {
            c: {
                v: with_path(scan.path, fusion.noise_of, self._unit(c, v), self.brains[c][v])
                for v, scan in by.items()
            }
            for c, by in self.scans.items()
        }

    def fused(self, contrast: str, translated: Mapping[View, tuple[Array, Array]] | None = None) -> Fused:
        """A contrast's views as one volume.

        ``translated``: what became of them, and its brain, on their grids [X, Y, Z].
        """
        images = []
        for view, scan in self.scans[contrast].items():
            image, brain = self._unit(contrast, view), self.brains[contrast][view]
            if translated is not None:
                image, brain = Image(translated[view][0], scan.ras_affine), translated[view][1]
            images.append(ViewImage(image, brain, self.to_view[contrast][view], self.noises[contrast][view]))
        return fusion.fuse(images, self.grid)

    def _unit(self, contrast: str, view: View) -> Image:
        """A scan by its own percentiles in the brain, in [0, 1]."""
        scan = self.scans[contrast][view]
        unit = (with_path(scan.path, normalise, scan.values, self.brains[contrast][view]) + 1) / 2
        return Image(unit, scan.ras_affine)

    @cached_property
    def warnings(self) -> list[str]:
        """Lines about what a person should check."""
        return [*self.first.warnings, *(f"{c}: {line}" for c, line in self.doubts.items())]

    @cached_property
    def doubts(self) -> dict[str, str]:
        """By contrast: that a view is not aligned with the first one."""
        found: dict[str, str] = {}
        for contrast, by in self.scans.items():
            fixed = image_of(next(iter(by.values())))
            back, region = np.linalg.inv(self.first.to_scan[contrast]), self.brains[contrast][self.views[0]]
            for view in self.views[1:]:
                to_view = self.to_view[contrast][view] @ back
                moved = registration.resample(image_of(by[view]), fixed, to_view, order=1)
                lines = registration.rotation_warnings(fixed, moved, region)
                found |= {contrast: f"the {view} view: {lines[0]}"} if lines else {}
        return found

    @property
    def on_grid(self) -> Examination:
        """The visit on the isotropic grid, with one scan of each contrast, empty."""
        scan = Scan(Path(), self.grid.values, self.grid.affine, _IDENTITY)
        stripped = Stripped(self.brain, self.first.stripped.method, {})
        return Examination(dict.fromkeys(self.scans, scan), stripped, dict.fromkeys(self.scans, np.eye(4)))

    def facts(self) -> dict[str, Any]:
        """The examination and the registrations as JSON values."""
        to_view = {c: {v: m.tolist() for v, m in by.items()} for c, by in self.to_view.items()}
        grid = {"shape": list(self.grid.values.shape), "affine": self.grid.affine.tolist()}
        return {**self.first.facts(), "warnings": self.warnings, "to_view": to_view, "grid": grid}


def examine_views(
    scans: Mapping[str, Mapping[View, Scan]], how: BrainMask, given: Scan | None = None
) -> ViewedVisit:
    """Examine the first views, and register the others to them; ``given``: a mask on the first one's grid.

    Raises InputError where contrasts differ in their planes, and what :func:`examine` raises.
    """
    planes = {contrast: tuple(by) for contrast, by in scans.items()}
    if len(set(planes.values())) > 1:
        both = " and ".join(f"{c} has {', '.join(views)}" for c, views in planes.items())
        some = next(iter(next(iter(scans.values())).values())).path
        raise InputError(f"{some}: {both} views; allowed: the same planes of each contrast")
    first = examine({c: next(iter(by.values())) for c, by in scans.items()}, how, given)
    to_view = {c: dict(_registered(first, c, by)) for c, by in scans.items()}
    return ViewedVisit(first, scans, to_view)


def _registered(
    first: Examination, contrast: str, scans: Mapping[View, Scan]
) -> Iterable[tuple[View, Array]]:
    """By view, the matrix from the visit's points to its own."""
    own, (view, scan), *others = first.to_scan[contrast], *scans.items()
    yield view, own
    fixed = image_of(scan)
    mask = Image(first.mask.astype(np.float32), first.first.affine)
    region = dilate(registration.resample(mask, fixed, np.linalg.inv(own), order=1) > 0.5, fixed.spacing)
    for view, scan in others:
        yield view, register_view(fixed, image_of(scan), region) @ own


def _turned(scan: Scan, axes: tuple[int, int, int]) -> Scan:
    affine = scan.ras_affine[:, [*axes, 3]]
    return Scan(scan.path, np.ascontiguousarray(scan.values.transpose(axes)), affine, _IDENTITY)


def read(paths: Mapping[str, Iterable[Path]]) -> dict[str, dict[View, Scan]]:
    """The views of a visit by contrast and plane; raises InputError for the first that cannot be used."""
    return {contrast: by_view(nifti.read(path) for path in each) for contrast, each in paths.items()}
