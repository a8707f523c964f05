"""All visits of a call of ``translate``: chosen, translated one after the other, described as a data set."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from platform.models import derivatives, fidelity
from platform.models.options import series
from platform.models.scan_inputs import Job, from_bids, from_files
from platform.models.translation import TranslationSettings, translate_visit
from platform.reporting.console import console
from platform.storage.layout import require_writable_folder

from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.listing import left_in_words, write_listing
from trainers.cohorts.scans.visits import Selection
from trainers.config import FieldError
from trainers.errors import InputError
from trainers.export import Translator


def planned(options: argparse.Namespace, work: Path) -> tuple[list[Job], Selection]:
    """The visits to translate, and what was chosen of a BIDS folder; prints what is not used."""
    if not options.bids:
        scans = {c: path for c in ("T1", "T2") if (path := getattr(options, c.lower()))}
        given = scans, options.mask, options.output, work, series(options), options.subject
        return [from_files(*given)], Selection(())
    filters = Filters.of(options.filter, options.filters)
    jobs, selection = from_bids(options.bids, options.output, filters, bool(options.field_strength))
    if options.participant_label:
        jobs = of_subjects(jobs, options.participant_label)
    left = left_in_words(each.kind for each in selection.left)
    for line in (*selection.notes, *([left] if left else [])):
        console.print(line)
    return jobs, selection


def of_subjects(jobs: Sequence[Job], labels: Sequence[str]) -> list[Job]:
    """The jobs of the labels, given with ``sub-`` or without; raises InputError for one without any."""
    known = {job.visit.split("_")[0] for job in jobs}
    wanted = [f"sub-{label.removeprefix('sub-')}" for label in labels]
    if missing := [subject for subject in wanted if subject not in known]:
        raise FieldError("--participant-label", missing[0], ", ".join(sorted(known)))
    return [job for job in jobs if job.visit.split("_")[0] in wanted]


def translate_all(
    settings: TranslationSettings,
    jobs: Sequence[Job],
    translator: Translator,
    source: Path | None,
    selection: Selection,
) -> int:
    """Translate visits, and describe the data set that they make; returns how many failed.

    Raises InputError for the only visit of a call.
    """
    for line in fidelity.worse_than_input(fidelity.confirmed(translator)):
        console.print(f"warning: {settings.model_name}: {line}")
    failed: dict[str, str] = {}
    for job in jobs:
        try:
            translate_visit(settings, job, translator)
        except InputError as error:
            if len(jobs) == 1:
                raise
            failed[job.visit] = str(error)
            console.print(f"error: {error}")
            continue
        derivatives.describe(job.output, settings.model_name, settings.version, source)
    if source is not None and len(failed) < len(jobs):
        visits = [replace(v, problem=failed.get(v.id, v.problem)) for v in selection.visits]
        write_listing(jobs[0].output / derivatives.LISTING, replace(selection, visits=visits))
    return len(failed)


@contextlib.contextmanager
def output_folder(output: Path) -> Iterator[None]:
    """The output folder, removed again where nothing was written; raises InputError where it cannot be."""
    made = [each for each in (output, *output.parents) if not each.exists()]
    try:
        require_writable_folder(output)
    except OSError as error:
        reason = f"{output} cannot be written ({error.strerror})"
        raise InputError(f"--output: {reason}; allowed: a folder") from error
    try:
        derivatives.require_own(output)
        yield
    except BaseException:
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()
        raise
