"""``python -m platform.translate MODEL --t1 t1.nii.gz --t2 t2.nii.gz -o out/``: 64 mT scans to 3 T-like ones.

Research use only: the outputs are synthetic and not for diagnosis. Scans may be NIfTI files, DICOM series
(folders) or a BIDS folder.
"""

import argparse
import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from platform import cli
from platform.storage.layout import require_writable_folder
from platform.tracking import store
from typing import TYPE_CHECKING

from trainers.cohorts.scans.field_strength import LOW
from trainers.config import FieldError
from trainers.errors import InputError

if TYPE_CHECKING:
    from platform.models.scan_inputs import Job
    from platform.models.translation import TranslationSettings

    from trainers.cohorts.scans.visits import Selection
    from trainers.export import Translator

MANIFEST = "manifest.json"
LEVELS = ("participant", "group")
"""Of analysis, as BIDS apps have them."""
LABEL = re.compile(r"[A-Za-z0-9]+")
"""Of a subject, in BIDS."""
BRAIN_MASKS = ("auto", "template", "hd-bet", "synthstrip", "given")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("translate", "models:/asp_dmd@champion --t1 t1.nii.gz --t2 t2.nii.gz -o out/")
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WHAT",
        help="MODEL: models:/NAME@ALIAS, models:/NAME/VERSION or a model's folder; "
        "or as a BIDS app: BIDS OUT participant|group",
    )
    parser.add_argument("--model", default="", help="of a BIDS app")
    parser.add_argument(
        "--participant-label", nargs="+", default=[], metavar="LABEL", help="of --bids: these subjects alone"
    )
    for contrast in ("T1", "T2"):
        option, low = f"--{contrast.lower()}", f"{contrast}w scan at 64 mT: a NIfTI file or a DICOM folder"
        parser.add_argument(option, type=Path, help=low)
        parser.add_argument(
            f"{option}-reference", type=Path, help=f"paired 3 T {contrast}w NIfTI, for the PSNR"
        )
    parser.add_argument("--bids", type=Path, metavar="DIR", help="a BIDS folder: all its 64 mT visits")
    parser.add_argument(
        "--subject",
        default="",
        metavar="LABEL",
        help="names the outputs (default: the scan's own, or a hash)",
    )
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="[T1=|T2=]NAME",
        help="of a DICOM folder with several series: its name or number",
    )
    parser.add_argument(
        "--filter", default="", metavar="ENTITY=VALUE,...", help="which scans of --bids, as acq=AXI,run=2"
    )
    parser.add_argument("--filters", default="", metavar="JSON", help="a file that says so for each contrast")
    parser.add_argument(
        "--field-strength", type=float, metavar="TESLA", help="of scans of which no sidecar or name says it"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --bids: also visits whose scans may be of two people"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the translated scans")
    parser.add_argument(
        "--brain-mask",
        choices=BRAIN_MASKS,
        default="auto",
        help="how brains are found; given: by --mask, or the scans are brain-extracted (default: auto)",
    )
    parser.add_argument("--mask", type=Path, help="brain mask on the grid of T1, or of T2 alone")
    parser.add_argument(
        "--uncertainty", type=int, metavar="DRAWS", help="also map the spread over so many latents"
    )
    parser.add_argument("--storage", default="runs", help="folder of the default MLflow (default: runs)")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    return as_bids_app(parser.parse_args(argv))


def as_bids_app(options: argparse.Namespace) -> argparse.Namespace:
    """The options, those of ``BIDS OUT LEVEL --model MODEL`` as of ``MODEL --bids BIDS -o OUT``."""
    options.level = "participant"
    match options.words:
        case [model] if not options.model:
            options.model = model
        case [bids, output, level] if level in LEVELS and options.bids is None and options.output is None:
            options.bids, options.output, options.level = Path(bids), Path(output), level
        case words:
            forms = f"MODEL, or BIDS OUT {'|'.join(LEVELS)} with --model MODEL"
            raise InputError(f"{' '.join(words)!r} is not understood; allowed: {forms}")
    if options.level == "participant" and not options.model:
        raise InputError("--model: is missing; allowed: models:/NAME@ALIAS, models:/NAME/VERSION or a folder")
    if options.output is None:
        raise InputError("-o/--output: is missing; allowed: a folder for the translated scans")
    return options


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    if options.level == "group":
        from platform.models import group
        from platform.reporting.console import console

        for path in group.write(options.output):
            console.print(path)
        return
    require_consistent(options)

    # Late: torch and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.models.registry import fetch
    from platform.models.translation import TranslationSettings

    from trainers.export import Translator

    references = {c: path for c in ("T1", "T2") if (path := getattr(options, f"{c.lower()}_reference"))}
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        model = stack.enter_context(fetch(options.model, options.tracking, options.storage))
        stack.enter_context(output_folder(options.output))
        jobs, selection = planned(options, Path(work))
        translator = Translator.open(model.folder)
        chosen = options.model, model.version, options.brain_mask, options.uncertainty or 1
        how = bool(options.bids), options.force, options.field_strength
        settings = TranslationSettings(*chosen, references, *how)
        failed = translate_all(settings, jobs, translator, options.bids, selection)
    if failed:
        raise InputError(f"{failed} of {len(jobs)} visits were not translated; the lines above say why")


def planned(options: argparse.Namespace, work: Path) -> "tuple[list[Job], Selection]":
    """The visits to translate, and what was chosen of a BIDS folder; prints what is not used."""
    from platform.models.scan_inputs import from_bids, from_files
    from platform.reporting.console import console

    from trainers.cohorts.scans.filters import Filters
    from trainers.cohorts.scans.listing import left_in_words
    from trainers.cohorts.scans.visits import Selection

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


def of_subjects(jobs: "Sequence[Job]", labels: Sequence[str]) -> "list[Job]":
    """The jobs of the labels, given with ``sub-`` or without; raises InputError for one without any."""
    known = {job.visit.split("_")[0] for job in jobs}
    wanted = [f"sub-{label.removeprefix('sub-')}" for label in labels]
    if missing := [subject for subject in wanted if subject not in known]:
        raise FieldError("--participant-label", missing[0], ", ".join(sorted(known)))
    return [job for job in jobs if job.visit.split("_")[0] in wanted]


def translate_all(
    settings: "TranslationSettings",
    jobs: "Sequence[Job]",
    translator: "Translator",
    source: Path | None,
    selection: "Selection",
) -> int:
    """Translate visits, and describe the data set that they make; returns how many failed.

    Raises InputError for the only visit of a call.
    """
    from platform.models import derivatives
    from platform.models.translation import translate_visit
    from platform.reporting.console import console

    from trainers.cohorts.scans.listing import write_listing

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
        told = [replace(v, problem=failed.get(v.id, v.problem)) for v in selection.visits]
        write_listing(jobs[0].output / derivatives.LISTING, replace(selection, visits=told))
    return len(failed)


def series(options: argparse.Namespace) -> dict[str, str]:
    """The chosen DICOM series by contrast."""
    chosen: dict[str, str] = {}
    for text in options.series:
        contrast, sign, name = text.partition("=")
        chosen |= {contrast.upper(): name} if sign else dict.fromkeys(("T1", "T2"), text)
    for contrast in chosen:
        folder = getattr(options, contrast.lower(), None) if contrast in ("T1", "T2") else None
        if contrast not in ("T1", "T2"):
            raise FieldError("--series", contrast, "T1=NAME, T2=NAME or NAME")
        if folder is not None and not folder.is_dir():
            raise FieldError("--series", chosen[contrast], f"with a DICOM folder; {folder} is a file")
    return chosen


def require_consistent(options: argparse.Namespace) -> None:
    """Raises InputError for options that contradict each other."""
    if bool(options.bids) == bool(options.t1 or options.t2):
        raise InputError("--bids: give either a BIDS folder or --t1 and --t2; allowed: one of the two")
    if options.bids and (options.mask or options.t1_reference or options.t2_reference):
        raise InputError("--bids: takes no --mask and no reference; allowed: masks inside the BIDS folder")
    series(options)
    if options.subject and (options.bids or not LABEL.fullmatch(options.subject)):
        allowed = (
            "with --t1 and --t2, which have none in a BIDS folder" if options.bids else "letters and digits"
        )
        raise FieldError("--subject", options.subject, allowed)
    if options.force and not options.bids:
        raise InputError("--force: scans given by name are translated anyway; allowed: with --bids")
    if (options.filter or options.filters) and not options.bids:
        raise InputError("--filter: chooses among files of a BIDS folder; allowed: with --bids")
    strength = options.field_strength
    if strength is not None and not LOW[0] <= strength <= LOW[1]:
        limits = f"{LOW[0]:g} to {LOW[1]:g}, as models translate scans of about 0.064 T"
        raise FieldError("--field-strength", strength, limits)
    if options.mask and options.brain_mask not in ("auto", "given"):
        raise InputError(f"--mask: not used with --brain-mask {options.brain_mask}; allowed: given")
    if options.uncertainty is not None and options.uncertainty < 2:
        raise InputError(f"--uncertainty: {options.uncertainty} is not allowed; allowed: 2 or more")
    if options.tracking is not None:
        store.require_known(options.tracking)
    for path in (options.t1, options.t2, options.mask, options.t1_reference, options.t2_reference):
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)")
    if options.bids and not options.bids.is_dir():
        raise InputError(f"--bids: {options.bids} is no folder; allowed: a BIDS folder")
    if not options.model.startswith("models:/") and not Path(options.model, MANIFEST).is_file():
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION or its folder"
        raise InputError(f"model: {options.model!r} is no exported model; allowed: {forms}")


@contextlib.contextmanager
def output_folder(output: Path) -> Iterator[None]:
    """The output folder, removed again where nothing was written; raises InputError where it cannot be."""
    from platform.models import derivatives

    try:
        stack = contextlib.ExitStack()
        stack.enter_context(derivatives.kept_if_used(output))
        require_writable_folder(output)
    except OSError as error:
        reason = f"{output} cannot be written ({error.strerror})"
        raise InputError(f"--output: {reason}; allowed: a folder") from error
    derivatives.require_own(output)
    with stack:
        yield


if __name__ == "__main__":
    cli.run(main)
