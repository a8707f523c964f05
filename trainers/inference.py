"""Translation of a visit's 64 mT scans by an exported translator, on the scans' own grids."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainers.cohorts.preprocessing import registration, slicing
from trainers.cohorts.preprocessing.examination import Examination, image_of
from trainers.cohorts.preprocessing.frame import Frame
from trainers.cohorts.preprocessing.registration import Image
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.export import Translator
from trainers.metrics.plausibility import slice_shift, through_plane_change

SPLINE = (12, 12, 12)
"""Voxels beyond a brain's box, at which a cubic spline's prefilter has fallen to 1e-7."""


@dataclass(frozen=True)
class Working:
    """What the translator was given and what it returned, on its own grid: slices [N, H, W] in [0, 1]."""

    frame: Frame
    brain: Array
    before: Mapping[str, Array]
    after: Mapping[str, Array]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """From slice to slice, row to row and column to column (mm)."""
        x, y, z = (float(d) for d in np.linalg.norm(self.frame.image.affine[:3, :3], axis=0))
        return z, y, x

    def point(self, place: Array) -> Array:
        """RAS (mm) in the first contrast's scan of a place (slice, row, column), fractions too."""
        slice_, row, column = place
        image = self.frame.image
        return np.asarray(image.affine @ [column, image.values.shape[1] - 1 - row, slice_, 1])[:3]


@dataclass(frozen=True)
class Enhanced:
    """A translated visit; volumes [X, Y, Z] are on each scan's own grid, in RAS."""

    volumes: Mapping[str, Array]
    """3 T-like intensities in [0, 1], 0 outside the brain."""
    spread: Mapping[str, Array]
    """Standard deviation over draws of the latent, in the same units; empty for a single draw."""
    brain: Mapping[str, Array]
    """Brain masks."""
    untouched: Mapping[str, Array]
    """The scans, normalised as the translator's input, in [0, 1]."""
    consistency: Mapping[str, Mapping[str, float]]
    """Change from slice to slice relative to the input's: 1 is as smooth as the scan itself."""
    working: Working | None = None
    """As it was translated, for comparisons of both contrasts on one grid."""


def enhance(translator: Translator, examination: Examination, draws: int = 1) -> Enhanced:
    """Translate a visit; raises InputError where its brain does not fit the translator's grid.

    Each axial slice of the first contrast's grid is translated separately, after its restoration by its
    neighbours where the model has one, all with the same latent. With several ``draws`` of the latent their
    standard deviation is returned; the volumes are the first draw's.
    """
    frame = Frame.of(examination.mask, examination.first.affine, translator.grid)
    volumes = examination.volumes
    cut = {c: frame.slices(values, examination.mask) for c, values in volumes.items()}
    inside = torch.from_numpy(next(iter(cut.values()))[1]) > 0
    images = {c: torch.from_numpy(slices) for c, (slices, _) in cut.items()}
    source = channels.restack(images, translator.channels)
    outputs = torch.stack([translator.slices(source, inside, draw) for draw in range(draws)])
    names = channels.contrasts(translator.channels)
    shown = [channels.split(output, translator.channels) for output in outputs]
    spread = {c: torch.stack([one[c] for one in shown]).std(0, correction=0) / 2 for c in names if draws > 1}
    to_grid = _ToScanGrid.of(frame, examination, inside)
    return Enhanced(
        volumes={c: to_grid.to_scan(c, shown[0][c]) for c in names},
        brain={c: to_grid.brains[c] for c in names},
        spread={c: to_grid.to_scan(c, values * 2 - 1) for c, values in spread.items()},
        untouched={c: to_grid.to_scan(c, images[c]) for c in names},
        consistency={c: consistency(shown[0][c], images[c], inside) for c in names},
        working=Working(frame, inside.numpy(), *(_unit(each, inside) for each in (images, shown[0]))),
    )


def _unit(images: Mapping[str, Tensor], inside: Tensor) -> dict[str, Array]:
    return {c: ((x.cpu() + 1) / 2 * inside).numpy() for c, x in images.items()}


def consistency(output: Tensor, source: Tensor, mask: Tensor) -> dict[str, float]:
    """Through-plane change and slice shift of an output relative to its input (DATA.md B4)."""
    unit, reference = (output + 1) / 2, (source + 1) / 2
    return {
        "through_plane_change": float(through_plane_change(unit, reference, mask)),
        "slice_shift": float(slice_shift(unit, reference, mask)),
    }


@dataclass(frozen=True)
class _ToScanGrid:
    """From working slices to the scans' own grids, without mixing the background into the brain's rim.

    All of it around the brain alone, as scans may be large.
    """

    frame: Frame
    examination: Examination
    around: tuple[slice, ...]
    """The part of the visit's grid that holds the brain."""
    share: Array
    """Sum of each voxel's interpolation weights inside the brain of the working slices, in that part."""
    nearest: Array
    """Indices of the nearest voxel with a positive share."""

    @classmethod
    def of(cls, frame: Frame, examination: Examination, inside: Tensor) -> "_ToScanGrid":
        from scipy.ndimage import distance_transform_edt

        around = slicing.box(examination.mask, SPLINE)
        share = frame.volume(2 * inside.numpy().astype(np.float32) - 1)[around]
        spacing = examination.first.spacing
        nearest = distance_transform_edt(share == 0, spacing, return_distances=False, return_indices=True)
        return cls(frame, examination, around, share, nearest)

    def to_scan(self, contrast: str, slices: Tensor) -> Array:
        """Working slices in [-1, 1] as a volume in [0, 1] on the contrast's own grid."""
        # Normalised convolution (Knutsson & Westin 1993), as in slicing.resample_masked.
        values = self.frame.volume(slices.numpy())[self.around] / np.where(self.share > 0, self.share, 1)
        part = self.examination.first.cropped(self.around)
        moving, scan = replace(part, values=values[tuple(self.nearest)]), self._scan(contrast)
        brain, volume = self.brains[contrast], np.zeros(scan.values.shape, np.float32)
        if brain.any():
            there = slicing.box(brain, SPLINE)
            volume[there] = np.where(brain[there], self._onto(scan.cropped(there), contrast, moving), 0)
        return volume

    @cached_property
    def brains(self) -> dict[str, Array]:
        """The brain mask on each contrast's own grid."""
        mask = Image(self.examination.mask, self.frame.affine)
        return {c: self._onto(self._scan(c), c, mask, order=1) > 0.5 for c in self.examination.scans}

    def _scan(self, contrast: str) -> Image:
        return image_of(self.examination.scans[contrast])

    def _onto(self, like: Image, contrast: str, moving: Image, order: Literal[1, 3] = 3) -> Array:
        return registration.resample(moving, like, np.linalg.inv(self.examination.to_scan[contrast]), order)
