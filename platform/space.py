"""A search space: one YAML file, read strictly into a :class:`Study`.

    extends: base/phantom.yaml      # optional; a file, from this one's folder, with any of the keys below,
                                    # on which this one is laid like a profile
    name: asp_dmd                   # optional; of the study's folder and MLflow run; default: the file's name
    method: unsb                    # a file of trainers/methods; its Config defines the fields below
    objectives:                     # one to four of METRICS, each with its natural direction
      fid: minimize
      ms_ssim: maximize
    sampler: auto                   # auto (default), tpe, gp or random
    search:                         # what is searched: fields of Config, within the fields' own bounds
      lambda_SB: {log: [0.1, 100]}          # a number, uniform in its logarithm
      tau_m: {uniform: [0.03, 0.2]}         # a number
      refinement_steps: {int: [1, 8]}       # an integer, ends included; int_log: in its logarithm
      critic_updates: {choice: [1, 2, 5]}   # two or more values of any field but a list
    fixed: {batch_size: 4}          # other fields of Config, held at a value; the rest keep their defaults
    start_from: defaults            # tried first: defaults (the default; Config's own), none, or a list of
                                    # points {field: value} of searched fields, completed by the defaults
    cohort: {source: phantom, size: 2mm}    # a file of trainers/cohorts, and fields of its configuration
    references: {teacher_steps: 300}        # optional; fields of trainers.references.config.ReferenceConfig
    resources:                      # optional; of one trial
      cpus: 1                       # CPU cores
      gpus: 0                       # at most 1 for one worker (a fraction shares it), else one each
      workers: 1                    # processes that train the trial together
      concurrent: 0                 # trials at a time; 0 (default): as many as fit
    budget: {trials: 8, hours: 12}  # trials; optionally hours by the clock, 0 (default): no limit
    seed: 0                         # optional; of the sampler
    profiles:                       # optional variants, chosen with --profile; each may hold any key above
      laptop:                       # sections merge key by key, and a domain is replaced whole;
        search: {lambda_SB: null}   # null drops what stands above (as in RFC 7396);
        fixed: {lambda_SB: 1}       # a cohort of another source replaces the cohort

Every profile is checked on every load. An error is an InputError of one line, ``file:line: key: ...``.
"""

import re
from collections.abc import Callable
from pathlib import Path
from platform.domains import Dimension, read_dimension
from platform.placed import find_class, instance, known_key, mapping, placed, unknown, values
from platform.profiles import overlay, profile_names, read
from platform.strict_yaml import Document, PlacedError, Where, shown
from platform.study import DEFAULT_CLASSES, Budget, Classes, Cohort, Objective, Resources, Study
from typing import Any, TypeVar

from trainers.config import build, check, field_types, suggest
from trainers.errors import InputError
from trainers.metrics.names import METRICS

T = TypeVar("T")
Values = dict[str, Any]

SAMPLERS = ("auto", "tpe", "gp", "random")
MAX_OBJECTIVES = 4
FOLDER = Path(__file__).parent.parent / "search_spaces"

_KEYS = (
    *("name", "method", "objectives", "sampler", "search", "fixed", "start_from", "cohort", "references"),
    *("resources", "budget", "seed", "profiles", "extends"),
)
_VARIED = [key for key in _KEYS if key not in ("profiles", "extends")]
_REQUIRED = ("method", "objectives", "search", "cohort", "budget")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAMES = "1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
_MAX_SEED = 2**31 - 1


def find_space(name: str | Path) -> Path:
    """The file itself, else search_spaces/<name>[.yaml]; the InputError names the tried and the existing."""
    tried = (Path(name), FOLDER / name, FOLDER / f"{name}.yaml")
    for path in tried:
        if path.is_file():
            return path
    known = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    near = suggest(Path(name).stem, known)
    raise InputError(
        f"--space: no file {tried[0]}, nor {tried[2]}; {near}spaces: {', '.join(known) or 'none'}"
    )


def profile_choices(path: Path | str) -> tuple[str, ...]:
    """The profiles that a space offers."""
    return profile_names(read(path), _VARIED)


def require_name(name: str) -> str:
    """A study's name as given on the command line; raises InputError for one that cannot name a folder."""
    if not _NAME.fullmatch(name):
        raise InputError(f"--name: {name!r} is not allowed; allowed: {_NAMES}")
    return name


def load_study(path: Path | str, *, profile: str | None = None, classes: Classes = DEFAULT_CLASSES) -> Study:
    """Read and check a space, as varied by ``profile``; raises InputError for the first wrong thing in it."""
    document = read(path)
    names = profile_names(document, _VARIED)
    if profile is not None and profile not in names:
        raise document.error(("profiles",), unknown(f"profile {shown(profile)}", profile, names))
    study = _study(overlay(document, profile), profile, classes)
    for other in names:
        if other != profile:
            _study(overlay(document, other), other, classes)
    return study


class _Sections:
    """Reads the sections one by one, keeping their errors so that the first in the file can be told."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[PlacedError] = []

    def read(self, key: str, reader: Callable[..., T], *args: Any) -> T | None:
        """``reader(document, *args)``, the section's value; None if wrong, or missing though required."""
        if key in _REQUIRED and key not in self.document.data:
            return None
        try:
            return reader(self.document, *args)
        except PlacedError as error:
            self.errors.append(error)
            return None

    def settle(self) -> None:
        """Raises the first error, or that of a missing key, which may well be another one misspelt."""
        for error in sorted(self.errors, key=lambda error: error.line):
            raise error
        for key in _REQUIRED:
            if key not in self.document.data:
                raise self.document.error((), f"{key} is missing; every space has {', '.join(_REQUIRED)}")


def _study(document: Document, profile: str | None, classes: Classes) -> Study:
    sections = _Sections(document)
    config: Any = sections.read("method", find_class, ("method",), classes.method)
    sections.read("", _keys)
    read: dict[str, Any] = {
        "name": sections.read("name", _name),
        "objectives": sections.read("objectives", _objectives),
        "sampler": sections.read("sampler", _sampler),
        "cohort": sections.read("cohort", _cohort, classes),
        "references": sections.read("references", _references, classes),
        "resources": sections.read("resources", instance, ("resources",), Resources),
        "budget": sections.read("budget", instance, ("budget",), Budget),
        "seed": sections.read("seed", _seed),
    }
    if config is not None:
        read["fixed"] = sections.read("fixed", values, ("fixed",), config)
        read["search"] = sections.read("search", _search, config)
    sections.settle()
    start = _start(document, config, read["fixed"], read["search"])
    method = document.data["method"]
    return Study(path=str(document.path), profile=profile, method=method, config=config, start=start, **read)


def _keys(document: Document) -> None:
    for key in document.data:
        known_key(document, (key,), _KEYS)


def _name(document: Document) -> str:
    name = document.data.get("name", document.path.stem)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        source = "" if "name" in document.data else "; it is the file's name, so set another"
        raise document.refusal(("name",), name, f"{_NAMES}{source}")
    return name


def _objectives(document: Document) -> tuple[Objective, ...]:
    names = mapping(document, ("objectives",))
    for name, direction in names.items():
        known_key(document, ("objectives", name), METRICS)
        if direction != METRICS[name]:
            allowed = f"{METRICS[name]}, the direction in which {name} is better"
            raise document.refusal(("objectives", name), direction, allowed)
    if not 1 <= len(names) <= MAX_OBJECTIVES:
        allowed = f"1 to {MAX_OBJECTIVES} of {', '.join(METRICS)}"
        raise document.error(("objectives",), f"{len(names)} objectives are not allowed; allowed: {allowed}")
    return tuple(Objective(*item) for item in names.items())


def _sampler(document: Document) -> str:
    sampler: str = document.data.get("sampler", SAMPLERS[0])
    if sampler not in SAMPLERS:
        raise document.error(("sampler",), unknown(f"sampler {shown(sampler)}", str(sampler), SAMPLERS))
    return sampler


def _seed(document: Document) -> int:
    seed: int = document.data.get("seed", 0)
    if type(seed) is not int or not 0 <= seed <= _MAX_SEED:
        raise document.refusal(("seed",), seed, f"an integer in [0, {_MAX_SEED}]")
    return seed


def _cohort(document: Document, classes: Classes) -> Cohort:
    fields = mapping(document, ("cohort",))
    if "source" not in fields:
        raise document.error(
            ("cohort",), "source is missing; allowed: a file of trainers/cohorts, such as phantom"
        )
    config = find_class(document, ("cohort", "source"), classes.cohort)
    return Cohort(fields["source"], instance(document, ("cohort",), config, skip="source"))


def _references(document: Document, classes: Classes) -> dict[str, Any]:
    if "references" not in document.data:
        return {}
    config = classes.references()
    instance(document, ("references",), config)
    return values(document, ("references",), config)


def _search(document: Document, config: type) -> tuple[Dimension, ...]:
    fields, fixed = mapping(document, ("search",)), document.data.get("fixed")
    known = field_types(config)
    found: list[Dimension] = []
    for name in fields:
        where = ("search", name)
        known_key(document, where, known)
        if isinstance(fixed, dict) and name in fixed:
            file, line = document.place(("fixed", name))
            there = f"line {line}" if file == document.place(where)[0] else f"{file}:{line}"
            cure = f"drop one of them; a profile does so with {name}: null"
            raise document.error(where, f"both searched and fixed ({there}); {cure}")
        found.append(read_dimension(document, where, name, known[name]))
    if not found:
        raise document.error(
            ("search",), "nothing is searched; allowed: at least one field of the method's Config"
        )
    return tuple(found)


def _start(
    document: Document, config: type, fixed: Values, search: tuple[Dimension, ...]
) -> tuple[Values, ...]:
    """The points to try first; checks on the way that Config takes the defaults, and each point."""
    at = "fixed" if "fixed" in document.data else "method"
    base = placed(document, (at,), build, config, fixed)
    given = document.data.get("start_from", "defaults")
    if given == "none":
        return ()
    if given == "defaults":
        return (_point(document, ("start_from",), {}, base, search),)
    if not isinstance(given, list) or not all(isinstance(point, dict) for point in given):
        raise document.refusal(("start_from",), given, "defaults, none or a list of points {field: value}")
    points = []
    for i, partial in enumerate(given):
        point = _point(document, ("start_from", i), partial, base, search)
        placed(document, ("start_from", i), build, config, {**fixed, **point})
        points.append(point)
    return tuple(points)


def _point(
    document: Document, where: Where, given: Values, base: Any, search: tuple[Dimension, ...]
) -> Values:
    """A value within its domain for every searched field: the given one, else the default's."""
    known = field_types(type(base))
    for name in given:
        known_key(document, (*where, name), [dimension.name for dimension in search])
    point: Values = {}
    for dimension in search:
        name = dimension.name
        default = getattr(base, name)
        point[name] = placed(document, where, check, name, given.get(name, default), known[name])
        if dimension.holds(point[name]):
            continue
        if name in given:
            raise document.refusal((*where, name), given[name], f"the searched {dimension}")
        cure = f"widen the domain, name {name} in each point of start_from, or set start_from: none"
        raise document.error(("search", name), f"the default {shown(default)} is outside {dimension}; {cure}")
    return point
