"""Real patients: what translators that were trained on the phantom do to scans that none was tuned on.

Written down before the first run: the brain is found in the 3 T scans, slice by slice (:func:`brain`), and is
the same for all images, which are registered; each volume is normalised as the product does it, by its own
percentiles in that brain; slices are put on the cohort's working grid. Scored in that brain, for each
patient, are PSNR and MS-SSIM, means over slices, and edges of all slices. Nothing is chosen by it. Changed
since the first run: all slices of the simulated stroke are degraded as those of one scan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from tests.bench.evidence.results import Trained
from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.preprocessing.slicing import working_slices
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.data.degrader import Degrader
from trainers.data.grid import Grid
from trainers.data.neighbours import surrounded
from trainers.data.planes import Planes
from trainers.data.store import Cohort
from trainers.export import Translator
from trainers.metrics import edges, paired
from trainers.metrics.judge import clamp_and_mask
from trainers.references.store import References

VOLUMES = Path(__file__).parents[4] / "shared" / "volumes"
CASES = (1, 2, 3, 4)
MEASURES = ("psnr", "ms_ssim", "edges_unsupported_by_3t", "edges_missed")
LAYOUT: channels.Layout = "t1_t2_mean"
STROKE_EVERY = 4
"""Planes of 1.3 mm from one simulated 64 mT slice of the stroke pair to the next."""


@dataclass(frozen=True)
class Patient:
    """Slices [N, 3, H, W] in [-1, 1] at both fields, and the brain [N, H, W]."""

    name: str
    source: Tensor
    truth: Tensor
    mask: Tensor
    spacing: float
    """In-plane, millimetres."""


def brain(t1: Array, t2: Array) -> Array:
    """The brain in 3 T volumes [X, Y, Z], slice by slice: inside the dark skull, and no bright fat."""
    return np.stack([_brain(t1[..., k], t2[..., k]) for k in range(t1.shape[2])], 2)


def _brain(t1: Array, t2: Array) -> Array:
    head = np.argwhere(t2 > 0.2 * np.percentile(t2, 90))
    place = np.moveaxis(np.indices(t2.shape), 0, -1) - head.mean(0)
    centre = (place**2).sum(-1) < 40**2  # pixels of about 1 mm
    inside = (t2 > 0.5 * np.percentile(t2[centre], 25)) & (t1 < 1.6 * np.median(t1[centre]))
    parts, count = ndimage.label(ndimage.binary_erosion(inside, _disk(4)))
    if not count:
        return np.zeros(t2.shape, bool)
    largest = parts == 1 + int(np.argmax(ndimage.sum(parts > 0, parts, range(1, count + 1))))
    grown = ndimage.binary_opening(ndimage.binary_dilation(largest, _disk(5)) & inside, _disk(3))
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(grown, _disk(12))))


def _disk(radius: int) -> Array:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2)


def low_field(cohort: Cohort) -> list[Patient]:
    """The four patients of 55 mT and 3 T; none where the volumes are absent."""
    return [
        _case(cohort, case) for case in CASES if (VOLUMES / "ulf55" / f"case{case}_3T_T1.nii.gz").exists()
    ]


def _case(cohort: Cohort, case: int) -> Patient:
    scans = {
        (field, c): nifti.read(VOLUMES / "ulf55" / f"case{case}_{field}_{c}.nii.gz")
        for field in ("55mT", "3T")
        for c in ("T1", "T2")
    }
    mask = brain(*(scans["3T", c].values for c in ("T1", "T2")))
    planes = np.arange(mask.shape[2])
    grid, spacing = Grid(cohort.shape, cohort.spacing), scans["3T", "T1"].spacing
    images, inside = {}, mask
    for key, scan in scans.items():
        pixel = float(spacing[1]), float(spacing[0])
        images[key], inside = working_slices(scan.values, mask, planes, pixel, grid)
    source, truth = (
        channels.stack(*(torch.from_numpy(images[field, c]) for c in ("T1", "T2")), LAYOUT)
        for field in ("55mT", "3T")
    )
    return Patient(f"case {case}", source, truth, torch.from_numpy(inside > 0), cohort.spacing)


def stroke(cohort: Cohort, references: References) -> list[Patient]:
    """The stroke pair at 3 T, degraded as the cohort's 64 mT degrades; none where it is absent."""
    paths = [VOLUMES / f"stroke_{c}w_brain.nii.gz" for c in ("T1", "T2")]
    if not all(path.exists() for path in paths):
        return []
    scans = [nifti.read(path) for path in paths]
    mask = scans[0].values > 0
    grid, spacing = Grid(cohort.shape, cohort.spacing), scans[0].spacing
    rows = np.arange(mask.shape[2])
    volumes = tuple(
        working_slices(scan.values, mask, rows, (float(spacing[1]), float(spacing[0])), grid)[0]
        for scan in scans
    )
    kept = [k for k in rows[STROKE_EVERY:-STROKE_EVERY:STROKE_EVERY] if (volumes[0][k] > -1).mean() > 0.1]
    places = np.stack((np.zeros(len(kept), int), np.array(kept)), 1)
    degrader = Degrader(Planes((volumes,), places, float(STROKE_EVERY)), references.required_degradation())
    rng = np.random.default_rng(0)
    images = torch.from_numpy(degrader.degrade_together(range(len(kept)), rng))
    source = channels.stack(images[:, 0], images[:, 1], LAYOUT)
    truth = channels.stack(*(torch.from_numpy(volume[kept]) for volume in volumes), LAYOUT)
    return [Patient("stroke", source, truth, (source > -1).any(1) & (truth > -1).any(1), cohort.spacing)]


def scores(patient: Patient, output: Tensor) -> dict[str, float]:
    """Means over contrasts and slices of an output [N, 3, H, W]."""
    finished = clamp_and_mask(output, patient.mask)
    own, real = (
        {c: (x + 1) / 2 for c, x in channels.split(i, LAYOUT).items()} for i in (finished, patient.truth)
    )
    count = paired.scales_for((own["T1"].shape[-2], own["T1"].shape[-1]))
    region, spacing = patient.mask, patient.spacing
    found = {
        "psnr": [paired.psnr(own[c], real[c], region).mean() for c in own],
        "ms_ssim": [paired.ms_ssim(own[c], real[c], scales=count, region=region).mean() for c in own],
    }
    drawn = [{c: edges.edges(x, region, spacing) for c, x in images.items()} for images in (own, real)]
    found["edges_unsupported_by_3t"] = [edges.unsupported(*drawn, spacing)]
    found["edges_missed"] = [edges.unsupported(*drawn[::-1], spacing)]
    return {name: float(torch.stack(values).mean()) for name, values in found.items()}


def outputs(
    patients: Sequence[Patient], trained: Sequence[Trained], names: Sequence[str], references: References
) -> Mapping[str, list[list[Tensor]]]:
    """By translator, of each seed each patient's output: the input, the closed form, then the systems."""
    found = {"untouched input": [[patient.source for patient in patients]]}
    if restorer := references.restorers.get(True):
        found["closed-form restoration"] = [[restorer(surrounded(p.source)) for p in patients]]
    for name in names:
        own = [each for each in trained if each.system == name]
        found[name] = [translated(patients, each, references) for each in own]
    return found


def translated(patients: Sequence[Patient], trained: Trained, references: References) -> list[Tensor]:
    """Each patient's slices by one training."""
    return [translated_rows(patient.source, trained, references) for patient in patients]


def translated_rows(
    source: Tensor,
    trained: Trained,
    references: References,
    subjects: Sequence[tuple[int, int]] | None = None,
) -> Tensor:
    """Slices [N, 3, H, W] of one or more subjects by a training, at the step count chosen on validation."""
    where = Path(trained.checkpoint), trained.chosen, references.config, torch.device("cpu")
    return Translator.of_checkpoint(*where).rows(source, subjects=subjects)
