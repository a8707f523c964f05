"""``python -m platform.translate MODEL --t1 t1.nii.gz --t2 t2.nii.gz -o out/``: 64 mT scans to 3 T-like ones.

Research use only: the outputs are synthetic and not for diagnosis. Scans may be NIfTI files, DICOM series
(folders) or a BIDS folder; brains are found and T2 is registered to T1 unless that was done before. Every
output lies on the grid of its own input.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli
from platform.cli import console
from platform.models import scan_inputs
from platform.models.registry import fetch
from platform.models.scan_inputs import Job
from platform.reporting import figures
from typing import Any, get_args

import numpy as np
import torch

from trainers.cohorts.folder import LOW, tesla
from trainers.cohorts.preprocessing import nifti, registration, skullstrip
from trainers.cohorts.preprocessing.examination import (
    Examination,
    examine,
    image_of,
    read,
    with_path,
)
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.cohorts.scans.visit_preparation import versions
from trainers.data import channels
from trainers.data.arrays import Array
from trainers.errors import InputError
from trainers.export import Translator
from trainers.files import write_text
from trainers.inference import Enhanced, enhance
from trainers.metrics.paired import psnr

FACTS = ("method", "steps", "trial_key", "cohort", "normalisation")
"""What a translated scan's sidecar tells of the model."""
USE = "research only: synthetic, not for diagnosis"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("translate", __doc__)
    parser.add_argument("model", help="models:/NAME@ALIAS or models:/NAME/VERSION, or a model's folder")
    for contrast in ("T1", "T2"):
        option, low = f"--{contrast.lower()}", f"{contrast}w scan at 64 mT: a NIfTI file or a DICOM folder"
        parser.add_argument(option, type=Path, help=low)
        parser.add_argument(
            f"{option}-reference", type=Path, help=f"paired 3 T {contrast}w NIfTI, for the PSNR"
        )
    parser.add_argument("--bids", type=Path, metavar="DIR", help="a BIDS folder: all its 64 mT visits")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the translated scans")
    parser.add_argument(
        "--brain-mask",
        choices=get_args(skullstrip.BrainMask),
        default="auto",
        help="how brains are found; given: by --mask, or the scans are brain-extracted (default: auto)",
    )
    parser.add_argument("--mask", type=Path, help="brain mask on the grid of T1, or of T2 alone")
    parser.add_argument(
        "--uncertainty", type=int, metavar="DRAWS", help="also map the spread over so many latents"
    )
    parser.add_argument("--storage", default="runs", help="folder of the default MLflow (default: runs)")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options = arguments(argv)
    require_sensible(options)
    failed = []
    with (
        tempfile.TemporaryDirectory() as work,
        fetch(options.model, options.tracking, options.storage) as model,
    ):
        todo, translator = ordered(options, Path(work)), Translator.open(model.folder)
        for job in todo:
            try:
                run(options, job, translator, model.version)
            except InputError as error:
                if len(todo) == 1:
                    raise
                failed.append(job)
                console.print(f"error: {error}")
    if failed:
        raise InputError(f"{len(failed)} of {len(todo)} visits were not translated; the lines above say why")


def require_sensible(options: argparse.Namespace) -> None:
    """Raises InputError for options that contradict each other."""
    if bool(options.bids) == bool(options.t1 or options.t2):
        raise InputError("--bids: give either a BIDS folder or --t1 and --t2; allowed: one of the two")
    if options.bids and (options.mask or options.t1_reference or options.t2_reference):
        raise InputError("--bids: takes no --mask and no reference; allowed: masks inside the BIDS folder")
    if options.mask and options.brain_mask not in ("auto", "given"):
        raise InputError(f"--mask: not used with --brain-mask {options.brain_mask}; allowed: given")
    if options.uncertainty is not None and options.uncertainty < 2:
        raise InputError(f"--uncertainty: {options.uncertainty} is not allowed; allowed: 2 or more")


def ordered(options: argparse.Namespace, work: Path) -> list[Job]:
    """What is to be translated; the output folder is made."""
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output).close()
    except OSError as error:
        told = f"{options.output} cannot be written ({error.strerror})"
        raise InputError(f"--output: {told}; allowed: a folder") from error
    if options.bids:
        return scan_inputs.from_bids(options.bids, options.output)
    scans = {c: path for c in ("T1", "T2") if (path := getattr(options, c.lower()))}
    return [scan_inputs.from_files(scans, options.mask, options.output, work)]


def run(options: argparse.Namespace, job: Job, translator: Translator, version: str) -> None:
    """Translate one visit and write everything of it."""
    started = time.perf_counter()
    wanted = channels.contrasts(translator.channels)
    visit = next(iter(job.sources.values()))
    if missing := [c for c in wanted if c not in job.paths]:
        lacks = f"{visit}: has no {missing[0]}" if options.bids else f"--{missing[0].lower()}: is missing"
        takes = f"and this model translates {' and '.join(wanted)}; allowed: a scan of each"
        raise InputError(f"{lacks}, {takes}")
    scans = read({c: job.paths[c] for c in wanted})
    mask = None if job.mask is None else nifti.read(job.mask)
    examination = examine(scans, options.brain_mask, mask)
    warnings = [*examination.warnings, *strong_fields({c: job.paths[c] for c in wanted})]
    for line in warnings:
        console.print(f"warning: {visit}: {line}")
    enhanced: Enhanced = with_path(visit, enhance, translator, examination, options.uncertainty or 1)
    references = {c: path for c in wanted if (path := getattr(options, f"{c.lower()}_reference"))}
    facts: dict[str, Any] = {
        "model": options.model,
        "version": version,
        "use": USE,
        "intensity": "0 to 1, as the 3 T training scans' own percentiles",
        **{key: translator.facts[key] for key in FACTS},
        "draws": options.uncertainty or 1,
        "preprocessing": examination.facts(),
        "software": versions(),
        "warnings": warnings,
    }
    job.output.mkdir(parents=True, exist_ok=True)
    for contrast in wanted:
        scores = {}
        if contrast in references:
            scores = compare(enhanced, contrast, examination, references[contrast])
        facts["seconds"] = round(time.perf_counter() - started, 2)
        write(job, contrast, scans[contrast], enhanced, {**facts, "psnr_db": scores})
    rows = [row for c in wanted for row in planes(c, scans[c], enhanced)]
    name = "_".join(job.stems[c] for c in wanted)
    console.print(figures.sample_figure(rows, job.output / f"{name}_before_after.png", f"For {USE}"))


def strong_fields(paths: Mapping[str, Path]) -> list[str]:
    """A line for every scan whose sidecar tells of another field than about 64 mT."""
    told = {contrast: tesla(path) for contrast, path in paths.items()}
    return [
        f"{contrast}: its sidecar tells of {strength:g} tesla, the model was trained on about 0.064"
        for contrast, strength in told.items()
        if strength is not None and not LOW[0] <= strength <= LOW[1]
    ]


def write(job: Job, contrast: str, scan: Scan, enhanced: Enhanced, facts: Mapping[str, Any]) -> None:
    """A contrast's volume, its map of uncertainty, its sidecar; one line of them."""
    stem = job.stems[contrast]
    path = job.output / f"{stem}_desc-enhanced.nii.gz"
    nifti.write(path, enhanced.volumes[contrast], scan)
    # Two slices have no shift to compare: what is not a number is null, as JSON knows no NaN.
    figures = {k: v if np.isfinite(v) else None for k, v in enhanced.consistency[contrast].items()}
    change = figures["through_plane_change"]
    line = "" if change is None else f", through-plane change {change:.2f} of the input's"
    if spread := spread_of(enhanced, contrast):
        nifti.write(job.output / f"{stem}_desc-uncertainty.nii.gz", enhanced.spread[contrast], scan)
        line += f", spread over latents {spread:.4f}"
    elif contrast in enhanced.spread:
        line += ", no uncertainty: the model draws nothing"
    sidecar = {**facts, "source": str(job.sources[contrast]), "consistency": figures}
    write_text(job.output / f"{stem}_desc-enhanced.json", json.dumps(sidecar, indent=1))
    line += "".join(f", PSNR {name} {value:.2f} dB" for name, value in facts["psnr_db"].items())
    console.print(f"{path}{line}")


def spread_of(enhanced: Enhanced, contrast: str) -> float:
    """Mean spread over the latents inside the brain; 0 where a model draws nothing, or none was asked for."""
    if contrast not in enhanced.spread:
        return 0.0
    return float(enhanced.spread[contrast][enhanced.brain[contrast]].mean())


def compare(enhanced: Enhanced, contrast: str, examination: Examination, reference: Path) -> dict[str, float]:
    """PSNR (dB) of the output and of the untouched input against the paired 3 T, on the input's grid.

    The reference is normalised by its own percentiles; all are black outside the scan's brain.
    """
    brain = enhanced.brain[contrast]
    scan = Image(enhanced.untouched[contrast], examination.scans[contrast].ras_affine)
    truth = np.where(brain, laid_onto(scan, nifti.read(reference)), 0)
    found = {"output": enhanced.volumes[contrast], "untouched input": enhanced.untouched[contrast]}
    return {name: float(psnr(_image(values), _image(truth))) for name, values in found.items()}


def laid_onto(scan: Image, reference: Scan) -> Array:
    """A 3 T scan, normalised to [0, 1] by its own brain, at the voxels of a normalised 64 mT brain.

    A brain-extracted reference is taken as registered by its affine; else it is registered here, rigidly.
    """
    image = image_of(reference)
    stripped = with_path(reference.path, skullstrip.strip, image)
    unit = Image((with_path(reference.path, normalise, image.values, stripped.mask) + 1) / 2, image.affine)
    if stripped.method == "given":
        return registration.resample(unit, scan, np.eye(4), order=1)
    matrix = registration.register(scan, unit, "Rigid", registration.schedule_for(scan))
    return registration.resample(unit, scan, matrix, order=1)


def planes(contrast: str, scan: Scan, enhanced: Enhanced) -> list[dict[str, Array]]:
    """An axial and a coronal plane before and after, anterior or superior up, pixels square."""
    shown = {"input": enhanced.untouched[contrast], "output": enhanced.volumes[contrast]}
    brain = enhanced.brain[contrast]
    most = {axis: int(brain.sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in (2, 1)}
    return [
        {f"{contrast} {name}": square(volume, scan, axis, at) for name, volume in shown.items()}
        for axis, at in most.items()
    ]


def square(volume: Array, scan: Scan, axis: int, at: int) -> Array:
    """The plane ``at`` across ``axis``, repeated until its pixels are about square."""
    plane = np.take(volume, at, axis).T[::-1]
    across, up = (scan.spacing[i] for i in range(3) if i != axis)
    taller = np.repeat(plane, max(1, round(up / across)), axis=0)
    return np.repeat(taller, max(1, round(across / up)), axis=1)


def _image(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(1, len(values), -1)


if __name__ == "__main__":
    cli.run(main)
