"""What is known of a result's fidelity: by a reference of its own, and by the confirmation of its model."""

from collections.abc import Mapping
from pathlib import Path
from platform.reporting.panels import metric_label, number
from typing import Any

import numpy as np
import torch

from trainers.cohorts.preprocessing import nifti, registration, skullstrip
from trainers.cohorts.preprocessing.examination import Examination, image_of, with_path
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.data.arrays import Array
from trainers.export import Translator
from trainers.inference import Enhanced
from trainers.metrics.names import OBJECTIVES
from trainers.metrics.paired import psnr

Confirmed = Mapping[str, Mapping[str, Any]]
"""By measure: ``estimate``, its bounds ``low`` and ``high``, the untouched ``input``'s; None: not known."""


def reference(enhanced: Enhanced, contrast: str, examination: Examination, path: Path) -> Array:
    """The paired 3 T scan at ``path`` on a scan's grid, in [0, 1] by its own percentiles, black like it."""
    scan = Image(enhanced.untouched[contrast], examination.scans[contrast].ras_affine)
    return np.where(enhanced.brain[contrast], aligned(scan, nifti.read(path)), 0)


def compare(enhanced: Enhanced, contrast: str, truth: Array) -> dict[str, float]:
    """PSNR (dB) of the output and of the untouched input against the :func:`reference`."""
    compared = {"output": enhanced.volumes[contrast], "untouched input": enhanced.untouched[contrast]}
    return {name: float(psnr(_image(values), _image(truth))) for name, values in compared.items()}


def less_alike(contrast: str, scores: Mapping[str, float]) -> list[str]:
    """A line where the output is farther from the reference than the untouched scan is."""
    if not scores or scores["output"] >= scores["untouched input"]:
        return []
    both = f"{scores['output']:.2f} dB against {scores['untouched input']:.2f} dB of the untouched scan"
    return [f"{contrast}: the output is less like its 3 T reference than the scan itself: PSNR {both}"]


def confirmed(translator: Translator) -> Confirmed:
    """What was confirmed of a model; empty for one that was not, or is older."""
    values: Confirmed = translator.facts.get("confirmed", {})
    return values


def worse_than_input(values: Confirmed) -> list[str]:
    """A line for each measure whose whole confirmed interval is worse than the untouched input's value."""
    lines = []
    for name, value in values.items():
        sign = 1 if OBJECTIVES[name] == "maximize" else -1
        best = value["high"] if sign > 0 else value["low"]
        if value.get("input") is None or best is None or sign * best >= sign * value["input"]:
            continue
        interval = f"{number(value['estimate'])} [{number(value['low'])}, {number(value['high'])}]"
        side = "below" if sign > 0 else "above"
        of_input = f"{side} the {number(value['input'])} of untouched scans"
        lines.append(f"the model's confirmed {metric_label(name)}, {interval}, is {of_input}")
    return lines


def aligned(scan: Image, reference: Scan) -> Array:
    """A 3 T scan, normalised to [0, 1] by its own brain, at the voxels of a normalised 64 mT brain.

    A brain-extracted reference counts as registered by its affine; any other is registered here, rigidly.
    """
    image = image_of(reference)
    stripped = with_path(reference.path, skullstrip.strip, image)
    unit = Image((with_path(reference.path, normalise, image.values, stripped.mask) + 1) / 2, image.affine)
    if stripped.method == "given":
        return registration.resample(unit, scan, np.eye(4), order=1)
    matrix = registration.register(scan, unit, "Rigid", registration.schedule_for(scan))
    return registration.resample(unit, scan, matrix, order=1)


def _image(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(1, len(values), -1)
