"""All visits of a call of ``translate``: chosen, translated one after the other, described as a data set."""

import argparse
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from platform.reporting.console import console
from platform.storage import data_set, outcomes
from platform.storage.layout import require_writable_folder
from platform.translation import derivatives, fidelity
from platform.translation.options import series
from platform.translation.scan_inputs import Job, from_bids, from_files
from platform.translation.visit import TranslationSettings, translate_visit

import torch

from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.listing import left_in_words
from trainers.cohorts.scans.visits import Selection
from trainers.cohorts.scans.wording import some
from trainers.config import FieldError
from trainers.data import channels
from trainers.errors import InputError
from trainers.export import Translator


def planned(options: argparse.Namespace, work: Path) -> tuple[list[Job], Selection]:
    """The visits to translate, and what was chosen of a BIDS folder; prints what is not used."""
    if not options.bids:
        scans = {c: path for c in ("T1", "T2") if (path := getattr(options, c.lower()))}
        given = scans, options.mask, options.output, work, series(options), options.subject
        several = any(len(paths) > 1 for paths in options.given.values())
        return [from_files(*given, options.given if several else None)], Selection(())
    filters = Filters.of(options.filter, options.filters)
    known = bool(options.field_strength)
    jobs, selection = from_bids(options.bids, options.output, filters, known, options.views == "all")
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
        raise FieldError("--participant-label", missing[0], some(sorted(known), ", "))
    return [job for job in jobs if job.visit.split("_")[0] in wanted]


def translate_all(
    settings: TranslationSettings,
    jobs: Sequence[Job],
    translator: Translator,
    source: Path | None,
    selection: Selection,
) -> int:
    """Translate visits, and describe the data set that they make; returns how many failed.

    The outcomes are written after each visit of a BIDS folder, the ``source``. Raises InputError for the only
    visit of a call, for a reference that is not used, and where the data set cannot be described.
    """
    _require_used(settings.references, translator)
    for line in fidelity.worse_than_input(fidelity.confirmed(translator)):
        console.print(f"warning: {settings.model_name}: {line}")
    root, reasons = jobs[0].output, dict.fromkeys((job.visit for job in jobs), outcomes.UNFINISHED)
    if source is not None:
        derivatives.describe(root, source)
        outcomes.record(root, source, selection, reasons)
    failed = 0
    for job in jobs:
        error = _failure(settings, job, translator)
        reasons[job.visit] = str(error or "")
        if source is not None:
            _record_or_warn(root, source, selection, reasons)
        if error and len(jobs) == 1:
            raise error
        if error:
            console.print(f"error: {error}")
            failed += 1
    return failed


def _require_used(references: Iterable[str], translator: Translator) -> None:
    """Raises InputError for the reference of a contrast that the model does not translate."""
    translated = channels.contrasts(translator.channels)
    for contrast in references:
        if contrast not in translated:
            allowed = f"references of what this model translates, {' and '.join(translated)}"
            raise InputError(f"--{contrast.lower()}-reference: is not used; allowed: {allowed}")


def _failure(settings: TranslationSettings, job: Job, translator: Translator) -> InputError | None:
    """Translate a visit; what was wrong with it, or with the machine while it was translated."""
    try:
        translate_visit(settings, job, translator)
    except InputError as error:
        return _of_sources(job, str(error), error)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _of_sources(job, f"{what}; allowed: files that can be read, a folder with room", error)
    except (MemoryError, torch.OutOfMemoryError) as error:
        text = f"there is not enough memory for it ({str(error).partition(chr(10))[0]})"
        return _of_sources(job, f"{text}; allowed: a smaller scan, or more memory", error)
    return None


def _of_sources(job: Job, text: str, cause: Exception) -> InputError:
    """The error, which names what the user gave in place of what was converted from it."""
    for contrast, path in job.paths.items():
        text = text.replace(str(path), str(job.sources[contrast]))
    if isinstance(cause, InputError):
        return InputError(text)
    error = InputError(f"{next(iter(job.sources.values()))}: {text}")
    error.__cause__ = cause
    return error


def _record_or_warn(root: Path, source: Path, selection: Selection, reasons: Mapping[str, str]) -> None:
    """A table that cannot be written, as where a disk is full, does not stop the visits that follow."""
    try:
        outcomes.record(root, source, selection, reasons)
    except InputError as error:
        console.print(f"warning: {outcomes.LISTING} is not up to date: {error}")


@contextlib.contextmanager
def output_folder(output: Path, source: Path | None = None) -> Iterator[None]:
    """The output folder of a ``source``, removed again where nothing was written.

    Raises InputError where it cannot be written, or is another data set.
    """
    made = [each for each in (output, *output.parents) if not each.exists()]
    with data_set.writing("--output", output):
        require_writable_folder(output)
    try:
        derivatives.require_own(output, source)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()
        raise
