"""What `translate` is given: NIfTI files, a DICOM series or a BIDS folder, each as visits to translate."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform.translation import derivatives, dicom

from trainers.cohorts import folder
from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.scans import names
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError
from trainers.files import file_sha256

LABEL = re.compile(r"[A-Za-z0-9+]+")
"""Of an entity in BIDS."""


@dataclass(frozen=True)
class View:
    """One of several scans of a contrast."""

    source: Path
    """As the user gave it."""
    path: Path
    """The same as a NIfTI file."""
    origin: str
    """What sidecars say of the source."""


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
    views: Mapping[str, Sequence[View]] = field(default_factory=dict)
    """All scans of each contrast where there are several, which are fused; else empty."""


def from_files(
    scans: Mapping[str, Path],
    mask: Path | None,
    output: Path,
    work: Path,
    series: Mapping[str, str] | None = None,
    subject: str = "",
    views: Mapping[str, Sequence[Path]] | None = None,
) -> Job:
    """The scans of ``--t1`` and ``--t2``, a folder among them being a DICOM series converted into ``work``.

    ``series``: by contrast, the name of the one to take of several. ``subject``: its label; by default that
    of a scan named as in BIDS, else a hash of the first one's content. ``views``: all scans of each contrast,
    where there are several. Raises InputError where the names are of two subjects or sessions.
    """
    if views is not None:
        return _of_views(views, mask, output, work, series or {}, subject)
    wanted = series or {}
    made = {c: dicom.convert(path, work / c, wanted.get(c, "")) for c, path in scans.items() if path.is_dir()}
    paths = {c: made[c].path if c in made else path for c, path in scans.items()}
    sums = {c: _sum(path) for c, path in paths.items()}
    prefixes = _prefixes(scans, subject, next(iter(sums.values()))[:8])
    warnings = [f"{c}: {line}" for c, each in made.items() for line in each.warnings]
    origins = {c: f"urn:sha256:{each}" for c, each in sums.items()}
    return Job(scans, paths, prefixes, origins, output, mask, warnings=warnings)


def _of_views(
    scans: Mapping[str, Sequence[Path]],
    mask: Path | None,
    output: Path,
    work: Path,
    series: Mapping[str, str],
    subject: str,
) -> Job:
    """As single visits of one scan of each contrast, put together."""
    count = max(len(paths) for paths in scans.values())
    layers = [{c: paths[i] for c, paths in scans.items() if i < len(paths)} for i in range(count)]
    jobs = [from_files(each, mask, output, work / str(i), series, subject) for i, each in enumerate(layers)]
    first = jobs[0]
    views = {
        c: [View(job.sources[c], job.paths[c], job.origins[c]) for job in jobs if c in job.paths]
        for c in first.paths
    }
    prefixes = _shared_prefixes(
        {c: [each.source for each in own] for c, own in views.items()}, first.prefixes
    )
    for key in ("sub", "ses"):
        labels = {_entities(each.source).get(key) for own in views.values() for each in own} - {None}
        if len(labels) > 1 and not subject:
            several = " and ".join(f"{key}-{label}" for label in sorted(map(str, labels)))
            raise InputError(f"--t1 and --t2: views are of {several}; allowed: of one, or --subject LABEL")
    warnings = [line for job in jobs for line in job.warnings]
    return replace(first, prefixes=prefixes, warnings=warnings, views=views)


def _shared_prefixes(scans: Mapping[str, Sequence[Path]], own: Mapping[str, str]) -> dict[str, str]:
    """Prefixes without the entities in which views differ, as ``acq-AXI``."""
    found = {}
    for contrast, paths in scans.items():
        named = [derivatives.entities(path) for path in paths]
        differ = {key for each in named for key in each if len({other.get(key) for other in named}) > 1}
        parts = [p for p in own[contrast].split("_") if p.partition("-")[0] not in differ - {"sub", "ses"}]
        found[contrast] = "_".join(parts)
    return found


def from_bids(
    root: Path, output: Path, filters: Filters, known_field: bool = False, all_views: bool = False
) -> tuple[list[Job], Selection]:
    """Every 64 mT visit of a BIDS folder, its outputs in a tree like it, and what was chosen outside of that.

    ``known_field``: scans of which nothing says the field strength are of 64 mT, too; else their visits are
    refused. ``all_views``: scans that differ in the plane of their slices alone belong to one job. Raises
    InputError where there is no visit.
    """
    selection = folder.select(root, "64mT" if known_field else "", filters)
    selection = _with_views(selection) if all_views else _without_views(selection)
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
    job = Job(visit.scans, visit.scans, prefixes, origins, output, visit.mask, visit.id, problem)
    if not visit.views:
        return job
    paths = {c: [path, *(p for each, p in visit.views if each == c)] for c, path in visit.scans.items()}
    views = {c: [View(p, p, derivatives.uri(p, root)) for p in each] for c, each in paths.items()}
    return replace(job, prefixes=_shared_prefixes(paths, prefixes), views=views)


def _with_views(selection: Selection) -> Selection:
    """Views at 64 mT are used: they are not left."""
    used = {path for visit in selection.visits if visit.domain != "3T" for _, path in visit.views}
    return replace(selection, left=[each for each in selection.left if each.path not in used])


def _without_views(selection: Selection) -> Selection:
    return replace(selection, visits=[replace(visit, views=()) for visit in selection.visits])
