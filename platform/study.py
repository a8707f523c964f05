"""A study, typed: what is searched, towards what, on which cohort, by what means; kept as JSON."""

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from platform.domains import INTERVALS, Choice, Dimension
from typing import Annotated, Any

import trainers.cohorts
from trainers.config import FieldError, Range, build, check, digest, field_types, suggest


def method_config(name: str) -> type:
    """``Config`` of trainers/methods/<name>.py; raises InputError for an unknown method."""
    from trainers.methods.base import find_method  # late: it imports torch

    config: type = find_method(name).Config
    return config


def cohort_module(source: str) -> Any:
    """The module of trainers/cohorts that makes cohorts of a source; ``zenodo+ixi`` is zenodo_ixi.py."""
    return importlib.import_module(f"trainers.cohorts.{source.replace('+', '_')}")


def cohort_config(source: str) -> type:
    """``<Source>Config`` of trainers/cohorts/<source>.py; raises InputError for an unknown source."""
    known = cohort_sources()
    if source not in known:
        raise FieldError("source", source, f"{suggest(source, known)}one of {', '.join(known)}")
    config: type = getattr(cohort_module(source), known[source])
    return config


def cohort_sources() -> dict[str, str]:
    """The name of every source's configuration class, found without importing any."""
    known = {}
    for file in sorted(path for folder in trainers.cohorts.__path__ for path in Path(folder).glob("*.py")):
        name = file.stem.replace("_", "")
        text = file.read_text("utf-8")
        if match := re.search(rf"^class ({name}config)\b", text, re.IGNORECASE | re.MULTILINE):
            known[file.stem.replace("_", "+")] = match[1]
    return known


def reference_config() -> type:
    """The configuration class of the cohort's references."""
    from trainers.references.config import ReferenceConfig

    return ReferenceConfig


@dataclass(frozen=True)
class Classes:
    """Where a study finds the configuration classes that it names."""

    method: Callable[[str], type] = method_config
    cohort: Callable[[str], type] = cohort_config
    references: Callable[[], type] = reference_config


DEFAULT_CLASSES = Classes()


@dataclass(frozen=True)
class Objective:
    """A metric and its natural direction, "minimize" or "maximize"."""

    name: str
    direction: str


@dataclass(frozen=True)
class Cohort:
    """A cohort's source and its configuration, an instance of that source's class."""

    source: str
    config: Any


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial takes. ``cpus`` and ``gpus`` are shared among its ``workers``."""

    cpus: Annotated[int, Range(1, 1024)] = 1
    gpus: Annotated[float, Range(0, 1024)] = 0.0
    """A fraction lets several trials of one worker share a GPU; its memory is not divided."""
    concurrent: Annotated[int, Range(0, 100_000)] = 0
    """Trials at a time; 0: as many as fit."""
    workers: Annotated[int, Range(1, 1024)] = 1
    """Processes that train one trial together."""

    def __post_init__(self) -> None:
        """Raises FieldError unless each worker has one GPU (a lone one, at most one) or none has any."""
        if self.workers == 1 and self.gpus > 1:
            raise FieldError(
                "gpus",
                self.gpus,
                f"0 to 1 for 1 worker; a process uses one GPU, so set workers: {self.gpus:g}",
            )
        if self.workers > 1 and self.gpus not in (0, self.workers):
            raise FieldError(
                "gpus", self.gpus, f"0 or {self.workers}, one for each of the {self.workers} workers"
            )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a study is over."""

    trials: Annotated[int, Range(1, 1_000_000)]
    hours: Annotated[float, Range(0, 100_000)] = 0.0
    """Wall-clock hours; 0: no limit."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A validated space; made by ``platform.space.load_study`` or :meth:`from_json`."""

    name: str
    path: str
    """The YAML it came from, as given."""
    profile: str | None
    method: str
    config: type
    """The method's configuration class."""
    objectives: tuple[Objective, ...]
    sampler: str
    search: tuple[Dimension, ...]
    fixed: dict[str, Any]
    start: tuple[dict[str, Any], ...]
    """Points to try first, each with a value for every searched field."""
    cohort: Cohort
    references: dict[str, Any]
    """Values of ReferenceConfig's fields; the others keep their defaults."""
    resources: Resources
    budget: Budget
    seed: int

    def point(self, params: Mapping[str, Any]) -> Any:
        """The ``Config`` of its defaults, then ``fixed``, then ``params``; an InputError if it refuses."""
        return build(self.config, {**self.fixed, **params})

    def to_json(self) -> str:
        """Canonical JSON: equal studies give equal text."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Content hash of everything but the path."""
        return digest(json.dumps({**self._plain(), "path": ""}, sort_keys=True))

    def _plain(self) -> dict[str, Any]:
        plain = {
            key: getattr(self, key)
            for key in ("name", "path", "profile", "method", "sampler", "seed", "fixed")
        }
        plain |= {"objectives": [asdict(objective) for objective in self.objectives]}
        plain |= {"start": list(self.start), "references": self.references}
        plain |= {"search": [{"kind": type(d).__name__, **asdict(d)} for d in self.search]}
        plain |= {"cohort": {"source": self.cohort.source, "config": asdict(self.cohort.config)}}
        return plain | {"resources": asdict(self.resources), "budget": asdict(self.budget)}

    @classmethod
    def from_json(cls, text: str, classes: Classes = DEFAULT_CLASSES) -> "Study":
        """The study that :meth:`to_json` wrote; raises InputError if the code no longer has what it names."""
        plain = json.loads(text)
        config = classes.method(plain["method"])
        source = plain["cohort"]["source"]
        return cls(
            **{key: plain[key] for key in ("name", "path", "profile", "method", "sampler", "seed")},
            config=config,
            objectives=tuple(Objective(**values) for values in plain["objectives"]),
            search=tuple(_dimension(values) for values in plain["search"]),
            fixed=typed(config, plain["fixed"]),
            start=tuple(typed(config, point) for point in plain["start"]),
            cohort=Cohort(source, build(classes.cohort(source), plain["cohort"]["config"])),
            references=typed(classes.references(), plain["references"]),
            resources=build(Resources, plain["resources"]),
            budget=build(Budget, plain["budget"]),
        )


def typed(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a configuration's fields, in the fields' types; raises FieldError for the first wrong one."""
    known = field_types(config)
    for key, value in values.items():
        if key not in known:
            raise FieldError(key, value, f"{suggest(key, known)}one of {', '.join(known)}")
    return {key: check(key, value, known[key]) for key, value in values.items()}


def _dimension(plain: dict[str, Any]) -> Dimension:
    name = plain["name"]
    if plain["kind"] == Choice.__name__:
        return Choice(name, tuple(plain["values"]))
    interval = next(kind for kind in INTERVALS.values() if kind.__name__ == plain["kind"])
    return interval(name, plain["low"], plain["high"])
