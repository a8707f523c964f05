"""Reads and checks the single sections of a space; every function raises LocatedError for an error in it."""

import re
from collections.abc import Iterable, Mapping
from platform.spaces.strict_yaml import Document, Where, shown
from platform.spaces.typed_document import find_class, instance, known_key, located, mapping, unknown, values
from platform.study.budget import Budget
from platform.study.config_classes import Classes, check_all, union
from platform.study.settings import (
    SAMPLERS,
    CohortChoice,
    Constraint,
    Objective,
    Recovery,
    Resources,
    Scheduler,
    SchedulerName,
)
from typing import Any, get_args

from trainers.config import build, field_types, with_later_fields
from trainers.metrics.names import CONSTRAINABLE, OBJECTIVES, value_range

SCHEDULERS = get_args(SchedulerName)
MAX_OBJECTIVES = 4
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAMES = "1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"

_MAX_SEED = 2**31 - 1


def read_methods(document: Document, classes: Classes) -> dict[str, type]:
    """The configuration class of each method."""
    given = document.data["method"]
    if not isinstance(given, list):
        return {given: find_class(document, ("method",), classes.method)}
    if not given:
        raise document.refusal(("method",), given, "a name, or a list of names")
    configs: dict[str, type] = {}
    for i, name in enumerate(given):
        config = find_class(document, ("method", i), classes.method)
        if name in configs:
            raise document.error(("method", i), f"{shown(name)} is there twice; allowed: distinct names")
        configs[name] = config
    return configs


def read_fixed(document: Document, methods: Mapping[str, type]) -> dict[str, Any]:
    """The fixed values, each valid for every method that has the field."""
    configs = tuple(methods.values())
    known, fixed = union(configs), {}
    for key, value in mapping(document, ("fixed",)).items():
        known_key(document, ("fixed", key), known)
        fixed[key] = located(document, ("fixed",), check_all, configs, key, value)
    return fixed


def read_name(document: Document) -> str:
    """The study's name, by default the file's."""
    name = document.data.get("name", document.path.stem)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        source = "" if "name" in document.data else "; it is the file's name, so set another"
        if isinstance(name, int | float) and not isinstance(name, bool):
            source = f"; this is a number: in quotes, '{name}', it is text"
        raise document.refusal(("name",), name, f"{NAMES}{source}")
    return name


def read_objectives(document: Document) -> tuple[Objective, ...]:
    """One to four metrics with their directions."""
    names = mapping(document, ("objectives",))
    for name, direction in names.items():
        known_key(document, ("objectives", name), OBJECTIVES)
        if direction != OBJECTIVES[name]:
            allowed = f"{OBJECTIVES[name]}, the direction in which {name} is better"
            raise document.refusal(("objectives", name), direction, allowed)
    if not 1 <= len(names) <= MAX_OBJECTIVES:
        allowed = f"1 to {MAX_OBJECTIVES} of {', '.join(OBJECTIVES)}"
        raise document.error(("objectives",), f"{len(names)} objectives are not allowed; allowed: {allowed}")
    return tuple(Objective(*item) for item in names.items())


def read_constraints(document: Document) -> tuple[Constraint, ...]:
    """Bounds of metrics, at most two for one metric."""
    constraints = []
    for metric, bounds in mapping(document, ("constraints",)).items():
        where: Where = ("constraints", metric)
        known_key(document, where, CONSTRAINABLE)
        if not isinstance(bounds, dict) or not bounds:
            raise document.refusal(where, bounds, "{min: number or input}, {max: ...} or both")
        for bound, value in bounds.items():
            known_key(document, (*where, bound), ("min", "max"))
            constraints.append(_constraint(document, metric, bound, value))
        numbers = [bounds[bound] for bound in ("min", "max") if bounds.get(bound, "input") != "input"]
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise document.refusal(where, bounds, "min at most max, as no trial satisfies both")
    return tuple(constraints)


def _constraint(document: Document, metric: str, bound: Any, value: Any) -> Constraint:
    where = ("constraints", metric, bound)
    if value == "input" and metric != "seconds_per_volume":
        return Constraint(metric, bound, "input")
    if isinstance(value, bool) or not isinstance(value, int | float):
        untouched = "" if metric == "seconds_per_volume" else ", or input: the untouched input's"
        raise document.refusal(where, value, f"a number{untouched}")
    low, high = value_range(metric)
    if (bound == "min" and value >= high) or (bound == "max" and value <= low):
        end = f"below {high:g}" if bound == "min" else f"above {low:g}"
        raise document.refusal(where, value, f"{end}, which no trial's {metric} reaches")
    return Constraint(metric, bound, float(value))


def read_sampler(document: Document) -> str:
    """The name of the sampler."""
    sampler: str = document.data.get("sampler", SAMPLERS[0])
    if sampler not in SAMPLERS:
        raise document.error(("sampler",), unknown(f"sampler {shown(sampler)}", str(sampler), SAMPLERS))
    return sampler


def read_scheduler(document: Document) -> Scheduler:
    """A name, or a name with its settings."""
    where, given = ("scheduler",), document.data.get("scheduler", SCHEDULERS[0])
    settings = given if isinstance(given, dict) else {"name": given}
    if "name" not in settings:
        raise document.error(where, f"name is missing; allowed: {', '.join(SCHEDULERS)}")
    name = settings["name"]
    if name not in SCHEDULERS:
        place = (*where, "name") if isinstance(given, dict) else where
        raise document.error(place, unknown(f"scheduler {shown(name)}", str(name), SCHEDULERS))
    _require_above_zero(document, where, settings, ("grace", "min_results"), "the default")
    for key in settings:
        known_key(document, (*where, key), field_types(Scheduler))
        if name == "none" and key != "name":
            raise document.error((*where, key), "has no meaning with name: none; allowed: with name: asha")
    read: Scheduler = located(document, where, build, Scheduler, settings)
    return read


def read_seed(document: Document) -> int:
    """The sampler's seed."""
    seed: int = document.data.get("seed", 0)
    if type(seed) is not int or not 0 <= seed <= _MAX_SEED:
        raise document.refusal(("seed",), seed, f"an integer in [0, {_MAX_SEED}]")
    return seed


def read_flag(document: Document, key: str) -> bool:
    """Whether a setting is on; off without it."""
    flag: bool = document.data.get(key, False)
    if type(flag) is not bool:
        raise document.refusal((key,), flag, "true or false")
    return flag


def read_cohort(document: Document, classes: Classes) -> CohortChoice:
    """The source, and its configuration."""
    fields = mapping(document, ("cohort",))
    if "source" not in fields:
        raise document.error(
            ("cohort",), "source is missing; allowed: a file of trainers/cohorts, such as phantom"
        )
    config = find_class(document, ("cohort", "source"), classes.cohort)
    return CohortChoice(fields["source"], instance(document, ("cohort",), config, skip="source"))


def read_references(document: Document, classes: Classes) -> dict[str, Any]:
    """The given fields, once they are valid together, and those that mean something else in older studies."""
    config = classes.references()
    if "references" not in document.data:
        return with_later_fields(config, {})
    instance(document, ("references",), config)
    return with_later_fields(config, values(document, ("references",), config))


def read_resources(document: Document) -> Resources:
    """The resources of one trial."""
    read: Resources = instance(document, ("resources",), Resources)
    return read


def read_recovery(document: Document) -> Recovery:
    """What is done against faults."""
    where = ("recovery",)
    minutes = [key for key in field_types(Recovery) if key.endswith("_minutes")]
    _require_above_zero(document, where, mapping(document, where), minutes, "the default")
    read: Recovery = instance(document, where, Recovery)
    return read


def read_budget(document: Document) -> Budget:
    """The limits; 0 is refused, as it would mean no limit."""
    where = ("budget",)
    limits = [key for key in field_types(Budget) if key != "trials"]
    _require_above_zero(document, where, mapping(document, where), limits, "no limit")
    read: Budget = instance(document, where, Budget)
    return read


def _require_above_zero(
    document: Document, where: Where, given: Mapping[str, Any], keys: Iterable[str], default: str
) -> None:
    """Raises LocatedError for 0 or less at one of the keys: without the key there is the ``default``."""
    for key in keys:
        if isinstance(value := given.get(key), int | float) and not isinstance(value, bool) and value <= 0:
            raise document.refusal((*where, key), value, f"above 0; leave it out for {default}")
