"""A study, typed: what is searched, towards what, on which cohort, by what means; kept as JSON."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from platform.study.dimensions import INTERVALS, Choice, Dimension
from typing import Annotated, Any, Literal

from trainers.config import FieldError, FieldType, Range, build, check, digest, field_types, suggest

fields_of = functools.cache(field_types)
"""The fields of a configuration class; remembered, as every proposal is checked against them."""


def method_config(name: str) -> type:
    """``Config`` of trainers/methods/<name>.py; raises InputError for an unknown method."""
    from trainers.methods.base import find_method  # late: it imports torch

    config: type = find_method(name).Config
    return config


def cohort_config(source: str) -> type:
    """The configuration class of a cohort source; raises FieldError for an unknown one."""
    from trainers.cohorts.base import find_source

    return find_source(source).config


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
class Constraint:
    """A bound that a trial's metric must keep, "min" or "max": a number, or the untouched "input"'s value."""

    metric: str
    bound: Literal["min", "max"]
    value: float | Literal["input"]

    def __str__(self) -> str:
        sign = ">=" if self.bound == "min" else "<="
        value = "the input's" if self.value == "input" else f"{self.value:g}"
        return f"{self.metric} {sign} {value}"


DEFAULT_RUNGS = 3
"""Below a trial's end, where the space sets no grace."""


@dataclass(frozen=True)
class Scheduler:
    """Whether and how poor trials end early. Steps are the trial's own optimiser steps."""

    name: Literal["none", "asha"] = "none"
    grace: Annotated[int, Range(0, 10**8)] = 0
    """Steps of the first rung; 0: the default."""
    reduction: Annotated[int, Range(2, 16)] = 3
    """Rungs are so many times apart; the larger it is, the fewer trials go on from one."""
    brackets: Annotated[int, Range(1, 8)] = 1
    """Ladders among which trials are dealt, each with one rung fewer at the bottom than the one before."""
    min_results: Annotated[int, Range(0, 10**6)] = 0
    """Below so many results on a rung nothing ends there; 0: the reduction."""

    @property
    def least_results(self) -> int:
        """Results on a rung from which on trials may end there."""
        return self.min_results or self.reduction

    def rungs(self, steps: int) -> tuple[int, ...]:
        """The first ladder of a trial of ``steps``, with its end; without a scheduler, the end alone.

        By default three rungs stand below it; ``grace`` sets the lowest one.
        """
        if self.name == "none":
            return (steps,)
        if not self.grace:
            return tuple(sorted({max(1, round(steps / self.reduction**i)) for i in range(DEFAULT_RUNGS + 1)}))
        below = (self.grace * self.reduction**i for i in range(steps.bit_length()))
        return (*(rung for rung in below if rung < steps), steps)


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


_TOGETHER = [
    *(("cost", "cost_per_gpu_hour"), ("cost_per_gpu_hour", "cost")),
    *(("plateau_percent", "plateau_trials"), ("plateau_trials", "plateau_percent")),
]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a study is over: whichever comes first. 0 is no limit."""

    trials: Annotated[int, Range(1, 1_000_000)]
    hours: Annotated[float, Range(0, 100_000)] = 0.0
    """By the clock."""
    gpu_hours: Annotated[float, Range(0, 10**7)] = 0.0
    """GPUs held times hours, all trials together."""
    cost: Annotated[float, Range(0, 10**9)] = 0.0
    """Of the GPU-hours, in the currency of ``cost_per_gpu_hour``."""
    cost_per_gpu_hour: Annotated[float, Range(0, 10**6)] = 0.0
    plateau_percent: Annotated[float, Range(0, 100)] = 0.0
    """Over when the hypervolume has grown by less than this in the last ``plateau_trials``."""
    plateau_trials: Annotated[int, Range(0, 1_000_000)] = 0

    def __post_init__(self) -> None:
        """Raises FieldError for one of two limits that have a meaning only together."""
        for one, other in _TOGETHER:
            if (value := getattr(self, one)) and not getattr(self, other):
                raise FieldError(one, value, f"only together with {other}")


METHOD = "method"
"""The dimension of a study's method."""

_PLAIN = ("name", "path", "profile", "sampler", "warm", "seed", "deterministic")
_TUPLES = ("methods", "fixed", "start", "references")
_LISTED: dict[str, type] = {"objectives": Objective, "constraints": Constraint}
_NESTED: dict[str, type] = {"scheduler": Scheduler, "resources": Resources, "budget": Budget}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A validated space; made by ``platform.spaces.loader.load_study`` or :meth:`from_json`."""

    name: str
    path: str
    """The YAML it came from, as given."""
    profile: str | None
    methods: tuple[str, ...]
    """With more than one, the first dimension of ``search`` chooses among them as ``method``."""
    configs: tuple[type, ...]
    """The methods' configuration classes."""
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    sampler: str
    scheduler: Scheduler = Scheduler()
    search: tuple[Dimension, ...]
    fixed: dict[str, Any]
    start: tuple[dict[str, Any], ...]
    """Points to try first, each with a value for every field that is searched there."""
    warm: str = ""
    """An earlier study, whose finished trials this one knows; empty: none."""
    cohort: Cohort
    references: dict[str, Any]
    """Values of ReferenceConfig's fields; the others keep their defaults."""
    resources: Resources
    budget: Budget
    seed: int
    deterministic: bool = False
    """Whether the same study twice, with as many trials at a time, makes the same proposals."""

    @property
    def method(self) -> str:
        """The methods' names."""
        return ", ".join(self.methods)

    @property
    def judged(self) -> dict[str, str]:
        """Every metric that the study needs, with the section that asks for it."""
        bounded = {constraint.metric: "constraints" for constraint in self.constraints}
        return bounded | {objective.name: "objectives" for objective in self.objectives}

    @property
    def config(self) -> type:
        """The first method's configuration class."""
        return self.configs[0]

    @property
    def levels(self) -> tuple[int, ...]:
        """Steps at which the scheduler decides on a trial that trains longer; none without a scheduler."""
        return self.scheduler.rungs(max(self.steps))[:-1]

    @property
    def steps(self) -> tuple[int, ...]:
        """The least and most steps that are searched, and each method's where they are not, or not always."""
        searched = [dimension for dimension in self.search if dimension.name == "steps"]
        found = [int(value) for dimension in searched for value in extremes(dimension)]
        if not searched or searched[0].when:
            found += [self.point({METHOD: method}).steps for method in self.methods]
        return tuple(found)

    def method_of(self, params: Mapping[str, Any]) -> str:
        """The method that a point trains."""
        return str(params.get(METHOD, self.methods[0]))

    def point(self, params: Mapping[str, Any]) -> Any:
        """The method's ``Config`` of its defaults, then ``fixed``, then ``params``; an InputError if refused.

        Fields of other methods alone are left out.
        """
        config = self.configs[self.methods.index(self.method_of(params))]
        own, others = fields_of(config), {METHOD, *union(self.configs)}
        values = {**self.fixed, **params}
        return build(config, {k: value for k, value in values.items() if k in own or k not in others})

    def to_json(self) -> str:
        """Canonical JSON: equal studies give equal text."""
        return json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Content hash of everything but the path."""
        return digest(json.dumps({**self._plain(), "path": ""}, sort_keys=True))

    def _plain(self) -> dict[str, Any]:
        plain = {key: getattr(self, key) for key in (*_PLAIN, *_TUPLES)}
        plain |= {key: [asdict(each) for each in getattr(self, key)] for key in _LISTED}
        plain |= {key: asdict(getattr(self, key)) for key in _NESTED}
        plain |= {"search": [{"kind": type(d).__name__, **asdict(d)} for d in self.search]}
        return plain | {"cohort": {"source": self.cohort.source, "config": asdict(self.cohort.config)}}

    @classmethod
    def from_json(cls, text: str, classes: Classes = DEFAULT_CLASSES) -> "Study":
        """The study that :meth:`to_json` wrote; raises InputError if the code no longer has what it names."""
        plain = json.loads(text)
        configs = tuple(classes.method(name) for name in plain["methods"])
        source = plain["cohort"]["source"]
        read: dict[str, Any] = {key: plain[key] for key in _PLAIN}
        read |= {key: tuple(kind(**each) for each in plain[key]) for key, kind in _LISTED.items()}
        read |= {key: build(kind, plain[key]) for key, kind in _NESTED.items()}
        return cls(
            **read,
            methods=tuple(plain["methods"]),
            configs=configs,
            search=tuple(_dimension(values) for values in plain["search"]),
            fixed=typed(configs, plain["fixed"]),
            start=tuple(plain["start"]),
            cohort=Cohort(source, build(classes.cohort(source), plain["cohort"]["config"])),
            references=typed((classes.references(),), plain["references"]),
        )


def extremes(dimension: Dimension) -> tuple[Any, Any]:
    """The least and the greatest of a numeric field's values."""
    values = dimension.values if isinstance(dimension, Choice) else (dimension.at(0.0), dimension.at(1.0))
    return min(values), max(values)


def union(configs: Sequence[type]) -> dict[str, FieldType]:
    """The fields that any of the configurations has, as the last that has it."""
    return {name: kind for config in configs for name, kind in fields_of(config).items()}


def typed(configs: Sequence[type], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of fields, in the type of those that have them; raises FieldError for the first wrong one."""
    known = union(configs)
    for key, value in values.items():
        if key not in known:
            raise FieldError(key, value, f"{suggest(key, known)}one of {', '.join(known)}")
    return {key: check_all(configs, key, value) for key, value in values.items()}


def check_all(configs: Sequence[type], key: str, value: Any) -> Any:
    """A value that all configurations with the field ``key`` take, else FieldError; an integer stays one."""
    kinds = [fields_of(config)[key] for config in configs if key in fields_of(config)]
    return min((check(key, value, kind) for kind in kinds), key=lambda checked: isinstance(checked, float))


def _dimension(plain: dict[str, Any]) -> Dimension:
    kind, lists = plain.pop("kind"), {"when": {key: tuple(values) for key, values in plain["when"].items()}}
    if kind == Choice.__name__:
        return Choice(**{**plain, **lists, "values": tuple(plain["values"])})
    interval = next(each for each in INTERVALS.values() if each.__name__ == kind)
    return interval(**{**plain, **lists})
