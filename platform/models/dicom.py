"""DICOM series to NIfTI by dcm2niix, whose warnings are read: what it converts may lack slices."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.errors import InputError

TIMEOUT = 600.0
"""Seconds that a conversion may take."""
APART = 1.5
"""Slices farther apart than this many times what they should be: some are missing."""
HARMLESS = re.compile(
    r"Patient Position|order is not spatial|DUPLICATES REMOVED|^Found |^Conversion required|^Chris Rorden"
)
CONVERTED = re.compile(r"^Convert \d+ DICOM as (?P<path>.+) \(\d+x")
DAMAGED = re.compile(
    r"Interslice distance varies|Missing images|not large enough|equidistant|incompatible with NIfTI|corrupt"
    r"|truncat|unable to (decode|load|read)|not stacked",
    re.IGNORECASE,
)
"""Warnings of dcm2niix after which a volume is not the patient's."""


@dataclass(frozen=True)
class Series:
    """A converted series."""

    path: Path
    """NIfTI, with its sidecar."""
    warnings: tuple[str, ...]
    """What dcm2niix said of the folder, beside what is harmless."""


def convert(folder: Path, work: Path, series: str = "") -> Series:
    """A folder's DICOM series, or that of the name ``series``, as NIfTI in ``work``, which is made.

    Phase, real and imaginary parts are not used unless they are named. Raises InputError where the folder
    holds none or several, and for a series that lacks slices.
    """
    work.mkdir(parents=True)
    # -b y: a sidecar with the field strength, by which a 3 T scan is noticed; -ba y: without names and dates.
    options = ["-z", "n", "-b", "y", "-ba", "y", "-f", "%s_%d", "-o", str(work)]
    command = [sys.executable, "-m", "dcm2niix", *options, str(folder.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{folder}: not converted within {TIMEOUT:g} s; allowed: one DICOM series") from None
    by_series = _said(done.stdout + done.stderr, folder, work)
    found = {path.stem: path for path in sorted(work.glob("*.nii"))}
    if not found:
        said = [line for lines in by_series.values() for line in lines]
        why = f" ({said[-1]})" if said else ""
        raise InputError(f"{folder}: holds no DICOM series{why}; allowed: one, or a NIfTI file")
    chosen = _chosen(folder, found, series)
    said = by_series.get(chosen.stem, [])
    if damaged := [line for line in said if DAMAGED.search(line)]:
        raise InputError(f"{folder}: {damaged[0]}; allowed: a complete series of evenly spaced slices")
    _require_even(folder, chosen)
    return Series(chosen, tuple(said))


def _chosen(folder: Path, found: dict[str, Path], series: str) -> Path:
    """Raises InputError where no series has the name, or several may be meant."""
    if series:
        fitting = [path for name, path in found.items() if series in (name, name.split("_")[0])]
    else:
        fitting = [path for path in found.values() if not _is_part(path)] or list(found.values())
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(found)
    if series and not fitting:
        raise InputError(f"--series: {series!r} is not in {folder}; allowed: {names}")
    count = f"holds {len(fitting)} DICOM series ({', '.join(path.stem for path in fitting)})"
    raise InputError(f"{folder}: {count}; allowed: one, chosen by --series {fitting[0].stem}")


def _is_part(path: Path) -> bool:
    """Whether it is a phase, real or imaginary image."""
    kinds = {str(kind).upper() for kind in _sidecar(path).get("ImageType", [])}
    return bool(kinds & {"P", "PHASE", "REAL", "R", "IMAGINARY", "I"}) or path.stem.endswith("_ph")


def _require_even(folder: Path, path: Path) -> None:
    """Raises InputError where slices are farther apart than they say: every second one may be missing."""
    import nibabel as nib

    facts = _sidecar(path)
    stated = facts.get("SpacingBetweenSlices") or facts.get("SliceThickness")
    apart = float(nib.load(path).header.get_zooms()[2])
    if isinstance(stated, int | float) and apart > APART * max(stated, 1e-3):
        said = f"its slices are {apart:g} mm apart and should be {stated:g} mm: some are missing"
        raise InputError(f"{folder}: {said}; allowed: a complete series")


def _sidecar(path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".json")
    content = json.loads(sidecar.read_text("utf-8", "replace")) if sidecar.is_file() else {}
    return content if isinstance(content, dict) else {}


def _said(text: str, folder: Path, work: Path) -> dict[str, list[str]]:
    """By series, what was said before its conversion, and after the last: without the harmless.

    The user's folder stands for temporary ones.
    """
    found: dict[str, list[str]] = {}
    before: list[str] = []
    name = ""
    for line in (line.strip() for line in text.splitlines()):
        if converted := CONVERTED.match(line):
            name = Path(converted["path"]).name
            found[name], before = [*found.get(name, []), *before], []
        elif line and not HARMLESS.search(line):
            for path in (str(folder.resolve()), str(work)):
                line = line.replace(path, str(folder))
            before.append(line.removeprefix("Warning: ").removeprefix("Error: ").rstrip("."))
    found[name] = [*found.get(name, []), *before]
    return {name: list(dict.fromkeys(lines)) for name, lines in found.items()}
