"""DICOM series to NIfTI by dcm2niix, whose warnings are read: what it converts may lack slices."""

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.cohorts.scans.eligibility import is_localizer
from trainers.cohorts.scans.field_strength import KEY
from trainers.errors import InputError

TIMEOUT = 600.0
"""Seconds that a conversion may take."""
APART = 1.5
"""Slices farther apart than this many times what they should be: some are missing."""
PARTS = {"P", "PHASE", "REAL", "R", "IMAGINARY", "I"}
"""Image types of phase, real and imaginary images."""
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
HEADER_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"|\d{6,}(\.\d+)?")
"""In a warning: what is quoted of a header, and dates, times and numbers of patients."""


@dataclass(frozen=True)
class Series:
    """A converted series."""

    path: Path
    """NIfTI; beside it a sidecar with the field strength alone, if it is known."""
    warnings: tuple[str, ...]
    """What dcm2niix said of the series, beside what is harmless; no paths and nothing quoted of headers."""


def convert(folder: Path, work: Path, series: str = "") -> Series:
    """A folder's DICOM series, or that of the name ``series``, as NIfTI in ``work``, which is made.

    Phase, real and imaginary parts, localizers and derived images are not used unless they are named, or
    there is nothing else. Raises InputError where the folder holds none or several, and for a series that
    lacks slices.
    """
    work.mkdir(parents=True)
    # -b y: a sidecar with the field strength, by which a 3 T scan is noticed; -ba y: without names and dates.
    options = ["-z", "n", "-b", "y", "-ba", "y", "-f", "%s_%d", "-o", str(work)]
    command = [sys.executable, "-m", "dcm2niix", *options, str(folder.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{folder}: not converted within {TIMEOUT:g} s; allowed: one DICOM series") from None
    by_series = _said((done.stdout + done.stderr).decode("utf-8", "surrogateescape"))
    found = {path.stem: path for path in sorted(work.glob("*.nii"))}
    if not found:
        said = [line for lines in by_series.values() for line in lines]
        why = f" ({_shown(said[-1], folder, work)})" if said else ""
        raise InputError(f"{folder}: holds no DICOM series{why}; allowed: one, or a NIfTI file")
    chosen = _chosen(folder, found, series)
    said = by_series.get(chosen.stem, [])
    if damaged := [line for line in said if DAMAGED.search(line)]:
        why = _shown(damaged[0], folder, work)
        raise InputError(f"{folder}: {why}; allowed: a complete series of evenly spaced slices")
    _require_even(folder, chosen)
    _keep_field_strength(chosen)
    return Series(chosen, tuple(dict.fromkeys(_anonymous(line, folder, work) for line in said)))


def _chosen(folder: Path, found: dict[str, Path], series: str) -> Path:
    """Raises InputError where no series has the name, or several may be meant."""
    if series:
        fitting = [path for name, path in found.items() if series in (name, name.split("_")[0])]
    else:
        fitting = list(found.values())
        for unlike in (_is_part, _is_localizer, _is_derived):
            fitting = [path for path in fitting if not unlike(path)] or fitting
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(_printable(name) for name in found)
    if series and not fitting:
        raise InputError(f"--series: {series!r} is not in {folder}; allowed: {names}")
    stems = [_printable(path.stem) for path in fitting]
    count = f"holds {len(fitting)} DICOM series ({', '.join(stems)})"
    raise InputError(f"{folder}: {count}; allowed: one, chosen by --series {stems[0]}")


def _is_part(path: Path) -> bool:
    """Whether it is a phase, real or imaginary image."""
    return bool(_kinds(path) & PARTS) or path.stem.endswith("_ph")


def _is_localizer(path: Path) -> bool:
    return "LOCALIZER" in _kinds(path) or is_localizer(path.stem.partition("_")[2])


def _is_derived(path: Path) -> bool:
    """Whether it was computed from other images, as a reformatted view is."""
    return "DERIVED" in _kinds(path)


def _kinds(path: Path) -> set[str]:
    """The image's types (0008,0008), in capitals."""
    kinds = _sidecar(path).get("ImageType")
    return {str(kind).upper() for kind in kinds} if isinstance(kinds, list) else set()


def _require_even(folder: Path, path: Path) -> None:
    """Raises InputError where slices are farther apart than they say: every second one may be missing.

    They may say it as a gap between them, or as their thickness, if they touch.
    """
    import nibabel as nib
    from nibabel.imageglobals import LoggingOutputSuppressor

    facts = _sidecar(path)
    said = [facts.get(key) for key in ("SpacingBetweenSlices", "SliceThickness")]
    stated = max((size for size in said if isinstance(size, int | float) and size > 0), default=0.0)
    with LoggingOutputSuppressor():
        sizes = nib.load(path).header.get_zooms()
    apart = float(sizes[2]) if len(sizes) > 2 else 0.0
    if stated and apart > APART * stated:
        said_ = f"its slices are {apart:g} mm apart and should be {stated:g} mm: some are missing"
        raise InputError(f"{folder}: {said_}; allowed: a complete series")


def _keep_field_strength(path: Path) -> None:
    """Nothing else that dcm2niix copied from headers goes on, nor what it left no JSON."""
    tesla = _sidecar(path).get(KEY)
    known = isinstance(tesla, int | float) and 0 < tesla < math.inf
    path.with_suffix(".json").write_text(json.dumps({KEY: tesla} if known else {}), "utf-8")


def _sidecar(path: Path) -> dict[str, Any]:
    """What dcm2niix wrote of the headers; empty where it wrote nothing, or what is no JSON."""
    try:
        content = json.loads(path.with_suffix(".json").read_text("utf-8", "replace"), strict=False)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _said(text: str) -> dict[str, list[str]]:
    """By series, what was said before its conversion, and after the last: without the harmless."""
    found: dict[str, list[str]] = {}
    before: list[str] = []
    name = ""
    for line in (line.strip() for line in text.splitlines()):
        if converted := CONVERTED.match(line):
            name = Path(converted["path"]).name
            found[name], before = [*found.get(name, []), *before], []
        elif line and not HARMLESS.search(line):
            before.append(line.removeprefix("Warning: ").removeprefix("Error: ").rstrip("."))
    found[name] = [*found.get(name, []), *before]
    return {name: list(dict.fromkeys(lines)) for name, lines in found.items()}


def _shown(line: str, folder: Path, work: Path) -> str:
    """A line for the screen: the user's folder stands for temporary ones."""
    for path in (folder.resolve(), work):
        line = line.replace(str(path), str(folder))
    return _printable(line)


def _anonymous(line: str, folder: Path, work: Path) -> str:
    """A line for sidecars: without paths and what follows them, and without what it quotes of a header."""
    for path in (folder.resolve(), work):
        line = line.partition(str(path))[0]
    return _printable(HEADER_TEXT.sub("...", line).rstrip(" :'\"("))


def _printable(text: str) -> str:
    """Text that may hold bytes of another encoding."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
