"""What a study needs before its first trial, made once: the cohort, and the references trained on it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from platform.cohorts import quality_page
from platform.driver.lock import locked
from platform.execution.cluster import gpu_share, ray_map, run_watched
from platform.reporting.console import counting_bar
from platform.study.settings import CohortChoice
from platform.study.study import Study
from typing import Any

from rich.console import Console

from trainers.cohorts.base import find_source
from trainers.cohorts.scans.pipeline import ScansConfig, Workspace
from trainers.cohorts.scans.visit_preparation import VisitResult, VisitTask
from trainers.config import build
from trainers.data.store import Cohort
from trainers.data.writer import find as find_cohort
from trainers.errors import InputError
from trainers.files import one_at_a_time
from trainers.metrics.names import NEEDS_RADIMAGENET, VERSION, require_measurable_version
from trainers.places import mounts
from trainers.references import store
from trainers.references.config import ReferenceConfig
from trainers.references.degradation import ROUNDS

LOCK = "lock"
"""File in the folder of references or of a bound, locked while they are trained."""


def prepare_cohort(choice: CohortChoice, root: Path, console: Console, saved: str | None = None) -> Path:
    """The cohort's folder, made by Ray tasks where it is missing; all of it but the test split is verified.

    The result for real scans is printed, and written as a page. ``saved`` is the hash of the cohort that a
    study was started on, even if its scans have changed since; raises InputError where it no longer
    exists.
    """
    path = find_cohort(root, saved) if saved else None
    if path is None:
        try:
            path = _prepare(choice, root, console)
        finally:
            _report_quality(choice, root, console)
    cohort = Cohort.open(path)
    if saved and cohort.hash != saved:
        changed = f"was {saved[:16]} at the start, is gone and would now be {cohort.hash[:16]}"
        raise InputError(
            f"cohort: {choice.source} {changed}; allowed: the same scans and exclusions, or another --name"
        )
    cohort.verify("train", "val")
    return path


def _prepare(choice: CohortChoice, root: Path, console: Console) -> Path:
    with counting_bar(console) as bar:
        task = bar.add_task(f"cohort {choice.source}", total=None)
        # The scans of a storage that is a bucket are on this machine, or on a file system that it reads.
        here = mounts.of(root) is not None and isinstance(choice.config, ScansConfig)

        def mapper(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            subjects = list(items)
            bar.update(task, total=(bar.tasks[task].total or 0) + len(subjects))
            for entry in ray_map(function, subjects, on_crash=_on_crash, here=here):
                bar.advance(task)
                yield entry

        with _workspace(choice, root) if here else nullcontext():
            path: Path = find_source(choice.source).prepare(choice.config, root, mapper)
        if bar.tasks[task].total is None:  # it existed
            bar.update(task, total=1, completed=1)
    return path


def _workspace(choice: CohortChoice, root: Path) -> AbstractContextManager[None]:
    """The workspace of real scans as the last machine left it, for this one alone."""
    assert isinstance(choice.config, ScansConfig)
    folder = Workspace.of(choice.source, choice.config, root).folder
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder)


def _on_crash(item: Any, error: Exception) -> Any:
    """A visit whose worker crashed in every attempt is excluded; a phantom is never without a subject."""
    if not isinstance(item, VisitTask):
        raise error
    return VisitResult(item.visit, None, f"its worker died ({error.__class__.__name__})")


def _report_quality(choice: CohortChoice, root: Path, console: Console) -> None:
    if isinstance(choice.config, ScansConfig):
        workspace = Workspace.of(choice.source, choice.config, root)
        if workspace.outcome.is_file():
            for line in quality_page.write_page(workspace, Path(choice.config.root)):
                console.print(line)


def prepare_references(
    study: Study,
    cohort_path: Path,
    root: Path,
    console: Console,
    measures: int = VERSION,
    restores: bool | None = None,
) -> Path:
    """The references' folder, the missing parts trained by Ray tasks at the same time.

    ``measures``: the version of the study's; ``restores``: whether trials restore, by default whether the
    study's may. Raises InputError for a version that this code cannot measure, and for Rad-FID without its
    encoder.
    """
    require_measurable_version(measures, study.name)
    cohort, config = Cohort.open(cohort_path), build(ReferenceConfig, study.references)
    version = 1 if measures == 1 else store.VERSION  # as trained when those studies started
    folder = store.reference_folder(root, cohort, config, version)
    if "rad_fid" in study.metrics and not store.has_radiology(folder, config):
        raise InputError(f"{study.path}: {study.metrics['rad_fid']}: rad_fid: {NEEDS_RADIMAGENET}")
    restores = study.restores if restores is None else restores
    if store.missing_parts(folder, config, restores):
        with one_at_a_time(folder / LOCK, print_waiting(console, "these references")):
            totals = {part: steps(part, config) for part in store.missing_parts(folder, config, restores)}
            train = partial(store.train_with_progress, cohort_path, config, root, version)
            train_parts("reference", totals, train, folder, len(totals), console)
    return folder


def print_waiting(console: Console, what: str) -> Callable[[], None]:
    """Prints, when called, that another process is waited for."""
    return lambda: console.print(f"waiting for another process that makes {what}", markup=False)


def train_parts(
    kind: str,
    totals: Mapping[str, int],
    train: Callable[[str], None],
    folder: Path,
    at_once: int,
    console: Console,
) -> None:
    """Train parts by Ray tasks, with a progress bar each; ``totals``: their steps.

    Each task may use one in ``at_once`` of a GPU.
    """
    if not totals:  # another process has made them
        return
    files = {part: store.progress_file(folder, part) for part in totals}
    with counting_bar(console) as bar:
        rows = {part: bar.add_task(f"{kind} {part}", total=total) for part, total in totals.items()}

        def watch() -> None:
            for part, file in files.items():
                if text := file.read_text() if file.is_file() else "":
                    bar.update(rows[part], completed=int(text))

        run_watched(train, list(totals), gpu_share(at_once), watch)
        for part, file in files.items():
            bar.update(rows[part], completed=totals[part])
            file.unlink(missing_ok=True)


def steps(part: str, config: ReferenceConfig) -> int:
    """How many optimiser steps a part takes, or rounds of its estimate."""
    if part == store.RESTORATION:
        return ROUNDS
    return config.teacher_steps if part == "teacher" else config.encoder_steps
