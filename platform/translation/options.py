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
OF_FILES = {
    "t1": "scans given by name",
    "t2": "scans given by name",
    "t1_reference": "the reference of a scan given by name",
    "t2_reference": "the reference of a scan given by name",
    "mask": "of a scan given by name; masks of a BIDS folder are inside it",
    "subject": "names the outputs of scans that have no label in a BIDS folder",
    "series": "chooses in a DICOM folder",
}
"""Options that a BIDS folder does not take, each with what it is."""
OF_FOLDERS = {
    "participant_label": "chooses among subjects of a BIDS folder",
    "filter": "chooses among files of a BIDS folder",
    "filters": "chooses among files of a BIDS folder",
    "force": "scans given by name are translated anyway",
    "views": "chooses among files of a BIDS folder",
}
"""Options that only a BIDS folder takes."""
MOST_VIEWS = 3
"""Of a contrast."""
OF_VISITS = {
    **OF_FILES,
    **OF_FOLDERS,
    "field_strength": "of scans that are translated",
    "uncertainty": "of scans that are translated",
    "check": "of scans that are translated",
}
"""Options that the group level does not take."""


def as_bids_app(options: argparse.Namespace) -> argparse.Namespace:
    """The options, those of ``BIDS OUT LEVEL --model MODEL`` as of ``MODEL --bids BIDS -o OUT``."""
    options.level = "participant"
    options.given = {c: getattr(options, c.lower()) for c in ("T1", "T2")}
    options.t1, options.t2 = (paths[0] if paths else None for paths in options.given.values())
    match options.words:
        case [model] if not options.model:
            options.model = model
        case [bids, output, level] if level in LEVELS and options.bids is None and options.output is None:
            options.bids, options.output, options.level = Path(bids), Path(output), level
        case words:
            forms = f"MODEL, or BIDS OUT {'|'.join(LEVELS)} with --model MODEL"
            raise InputError(f"{' '.join(words)!r} is not understood; allowed: {forms}")
    if options.level == "group":
        _refuse(options, OF_VISITS, "at the participant level")
        if options.brain_mask != "auto":
            raise InputError("--brain-mask: of scans that are translated; allowed: at the participant level")
    elif not options.model:
        raise InputError("--model: is missing; allowed: models:/NAME@ALIAS, models:/NAME/VERSION or a folder")
    if options.output is None:
        raise InputError("-o/--output: is missing; allowed: a folder for the translated scans")
    return options


def series(options: argparse.Namespace) -> dict[str, str]:
    """The chosen DICOM series by contrast; raises InputError for one that chooses nothing, or twice."""
    given = {c: path for c in ("T1", "T2") if (path := getattr(options, c.lower()))}
    folders = [c for c, path in given.items() if path.is_dir()]
    chosen: dict[str, str] = {}
    for text in options.series:
        contrast, sign, name = text.partition("=")
        wanted = {contrast.upper(): name} if sign else dict.fromkeys(folders or given, text)
        for each in wanted.keys() - {"T1", "T2"}:
            raise FieldError("--series", each, "T1=NAME, T2=NAME or NAME")
        if not all(wanted.values()) or chosen.keys() & wanted.keys():
            raise FieldError("--series", text, "one name for each DICOM folder")
        chosen |= wanted
    for contrast in sorted(chosen.keys() - set(folders)):
        there = f"{given[contrast]} is a file" if contrast in given else f"--{contrast.lower()} is missing"
        raise FieldError("--series", chosen[contrast], f"with a DICOM folder; {there}")
    return chosen


def require_consistent(options: argparse.Namespace) -> None:
    """Raises InputError for options that contradict each other."""
    if bool(options.bids) == bool(options.t1 or options.t2):
        raise InputError("--bids: give either a BIDS folder or --t1 and --t2; allowed: one of the two")
    if options.bids:
        _refuse(options, OF_FILES, "with --t1 and --t2")
    else:
        _refuse(options, OF_FOLDERS, "with --bids")
    _require_values(options)
    scans = [path for paths in options.given.values() for path in paths]
    for path in (*scans, options.mask, options.t1_reference, options.t2_reference):
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)")
    series(options)
    if options.bids and not options.bids.is_dir():
        raise InputError(f"--bids: {options.bids} is no folder; allowed: a BIDS folder")
    if not options.model.startswith("models:/") and not Path(options.model, MANIFEST).is_file():
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION or its folder"
        raise InputError(f"model: {options.model!r} is no exported model; allowed: {forms}")


def _refuse(options: argparse.Namespace, names: dict[str, str], where: str) -> None:
    """Raises InputError for the first given option of ``names``, which is for elsewhere."""
    for name, what in names.items():
        if getattr(options, name) not in (None, "", [], False):
            raise InputError(f"--{name.replace('_', '-')}: {what}; allowed: {where}")


def _require_values(options: argparse.Namespace) -> None:
    for contrast in ("t1", "t2"):
        if getattr(options, f"{contrast}_reference") and not getattr(options, contrast):
            raise InputError(f"--{contrast}-reference: is of no scan; allowed: with --{contrast}")
    if options.subject and not LABEL.fullmatch(options.subject):
        raise FieldError("--subject", options.subject, "letters and digits")
    strength = options.field_strength
    if strength is not None and not LOW[0] <= strength <= LOW[1]:
        limits = f"{LOW[0]:g} to {LOW[1]:g}, as models translate scans of about 0.064 T"
        raise FieldError("--field-strength", strength, limits)
    if options.mask and options.brain_mask not in ("auto", "given"):
        raise InputError(f"--mask: not used with --brain-mask {options.brain_mask}; allowed: given")
    several = options.views == "all" or any(len(paths) > 1 for paths in options.given.values())
    if options.uncertainty is not None and several:
        raise InputError("--uncertainty: is not of several views, whose disagreement is; allowed: with one")
    if options.check and several:
        raise InputError("--check: compares slices of one view, and several are fused; allowed: with one")
    for contrast, paths in options.given.items():
        if len(paths) > MOST_VIEWS:
            raise FieldError(f"--{contrast.lower()}", len(paths), f"1 to {MOST_VIEWS}, one of each plane")
    if options.uncertainty is not None and options.uncertainty < 2:
        raise InputError(f"--uncertainty: {options.uncertainty} is not allowed; allowed: 2 or more")
    if options.tracking is not None:
        store.require_known(options.tracking)
