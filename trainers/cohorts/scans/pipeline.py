"""A cohort of real scans, from visits to the store, for every source of scans (DATA.md section D).

<root>/prepared/<source>-<hash8 of its path>/exclusions.csv, outcome.json, files.csv, visits/<visit>-<hash8>/
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from trainers import weights
from trainers.cohorts.base import Mapper
from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.scans import splits
from trainers.cohorts.scans.exclusions import Exclusions
from trainers.cohorts.scans.listing import write_listing
from trainers.cohorts.scans.visit_preparation import (
    VisitResult,
    VisitSettings,
    VisitTask,
    incomplete,
    prepare_visit,
    visit_to_json,
)
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.cohorts.scans.wording import shown
from trainers.config import Range, digest
from trainers.data import writer
from trainers.data.grid import GRIDS, PERCENTILES
from trainers.data.store import MASK, PAIRED_SPLITS
from trainers.errors import InputError
from trainers.files import write_text

NEEDED = (("train", "64mT"), ("train", "3T"), ("val", "64mT"), ("test", "64mT"))
MIN_SLICES = 5
"""Fewer slices do not show a brain; FID takes equally many of each subject, so one such visit limits all."""
UNUSED_SESSION = "a further session of a paired volunteer, of whom another is used"
CHOICES = {
    "grid": "axial, anterior rows first, about the middle of the brain, at the slices of the 64 mT scan",
    "normalisation": "volume p{:g}-p{:g} inside its mask to [-1, 1], clipped; -1 outside".format(
        *PERCENTILES
    ),
    "registration": "rigid, Mattes: T2 to T1; 3 T to 64 mT, pairs to their own scan, others to the reference",
    "interpolation": "3 T once, cubic; 64 mT T2 onto T1, cubic; 64 mT in plane, linear",
    "slice_filter": f"brain >= {slicing.MIN_BRAIN_FRACTION:.0%} of a slice; pairs: at both fields",
    "order": "by split, domain, visit, then inferior to superior",
}


@dataclass(frozen=True, kw_only=True)
class ScansConfig:
    """Settings of a cohort of real scans."""

    root: str
    """Path of the scans."""
    size: Literal["1mm", "2mm"] = "1mm"
    """Spacing of the working pixels: 224 x 192 of 1 mm, or 112 x 96 of 2 mm for a laptop."""
    val: Annotated[int, Range(1, 10000)] = 4
    """Validation volunteers, drawn among those scanned at both fields; the rest of these test."""
    test: Annotated[int, Range(1, 10000)] = 4
    """Test volunteers if no one was scanned at both fields."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the split."""
    reference: str = ""
    """64 mT training visit to which all unpaired 3 T visits are registered; empty: the first."""
    brain_mask: Literal["auto", "template", "hd-bet", "synthstrip", "given"] = "auto"
    """How brains are found; auto: a given mask, else HD-BET or SynthStrip if installed, else the template."""
    dtype: Literal["float16", "float32"] = "float16"
    """Type of the stored slices."""


@dataclass(frozen=True)
class Workspace:
    """The folder that a source's preparation keeps between runs."""

    folder: Path

    @classmethod
    def of(cls, source: str, config: ScansConfig, root: Path) -> "Workspace":
        """The workspace of the scans at ``config.root`` below the storage ``root``."""
        path_hash = digest(str(Path(config.root).resolve()))[:8]
        return cls(root / "prepared" / f"{source}-{path_hash}")

    @property
    def exclusions(self) -> Path:
        """The table that a person may edit."""
        return self.folder / "exclusions.csv"

    @property
    def visits(self) -> Path:
        """Prepared visits."""
        return self.folder / "visits"

    @property
    def outcome(self) -> Path:
        """The result of every visit in the last run."""
        return self.folder / "outcome.json"

    @property
    def files(self) -> Path:
        """Every scan that was found, and what it is used for or why not."""
        return self.folder / "files.csv"


def prepare(source: str, config: ScansConfig, selection: Selection, root: Path, mapper: Mapper) -> Path:
    """Build the cohort of selected visits under ``root``, or find it there; returns its folder.

    ``mapper`` prepares first the 64 mT visits, then the 3 T ones, which are registered to them. Raises
    InputError where too few are left to train, validate and test.
    """
    workspace = Workspace.of(source, config, root)
    workspace.outcome.unlink(missing_ok=True)
    visits = [replace(visit, problem=visit.problem or incomplete(visit)) for visit in selection.visits]
    write_listing(workspace.files, replace(selection, visits=visits))
    exclusions = Exclusions.read(workspace.exclusions)
    exclusions.require_known(workspace.exclusions, visits)
    by_volunteer = splits.assign([v for v in visits if v.domain], config.val, config.test, config.seed)
    visits = sorted(replace(visit, split=by_volunteer.get(visit.subject, visit.split)) for visit in visits)
    _require_splits(config, visits)
    work = partial(prepare_visit, VisitSettings(workspace.visits, config.size, config.brain_mask))
    results = {v.id: VisitResult(v, None, v.problem) for v in visits if v.problem}
    results |= {v.id: VisitResult(v, None, "excluded by hand") for v in visits if exclusions.of(v) == "yes"}
    for batch in _batches(visits, "64mT", results):
        results |= _screen(mapper(work, [VisitTask(v) for v in batch]), exclusions)
    targets, unmatched = _targets(config, visits, results)
    results |= unmatched
    for batch in _batches(visits, "3T", results):
        results |= _screen(mapper(work, [VisitTask(v, targets[v.id]) for v in batch]), exclusions)
    results = {v.id: results.get(v.id, VisitResult(v, None, UNUSED_SESSION)) for v in visits}
    _record(workspace, source, selection, list(results.values()), exclusions)
    subjects = _cohort_subjects(config, [results[visit.id] for visit in visits])
    _require_enough(subjects, workspace)
    hash_ = digest(config.size, config.dtype, *(f"{s.id} {s.split} {' '.join(s.keys)}" for s in subjects))
    excluded = {r.visit.id: r.reason for r in results.values() if r.reason}
    head = _head(source, config) | {"volunteers": by_volunteer, "set_aside": excluded}
    return writer.find(root, hash_) or writer.write(root, hash_, head, map(_read_subject, subjects))


def _batches(
    visits: Sequence[Visit], domain: str, results: Mapping[str, VisitResult]
) -> Iterator[list[Visit]]:
    """Visits of a domain to prepare, batch by batch: of a paired volunteer one session, the next if it fails.

    ``results`` is read again before each batch.
    """
    both = splits.paired(visits)
    while True:
        served = {r.visit.subject for r in results.values() if r.usable and r.visit.domain == domain}
        batch: list[Visit] = []
        for visit in (v for v in visits if v.domain == domain and v.id not in results):
            if visit.subject not in both or visit.subject not in served:
                batch.append(visit)
                served.add(visit.subject)
        if not batch:
            return
        yield batch


def _screen(results: Iterable[VisitResult], exclusions: Exclusions) -> dict[str, VisitResult]:
    """Exclude visits with too few slices, and flagged ones unless a person included them."""
    screened = {}
    for result in results:
        if result.folder is not None:
            facts = weights.read_manifest(result.folder)
            if facts["slices"] < MIN_SLICES:
                few = f"{facts['slices']} slices hold enough brain; allowed: at least {MIN_SLICES}"
                result = replace(result, reason=few)
            elif facts["warnings"] and exclusions.of(result.visit) != "no":
                result = replace(result, reason=f"flagged: {'; '.join(facts['warnings'])}")
        screened[result.visit.id] = result
    return screened


def _targets(
    config: ScansConfig, visits: Sequence[Visit], results: Mapping[str, VisitResult]
) -> tuple[dict[str, Path], dict[str, VisitResult]]:
    """The prepared 64 mT visit to which each 3 T visit is registered; and the 3 T visits without one."""
    ready = {v.id: r.folder for v in visits if (r := results.get(v.id)) and r.folder and r.usable}
    own = {v.subject: ready[v.id] for v in visits if v.id in ready}
    training = [v.id for v in visits if v.id in ready and v.split == "train"]
    reference = config.reference or next(iter(training), "")
    targets, unmatched = {}, {}
    both = splits.paired(visits)
    for visit in (v for v in visits if v.domain == "3T" and v.id not in results):
        target = own.get(visit.subject) if visit.subject in both else ready.get(reference)
        if target:
            targets[visit.id] = target
        else:
            unmatched[visit.id] = VisitResult(visit, None, "no 64 mT visit is left that it could go to")
    return targets, unmatched


@dataclass(frozen=True)
class _CohortSubject:
    """A subject of the store: one prepared visit, or a pair."""

    id: str
    split: str
    folders: Mapping[str, Path]
    """By domain."""
    dtype: str

    @property
    def keys(self) -> list[str]:
        """Content hashes of the prepared visits."""
        return [weights.read_manifest(folder)["key"] for folder in self.folders.values()]


def _cohort_subjects(config: ScansConfig, results: Sequence[VisitResult]) -> list[_CohortSubject]:
    used = [r for r in results if r.usable]
    both = splits.paired([r.visit for r in results])
    subjects = []
    for split in ("train", *PAIRED_SPLITS):
        members = [r for r in used if r.visit.split == split]
        for domain in ("64mT", "3T"):
            alone = [r for r in members if r.visit.domain == domain and r.visit.subject not in both]
            subjects += [
                _CohortSubject(r.visit.id, split, {domain: r.folder}, config.dtype) for r in alone if r.folder
            ]
        for subject in sorted({r.visit.subject for r in members} & both):
            folders = {r.visit.domain: r.folder for r in members if r.visit.subject == subject and r.folder}
            if len(folders) == 2:
                subjects.append(_CohortSubject(subject, split, folders, config.dtype))
    return subjects


def _read_subject(subject: _CohortSubject) -> writer.SubjectArrays:
    """A subject's slices with enough brain, at both fields where it is a pair."""
    opened = {d: weights.read_tensors(folder, "slices") for d, folder in subject.folders.items()}
    arrays = {(d, kind): tensor.numpy() for d, slices in opened.items() for kind, tensor in slices.items()}
    masks = [slicing.keep(array) for (_, kind), array in arrays.items() if kind == MASK]
    kept = np.logical_and.reduce(masks)
    arrays = {
        key: array[kept].astype("uint8" if key[1] == MASK else subject.dtype) for key, array in arrays.items()
    }
    visits = {d: weights.read_manifest(folder) for d, folder in subject.folders.items()}
    provenance = {"slices": np.flatnonzero(kept).tolist(), "visits": visits}
    return writer.SubjectArrays(subject.id, subject.split, arrays, provenance)


def _require_enough(subjects: Sequence[_CohortSubject], workspace: Workspace) -> None:
    """Raises InputError where a split or a domain has no subject left."""
    for split, domain in NEEDED:
        if not any(s.split == split and domain in s.folders for s in subjects):
            message = f"no {domain} visit is left for {split}; {workspace.outcome} has the reasons"
            raise InputError(f"{workspace.folder}: {message}; allowed: at least one")


def _require_splits(config: ScansConfig, visits: Sequence[Visit]) -> None:
    """Raises InputError, before the long preparation, where a split is empty or the reference is unknown."""
    for split, domain in NEEDED:
        if not any(v.split == split and v.domain == domain and not v.problem for v in visits):
            pairs = len(splits.paired(visits))
            message = f"val {config.val} leaves no {domain} visit for {split}: {pairs} volunteers are paired"
            raise InputError(f"{config.root}: {message}; allowed: at least one in each split")
    training = [v.id for v in visits if v.split == "train" and v.domain == "64mT" and not v.problem]
    if config.reference and config.reference not in training:
        some = ", ".join(training[:5])
        raise InputError(
            f"reference: {config.reference!r} is not a 64 mT training visit; allowed: {some}, ..."
        )


def _record(
    workspace: Workspace,
    source: str,
    selection: Selection,
    results: Sequence[VisitResult],
    exclusions: Exclusions,
) -> None:
    rows = [
        {"id": r.visit.id, **visit_to_json(r.visit), "folder": r.folder and str(r.folder), "reason": r.reason}
        for r in results
    ]
    workspace.folder.mkdir(parents=True, exist_ok=True)
    left = [{"file": shown(each.path), "kind": each.kind, "reason": each.reason} for each in selection.left]
    outcome = {"source": source, "visits": rows, "left": left, "notes": list(selection.notes)}
    write_text(workspace.outcome, json.dumps(outcome, indent=1))
    # Read again: it may have been edited during the preparation.
    now = Exclusions.read(workspace.exclusions) if workspace.exclusions.is_file() else exclusions
    now.write(workspace.exclusions, [r.visit for r in results], {r.visit.id: r.reason for r in results})


def _head(source: str, config: ScansConfig) -> dict[str, Any]:
    grid = GRIDS[config.size]
    return {
        "cohort": source,
        "config": asdict(config),
        "spacing": grid.spacing,
        "shape": list(grid.shape),
        "dtype": config.dtype,
        "choices": CHOICES | {"mask": config.brain_mask},
    }
