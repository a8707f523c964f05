"""``python -m platform.translate MODEL --t1 t1.nii.gz --t2 t2.nii.gz -o out/``: 64 mT scans to 3 T-like ones.

Research use only: the outputs are synthetic and not for diagnosis. Scans must be brain-extracted and on one
grid.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli, nifti, report
from platform.cli import console
from platform.nifti import Array, Scan
from platform.registry import fetch

import numpy as np
import torch

from trainers.cohorts.preprocess import normalise
from trainers.errors import InputError
from trainers.export import Translator
from trainers.metrics.paired import psnr

FACTS = ("method", "steps", "trial_key", "cohort", "normalisation")
"""What a translated scan's sidecar tells of the model."""

MIN_BLACK = 0.05
"""Share of exactly zero voxels below which a scan cannot have been brain-extracted."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("translate", __doc__)
    parser.add_argument("model", help="models:/NAME@ALIAS or models:/NAME/VERSION, or a model's folder")
    for contrast in ("T1", "T2"):
        low, high = (
            f"brain-extracted {contrast}w NIfTI at 64 mT",
            f"paired 3 T {contrast}w NIfTI, for the PSNR",
        )
        parser.add_argument(f"--{contrast.lower()}", required=True, help=low)
        parser.add_argument(f"--{contrast.lower()}-reference", help=high)
    parser.add_argument("-o", "--output", required=True, help="folder for the translated scans")
    parser.add_argument("--storage", default="runs", help="folder of the default MLflow (default: runs)")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, started = arguments(argv), time.perf_counter()
    scans = {contrast: nifti.read(getattr(options, contrast.lower())) for contrast in ("T1", "T2")}
    mask = brain_mask(scans)
    references = {c: nifti.read(path) for c in scans if (path := getattr(options, f"{c.lower()}_reference"))}
    output = output_folder(Path(options.output), scans)
    with fetch(options.model, options.tracking, options.storage) as folder:
        translator = Translator.open(folder)
        x, y, _ = scans["T1"].spacing
        translated = translator.volume(scans["T1"].values, scans["T2"].values, mask, (y, x))
        facts = {key: translator.facts[key] for key in FACTS}
    rows = []
    for contrast, volume in translated.items():
        path = output / f"{_stem(scans[contrast].path)}_desc-enhanced.nii.gz"
        nifti.write(path, volume, scans[contrast])
        scores = {}
        if contrast in references:
            scores = compare(volume, scans[contrast], references[contrast], mask)
        sidecar = {
            "model": options.model,
            "source": str(scans[contrast].path),
            "use": "research only: synthetic, not for diagnosis",
            "intensity": "0 to 1, as the 3 T training scans' own percentiles",
            "psnr_db": scores,
            "seconds": round(time.perf_counter() - started, 2),
            **facts,
        }
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar, indent=1))
        rows.append(middle_slices(contrast, scans[contrast], volume, mask))
        told = "".join(f", PSNR {name} {value:.2f} dB" for name, value in scores.items())
        console.print(f"{path}{told}")
    console.print(report.sample_figure(rows, output / "before_after.png", "Research use only: synthetic"))


def output_folder(path: Path, scans: Mapping[str, Scan]) -> Path:
    """Make the folder; raises InputError where that fails, or where both outputs would have one name."""
    if _stem(scans["T1"].path) == _stem(scans["T2"].path):
        raise InputError(
            f"--t2: {scans['T2'].path} is named as --t1; allowed: another name, as outputs take theirs"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output: {path} cannot be made ({error.strerror}); allowed: a folder") from error
    return path


def brain_mask(scans: Mapping[str, Scan]) -> Array:
    """Voxels that are not black in both scans; raises InputError for other grids and for skulls."""
    t1, t2 = scans["T1"], scans["T2"]
    if not t1.same_grid(t2):
        cure = "allowed: T2 registered and resampled to T1"
        raise InputError(f"{t2.path}: its grid differs from that of {t1.path}; {cure}")
    for scan in (t1, t2):
        black = float((scan.values == 0).mean())
        if black < MIN_BLACK:
            cure = "allowed: a brain-extracted scan, 0 outside the brain"
            raise InputError(f"{scan.path}: {black:.1%} of its voxels are 0; {cure}")
    mask = np.asarray((t1.values != 0) & (t2.values != 0))
    for scan in (t1, t2):
        if not mask.any() or np.ptp(scan.values[mask]) == 0:
            both = f"{t1.path} and {t2.path}"
            raise InputError(
                f"{scan.path}: has no contrast where {both} both hold brain; allowed: scans of one head"
            )
    return mask


def compare(volume: Array, source: Scan, reference: Scan, mask: Array) -> dict[str, float]:
    """PSNR (dB) of the output and of the untouched input against the paired 3 T, on the input's grid.

    The reference is normalised by its own percentiles, then resampled by its affine; all are black outside
    the mask.
    """
    truth = np.where(mask, resampled(reference, source), 0)
    untouched = (normalise(source.values, mask) + 1) / 2
    pairs = {"output": np.where(mask, volume, 0), "untouched input": untouched}
    return {name: float(psnr(_image(values), _image(truth))) for name, values in pairs.items()}


def resampled(reference: Scan, like: Scan) -> Array:
    """The reference's normalised intensities in [0, 1] at the points of ``like``, by linear interpolation."""
    from scipy.ndimage import map_coordinates

    unit = (normalise(reference.values, reference.values != 0) + 1) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in like.values.shape), indexing="ij"), -1)
    to_reference = np.linalg.inv(reference.ras_affine) @ like.ras_affine
    points = grid @ to_reference[:3, :3].T + to_reference[:3, 3]
    return np.asarray(map_coordinates(unit, np.moveaxis(points, -1, 0), order=1))


def middle_slices(contrast: str, source: Scan, volume: Array, mask: Array) -> dict[str, Array]:
    """The slice with most brain before and after, as pictures look at it (anterior up)."""
    z = int(mask.sum((0, 1)).argmax())
    before = (normalise(source.values, mask) + 1) / 2
    return {f"{contrast} input": before[:, ::-1, z].T, f"{contrast} output": volume[:, ::-1, z].T}


def _image(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).reshape(1, len(values), -1)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


if __name__ == "__main__":
    cli.run(main)
