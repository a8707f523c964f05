"""What a study needs before its first trial, made once: the cohort, and the references trained on it."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from platform.cohorts import quality_page
from platform.execution.tuner import fetched, ray_map
from platform.study.study import Cohort as CohortChoice
from platform.study.study import Study
from typing import Any

import ray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from trainers import trial
from trainers.cohorts.base import find_source
from trainers.cohorts.scans.pipeline import ScansConfig, Workspace
from trainers.cohorts.scans.visit_preparation import VisitResult, VisitTask
from trainers.config import build
from trainers.data.store import Cohort
from trainers.data.writer import find as find_cohort
from trainers.errors import InputError
from trainers.references import store
from trainers.references.config import ReferenceConfig


def prepare_cohort(choice: CohortChoice, root: Path, console: Console, begun: str | None = None) -> Path:
    """The cohort's folder, made by Ray tasks where it is not there yet; verified but for the test split.

    What became of real scans is printed, and published as a page. ``begun`` is the hash of the cohort that a
    study goes on with, whatever its scans are now; raises InputError where that one can no longer be had.
    """
    path = find_cohort(root, begun) if begun else None
    if path is None:
        try:
            path = _prepare(choice, root, console)
        finally:
            _tell_quality(choice, root, console)
    cohort = Cohort.open(path)
    if begun and cohort.hash != begun:
        changed = f"was {begun[:16]} when this was begun, is gone and would now be {cohort.hash[:16]}"
        raise InputError(
            f"cohort: {choice.source} {changed}; allowed: the same scans and exclusions, or another --name"
        )
    cohort.verify("train", "val")
    return path


def _prepare(choice: CohortChoice, root: Path, console: Console) -> Path:
    with _bar(console) as bar:
        task = bar.add_task(f"cohort {choice.source}", total=None)

        def mapper(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            subjects = list(items)
            bar.update(task, total=(bar.tasks[task].total or 0) + len(subjects))
            for entry in ray_map(function, subjects, lost=_lost):
                bar.advance(task)
                yield entry

        path: Path = find_source(choice.source).prepare(choice.config, root, mapper)
        if bar.tasks[task].total is None:  # it was there
            bar.update(task, total=1, completed=1)
    return path


def _lost(item: Any, error: Exception) -> Any:
    """A visit whose worker died in every try is set aside; a phantom without one of its subjects is none."""
    if not isinstance(item, VisitTask):
        raise error
    return VisitResult(item.visit, None, f"its worker died ({error.__class__.__name__})")


def _tell_quality(choice: CohortChoice, root: Path, console: Console) -> None:
    if isinstance(choice.config, ScansConfig):
        workspace = Workspace.of(choice.source, choice.config, root)
        if workspace.outcome.is_file():
            for line in quality_page.publish(workspace):
                console.print(line)


def prepare_references(study: Study, cohort_path: Path, root: Path, console: Console) -> Path:
    """The references' folder, the missing parts trained by Ray tasks at the same time."""
    cohort, config = Cohort.open(cohort_path), build(ReferenceConfig, study.references)
    folder = store.reference_folder(root, cohort, config)
    missing = store.missing_parts(root, cohort, config)
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _train(missing, cohort_path, config, root, folder, console)
    return folder


def _train(
    parts: list[str], cohort: Path, config: ReferenceConfig, root: Path, folder: Path, console: Console
) -> None:
    gpus = min(1.0, ray.cluster_resources().get("GPU", 0)) / len(store.PARTS)
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=2)(trial.call)
    with _bar(console) as bar:
        bars = {part: bar.add_task(f"reference {part}", total=steps(part, config)) for part in parts}
        running = [
            task.remote(partial(store.train_with_progress, cohort, config, root), part) for part in parts
        ]
        while running:
            done, running = ray.wait(running, timeout=0.5)
            for reference in done:
                fetched(reference)
            for part in parts:
                _advance(bar, bars[part], store.progress_file(folder, part))
        for part in parts:
            bar.update(bars[part], completed=steps(part, config))
            store.progress_file(folder, part).unlink(missing_ok=True)


def steps(part: str, config: ReferenceConfig) -> int:
    """How many optimiser steps a part takes."""
    return config.teacher_steps if part == "teacher" else config.encoder_steps


def _advance(bar: Progress, task: TaskID, file: Path) -> None:
    text = file.read_text() if file.is_file() else ""
    if text:
        bar.update(task, completed=int(text))


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
