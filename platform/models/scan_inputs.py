"""What `translate` is given: NIfTI files, a DICOM series or a BIDS folder, each as visits to translate."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from platform.models import derivatives, dicom

from trainers.cohorts import folder
from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.scans import names
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError
from trainers.weights import file_sha256

LABEL = re.compile(r"[A-Za-z0-9+]+")
"""Of an entity in BIDS."""


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
    of two subjects or sessions.
    """
    wanted = series or {}
    made = {c: dicom.convert(path, work / c, wanted.get(c, "")) for c, path in scans.items() if path.is_dir()}
    paths = {c: made[c].path if c in made else path for c, path in scans.items()}
    sums = {c: _sum(path) for c, path in paths.items()}
    prefixes = _prefixes(scans, subject, next(iter(sums.values()))[:8])
    warnings = [f"{c}: {line}" for c, each in made.items() for line in each.warnings]
    origins = {c: f"urn:sha256:{each}" for c, each in sums.items()}
    return Job(scans, paths, prefixes, origins, output, mask, warnings=warnings)


def from_bids(
    root: Path, output: Path, filters: Filters, known_field: bool = False
) -> tuple[list[Job], Selection]:
    """Every 64 mT visit of a BIDS folder, its outputs in a tree like it, and what was chosen outside of that.

    ``known_field``: scans of which nothing says the field strength are of 64 mT, too; else their visits are
    refused. Raises InputError where there is no visit.
    """
    selection = folder.select(root, "64mT" if known_field else "", filters)
    own = output.resolve()
    selection = replace(
        selection, left=[each for each in selection.left if own not in each.path.resolve().parents]
    )
    jobs = [_job(visit, root, output) for visit in sorted(selection.visits) if visit.domain != "3T"]
    if not jobs:
        raise InputError(f"--bids: {root} holds no 64 mT scan; allowed: a folder with some")
    return jobs, selection


def _sum(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); allowed: {nifti.FORMS}") from None


def _prefixes(scans: Mapping[str, Path], subject: str, fallback: str) -> dict[str, str]:
    """What a scan's own name does not say of subject and session is that of the other's, or ``fallback``."""
    named = {c: _entities(path) for c, path in scans.items()}
    shared: dict[str, str] = {}
    for key, what in (("sub", "subject"), ("ses", "session")):
        labels = {c: own[key] for c, own in named.items() if key in own}
        if len(set(labels.values())) > 1 and not subject:
            both = f"--t1 is of {key}-{labels['T1']} and --t2 of {key}-{labels['T2']}"
            raise InputError(f"{both}; allowed: scans of one {what}, or --subject LABEL")
        shared |= {key: next(iter(labels.values()))} if labels else {}
    shared = {"sub": fallback} | shared
    given = {"sub": subject} if subject else {}
    return {c: derivatives.prefix({**shared, **own, **given}) for c, own in named.items()}


def _entities(path: Path) -> dict[str, str]:
    """Of a scan named as in BIDS; empty for a name with anything else in it, which may be a person's."""
    found = derivatives.entities(path)
    parsed = names.parse(path.name)
    if parsed is None or parsed.entities.get(names.OF, "T1w") not in ("T1w", "T2w"):
        return {}
    return found if all(LABEL.fullmatch(text) for pair in found.items() for text in pair) else {}


def _job(visit: Visit, root: Path, output: Path) -> Job:
    prefixes = {c: derivatives.prefix(derivatives.entities(path)) for c, path in visit.scans.items()}
    origins = {c: derivatives.uri(path, root) for c, path in visit.scans.items()}
    problem = f"{visit.id}: {visit.problem}" if visit.problem else ""
    return Job(visit.scans, visit.scans, prefixes, origins, output, visit.mask, visit.id, problem)
