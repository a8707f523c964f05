"""The options of ``translate``: their two forms, and what contradicts what."""

import argparse
import re
from pathlib import Path
from platform.tracking import store

from trainers.cohorts.scans.field_strength import LOW
from trainers.config import FieldError
from trainers.errors import InputError
from trainers.weights import MANIFEST

LEVELS = ("participant", "group")
"""Of analysis, as BIDS apps have them."""
LABEL = re.compile(r"[A-Za-z0-9]+")
"""Of a subject, in BIDS."""


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
