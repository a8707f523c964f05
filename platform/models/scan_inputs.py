"""What `translate` is given: NIfTI files, a DICOM series or a BIDS folder, each as visits to translate."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts import folder
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.names import stem
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError

TIMEOUT = 600.0
"""Seconds that the conversion of a DICOM series may take."""


@dataclass(frozen=True)
class Job:
    """One visit to translate, and where its outputs go."""

    sources: Mapping[str, Path]
    """What the user gave, by contrast."""
    paths: Mapping[str, Path]
    """The same as NIfTI files."""
    stems: Mapping[str, str]
    """How the names of the outputs start, by contrast."""
    output: Path
    mask: Path | None = None
    problem: str = ""
    """Why the visit is refused, before any scan is read."""


def from_files(scans: Mapping[str, Path], mask: Path | None, output: Path, work: Path) -> Job:
    """The scans of ``--t1`` and ``--t2``, a folder among them being a DICOM series converted into ``work``.

    Raises InputError where two outputs would have one name.
    """
    paths = {c: dicom(path, work / c) if path.is_dir() else path for c, path in scans.items()}
    stems = {c: stem(path) if path == paths[c] else path.resolve().name for c, path in scans.items()}
    if len(set(stems.values())) < len(stems):
        named = f"{scans['T2']} is named as --t1; allowed: another name, as outputs take theirs"
        raise InputError(f"--t2: {named}")
    return Job(scans, paths, stems, output, mask)


def from_bids(
    root: Path, output: Path, filters: Filters, known_field: bool = False
) -> tuple[list[Job], Selection]:
    """Every 64 mT visit of a BIDS folder, its outputs in a tree like it, and what was chosen.

    ``known_field``: scans of which nothing says the field strength are of 64 mT, too; else their visits are
    refused. Raises InputError where there is no visit.
    """
    selection = folder.select(root, "64mT" if known_field else "", filters)
    jobs = [_job(visit, output) for visit in sorted(selection.visits) if visit.domain != "3T"]
    if not jobs:
        raise InputError(f"--bids: {root} holds no 64 mT scan; allowed: a folder with some")
    return jobs, selection


def _job(visit: Visit, output: Path) -> Job:
    target = output.joinpath(*(part for part in (visit.subject, visit.session) if part), "anat")
    stems = {c: stem(path) for c, path in visit.scans.items()}
    problem = f"{visit.id}: {visit.problem}" if visit.problem else ""
    return Job(visit.scans, visit.scans, stems, target, visit.mask, problem)


def dicom(series: Path, work: Path) -> Path:
    """A folder that holds one DICOM series, as NIfTI in ``work``, by dcm2niix.

    Raises InputError where the folder holds none, or several series.
    """
    work.mkdir(parents=True)
    # -b y: a sidecar with the field strength, by which a 3 T scan is noticed.
    options = ["-z", "n", "-b", "y", "-f", "%s_%d", "-o", str(work)]
    command = [sys.executable, "-m", "dcm2niix", *options, str(series.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{series}: not converted within {TIMEOUT:g} s; allowed: one DICOM series") from None
    converted = sorted(work.glob("*.nii"))
    if not converted:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise InputError(f"{series}: holds no DICOM series ({''.join(last)}); allowed: one, or a NIfTI file")
    if len(converted) > 1:
        names = ", ".join(path.stem for path in converted)
        count = f"holds {len(converted)} DICOM series ({names})"
        raise InputError(f"{series}: {count}; allowed: a folder with one")
    return converted[0]
