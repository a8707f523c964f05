"""A search space: one YAML file, read strictly into a :class:`Study`.

    extends: base/phantom.yaml      # optional; another file, relative to this one, with any of the keys
                                    # below, which this file changes as a profile does
    name: asp_dmd                   # optional; of the study's folder and MLflow run; default: the file's name
    method: unsb                    # a file of trainers/methods, whose Config has the fields named below; or
                                    # a list, [unsb, cut]: then `method` is searched too
    objectives:                     # one to four measures (docs/measures.md), each with its direction
      fid: minimize
      ms_ssim: maximize
    constraints:                    # optional; required of the front: min, max or both for any measure,
      psnr: {min: input}            # a number, or input: the value of the untouched input
      seconds_per_volume: {max: 20} # (a number only)
    sampler: auto                   # auto (default), tpe, nsga3, gp, sobol, random, or grid (every point;
                                    # each domain needs int, int_log, choice or a step)
    scheduler: none                 # none (default): every trial trains to its end; asha: poor trials end
                                    # early; or {name: asha} with any of
                                    #   grace: 1000      steps of the lowest rung, fewer than any trial's
                                    #   reduction: 3     ratio of successive rungs' steps, 2 to 16;
                                    #                    1 / reduction^.44 of a rung's trials continue
                                    #   brackets: 1      1 to 8; each starts a rung later than the one before
                                    #   min_results: 3   no trial ends at a rung with fewer results
    search:                         # the searched fields of Config, each within the field's own bounds
      lambda_SB: {log: [0.1, 100]}          # a number, uniform in its logarithm
      tau_m: {uniform: [0.03, 0.2]}         # a number; with step: 0.01 one of .03, .04 ... .2
      refinement_steps: {int: [1, 8]}       # an integer, ends included; with step: 2 one of 1, 3, 5, 7;
                                            # int_log: uniform in its logarithm
      critic_updates: {choice: [1, 2, 5]}   # two or more values of any field except a list
      generator: {choice: [residual, image]}
      latent:                               # searched only where each field in `when` has the value, or one
        int_log: [8, 256]                   # of the values: int or choice fields above it, or method.
        when: {generator: residual}         # Fields of some methods only are searched for these.
    fixed: {batch_size: 4}          # values of other fields of Config; the rest keep their defaults
    start_from: defaults            # tried first: defaults (the default: Config's own), none, or a list of
                                    # points {field: value} of searched fields, each completed by the defaults
                                    # of its method (without one, the first method's); or
                                    # {study: NAME}: the sampler knows the trials of an earlier study, and
                                    # tries the defaults if they are in the domains, or points: as above, but
                                    # none of the known ones; the front has only this study's own trials
    cohort: {source: phantom, size: 2mm}    # a file of trainers/cohorts, and fields of its configuration
    references: {teacher_steps: 300}        # optional; fields of trainers.references.config.ReferenceConfig
    resources:                      # optional; of one trial
      cpus: 1                       # CPU cores
      gpus: 1                       # at most 1 for one worker (trials share it by fractions), else one each
      workers: 1                    # processes that train the trial together
      concurrent: 0                 # trials at a time; 0 (default): as many as fit
    recovery:                       # optional
      save_minutes: 10              # how often a trial saves its state between rungs
      hang_minutes: 30              # without progress for so long, a trial's process is started again
                                    # (default: 20 times its longest step so far, at least 10 minutes)
      retries: 1                    # after an exception of a trial's own code; a lost worker, a full disk and
                                    # other faults of the environment are waited for and never counted
      give_up_minutes: 60           # how long such a fault may last; then the search ends with exit code 3
    budget:                         # the study ends at the first limit that is reached
      trials: 8
      hours: 12                     # wall-clock time; this and the rest are optional and above 0
      gpu_hours: 40                 # GPUs times hours that trials occupy them; not where gpus is 0
      cost: 100                     # of the GPU-hours, together with
      cost_per_gpu_hour: 2.5        # (in the same currency)
      plateau_percent: 1            # the hypervolume grew by less than this
      plateau_trials: 20            # in so many last trials; both or none
    seed: 0                         # optional; of the sampler
    deterministic: false            # optional; true: the study, repeated with as many trials at a time, makes
                                    # the same proposals; not with the metric seconds_per_volume
    allow_blind: false              # optional; true: an objective may fail its sensitivity card
                                    # (docs/measures.md)
    profiles:                       # optional variants, chosen with --profile; each may have any key above
      laptop:                       # except extends; sections merge key by key, a domain is replaced whole;
        search: {lambda_SB: null}   # null removes a key (as in RFC 7396); a cohort of another source replaces
        fixed: {lambda_SB: 1}       # the whole cohort
      workstation:
        like: laptop                # optional; another profile, which this one changes
        budget: {trials: 16}

Every profile is checked at every load. An error is an InputError of one line, ``file:line: key: ...``.
"""

import os
from collections.abc import Callable
from pathlib import Path
from platform.spaces import sections
from platform.spaces.consistency import require_consistent, require_same_crop
from platform.spaces.profiles import overlay, profile_names, read
from platform.spaces.search_section import read_search
from platform.spaces.sections import NAME, NAMES
from platform.spaces.start_section import read_start
from platform.spaces.strict_yaml import Document, LocatedError, shown
from platform.spaces.typed_document import known_key, unknown
from platform.study.config_classes import DEFAULT_CLASSES, Classes
from platform.study.study import Study
from typing import Any, TypeVar

from trainers.config import suggest
from trainers.errors import InputError

T = TypeVar("T")

FOLDER = Path(__file__).parents[2] / "search_spaces"

_KEYS = (
    *("name", "method", "objectives", "constraints", "sampler", "scheduler", "search", "fixed"),
    *("start_from", "cohort", "references", "resources", "recovery", "budget", "seed", "deterministic"),
    *("allow_blind", "profiles", "extends"),
)
_PROFILE_KEYS = [key for key in _KEYS if key not in ("profiles", "extends")]
_REQUIRED = ("method", "objectives", "search", "cohort", "budget")


def find_space(name: str | Path) -> Path:
    """The file itself, else search_spaces/<name>[.yaml]; raises InputError that lists the existing spaces."""
    tried = (Path(name), FOLDER / name, FOLDER / f"{name}.yaml")
    for path in tried:
        if os.path.isfile(path):  # Path.is_file raises for a name that is too long
            return path
    known = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    near = suggest(Path(name).stem, known)
    raise InputError(
        f"--space: no file {tried[0]}, nor {tried[2]}; {near}spaces: {', '.join(known) or 'none'}"
    )


def require_name(name: str) -> str:
    """A study's name as given on the command line; raises InputError for one that cannot name a folder."""
    if not NAME.fullmatch(name):
        raise InputError(f"--name: {name!r} is not allowed; allowed: {NAMES}")
    return name


def load_study(path: Path | str, *, profile: str | None = None, classes: Classes = DEFAULT_CLASSES) -> Study:
    """Read and check a space, as varied by ``profile``; raises InputError for the first error in it."""
    return _load(read(path), profile, classes)


def load_chosen(path: Path | str, profile: str | None, on_cluster: bool) -> Study:
    """As :func:`load_study`, with a default profile; raises InputError for another crop than the references'.

    The default: ``cluster`` with ``on_cluster`` (a GPU or a cluster), else ``laptop``, if the space has it.
    """
    document = read(path)
    default = "cluster" if on_cluster else "laptop"
    chosen = profile or (default if default in profile_names(document, _PROFILE_KEYS) else None)
    study = _load(document, chosen, DEFAULT_CLASSES)
    require_same_crop(study)
    return study


def _load(document: Document, profile: str | None, classes: Classes) -> Study:
    """The study of a profile; every other profile is checked too."""
    names = profile_names(document, _PROFILE_KEYS)
    if profile is not None and profile not in names:
        raise document.error(("profiles",), unknown(f"profile {shown(profile)}", profile, names))
    study = _study(overlay(document, profile), profile, classes)
    for other in names:
        if other != profile:
            _study(overlay(document, other), other, classes)
    return study


class _SectionReader:
    """Reads the sections one by one and keeps their errors, to raise the first in the file."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[LocatedError] = []

    def read(self, key: str, reader: Callable[..., T], *args: Any) -> T | None:
        """``reader(document, *args)``, the section's value; None if it is wrong, or required and missing."""
        if key in _REQUIRED and key not in self.document.data:
            return None
        try:
            return reader(self.document, *args)
        except LocatedError as error:
            self.errors.append(error)
            return None

    def raise_first(self) -> None:
        """Raises the first error, else one for a missing key: a misspelt key explains a missing one."""
        for error in sorted(self.errors, key=lambda error: error.line):
            raise error
        for key in _REQUIRED:
            if key not in self.document.data:
                raise self.document.error((), f"{key} is missing; every space has {', '.join(_REQUIRED)}")


def _study(document: Document, profile: str | None, classes: Classes) -> Study:
    reader = _SectionReader(document)
    methods: Any = reader.read("method", sections.read_methods, classes)
    reader.read("", _keys)
    read: dict[str, Any] = {
        "name": reader.read("name", sections.read_name),
        "objectives": reader.read("objectives", sections.read_objectives),
        "constraints": reader.read("constraints", sections.read_constraints),
        "sampler": reader.read("sampler", sections.read_sampler),
        "scheduler": reader.read("scheduler", sections.read_scheduler),
        "cohort": reader.read("cohort", sections.read_cohort, classes),
        "references": reader.read("references", sections.read_references, classes),
        "resources": reader.read("resources", sections.read_resources),
        "recovery": reader.read("recovery", sections.read_recovery),
        "budget": reader.read("budget", sections.read_budget),
        "seed": reader.read("seed", sections.read_seed),
        "deterministic": reader.read("deterministic", sections.read_flag, "deterministic"),
        "allow_blind": reader.read("allow_blind", sections.read_flag, "allow_blind"),
    }
    if methods is not None:
        read["fixed"] = reader.read("fixed", sections.read_fixed, methods)
        read["search"] = reader.read("search", read_search, methods)
    reader.raise_first()
    read["start"], read["warm"] = read_start(document, methods, read["fixed"], read["search"])
    names, configs = tuple(methods), tuple(methods.values())
    study = Study(path=str(document.path), profile=profile, methods=names, configs=configs, **read)
    require_consistent(document, study)
    return study


def _keys(document: Document) -> None:
    for key in document.data:
        known_key(document, (key,), _KEYS)
