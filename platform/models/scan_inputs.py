"""What `translate` is given: NIfTI files, a DICOM series or a BIDS folder, each as visits to translate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.models import dicom

from trainers.cohorts import folder
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.names import stem
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError


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
    warnings: Sequence[str] = ()
    """What the conversion of DICOM series said."""


def from_files(
    scans: Mapping[str, Path],
    mask: Path | None,
    output: Path,
    work: Path,
    series: Mapping[str, str] | None = None,
) -> Job:
    """The scans of ``--t1`` and ``--t2``, a folder among them being a DICOM series converted into ``work``.

    ``series``: by contrast, the name of the one to take of several. Raises InputError where two outputs would
    have one name.
    """
    wanted = series or {}
    made = {c: dicom.convert(path, work / c, wanted.get(c, "")) for c, path in scans.items() if path.is_dir()}
    paths = {c: made[c].path if c in made else path for c, path in scans.items()}
    stems = {c: _stem(path, paths[c], wanted.get(c, "")) for c, path in scans.items()}
    if len(set(stems.values())) < len(stems):
        named = f"{scans['T2']} is named as --t1; allowed: another name, as outputs take theirs"
        raise InputError(f"--t2: {named}")
    warnings = [f"{c}: {line}" for c, each in made.items() for line in each.warnings]
    return Job(scans, paths, stems, output, mask, warnings=warnings)


def _stem(source: Path, path: Path, series: str) -> str:
    """Of a file its own name; of a DICOM folder that, with the series where it was chosen."""
    if source == path:
        return stem(path)
    return "_".join(part for part in (source.resolve().name, path.stem if series else "") if part)


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
