"""What `translate` is given: NIfTI files, a DICOM series or a BIDS folder, each as visits to translate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.models import derivatives, dicom

from trainers.cohorts import folder
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError
from trainers.weights import file_sha256


@dataclass(frozen=True)
class Job:
    """One visit to translate, and where its outputs go."""

    sources: Mapping[str, Path]
    """What the user gave, by contrast."""
    paths: Mapping[str, Path]
    """The same as NIfTI files."""
    prefixes: Mapping[str, str]
    """How the names of the outputs start, by contrast: ``sub-01_acq-64mT``."""
    origins: Mapping[str, str]
    """By contrast, what sidecars say of the source: a BIDS URI, or the hash of its content; no path."""
    output: Path
    """The derivative data set."""
    mask: Path | None = None
    visit: str = ""
    """Its name in a BIDS folder."""
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
    subject: str = "",
) -> Job:
    """The scans of ``--t1`` and ``--t2``, a folder among them being a DICOM series converted into ``work``.

    ``series``: by contrast, the name of the one to take of several. ``subject``: its label; by default that
    of a scan named as in BIDS, else a hash of the first one's content. Raises InputError where the names are
    of two subjects.
    """
    wanted = series or {}
    made = {c: dicom.convert(path, work / c, wanted.get(c, "")) for c, path in scans.items() if path.is_dir()}
    paths = {c: made[c].path if c in made else path for c, path in scans.items()}
    sums = {c: file_sha256(path) for c, path in paths.items()}
    fallback = next(iter(sums.values()))[:8]
    prefixes = {c: derivatives.prefix(scans[c], subject, fallback) for c in paths}
    labels = list(dict.fromkeys(prefix.split("_")[0] for prefix in prefixes.values()))
    if len(labels) > 1:
        two = f"--t1 is of {labels[0]} and --t2 of {labels[1]}"
        raise InputError(f"{two}; allowed: scans of one subject, or --subject LABEL")
    warnings = [f"{c}: {line}" for c, each in made.items() for line in each.warnings]
    origins = {c: f"urn:sha256:{each}" for c, each in sums.items()}
    return Job(scans, paths, prefixes, origins, output, mask, warnings=warnings)


def from_bids(
    root: Path, output: Path, filters: Filters, known_field: bool = False
) -> tuple[list[Job], Selection]:
    """Every 64 mT visit of a BIDS folder, its outputs in a tree like it, and what was chosen.

    ``known_field``: scans of which nothing says the field strength are of 64 mT, too; else their visits are
    refused. Raises InputError where there is no visit.
    """
    selection = folder.select(root, "64mT" if known_field else "", filters)
    jobs = [_job(visit, root, output) for visit in sorted(selection.visits) if visit.domain != "3T"]
    if not jobs:
        raise InputError(f"--bids: {root} holds no 64 mT scan; allowed: a folder with some")
    return jobs, selection


def _job(visit: Visit, root: Path, output: Path) -> Job:
    own = "_".join(part for part in (visit.subject, visit.session) if part)
    prefixes = {c: derivatives.prefix(path, "", own) for c, path in visit.scans.items()}
    origins = {c: derivatives.uri(path, root) for c, path in visit.scans.items()}
    problem = f"{visit.id}: {visit.problem}" if visit.problem else ""
    return Job(visit.scans, visit.scans, prefixes, origins, output, visit.mask, visit.id, problem)
