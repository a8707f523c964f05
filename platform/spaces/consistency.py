"""Checks between the sections of a space, before anything runs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from platform.spaces.strict_yaml import Document
from platform.study.config_classes import reference_config
from platform.study.dimensions import Choice, Dimension, point_at
from platform.study.study import METHOD, Study
from typing import Any

from trainers.config import build
from trainers.errors import InputError
from trainers.metrics.names import NEEDS_RADIMAGENET

POINTS = 1000
"""Quasi-random points: a space is empty if Config refuses all of them."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", re.IGNORECASE)


def require_consistent(document: Document, study: Study) -> None:
    """Raises LocatedError for the first contradiction between sections of the space."""
    _require_gpus(document, study)
    _require_finite_grid(document, study)
    _require_grace(document, study)
    _require_repeatable(document, study)
    _require_radimagenet(document, study)
    for method in study.methods:
        _require_feasible(document, study, method)


def require_same_crop(study: Study) -> None:
    """Raises InputError where trials would give the teacher crops of another size than it was trained on."""
    teacher: int = build(reference_config(), study.references).crop
    searched: list[Any] = [str(dimension) for dimension in study.search if dimension.name == "crop"]
    defaults = [field.default for config in study.configs for field in fields(config) if field.name == "crop"]
    for crop in searched or [study.fixed.get("crop", default) for default in defaults]:
        if crop != teacher:
            raise InputError(
                f"{study.path}: crop: {crop} is not allowed; allowed: {teacher}, the references' crop"
            )


def _require_gpus(document: Document, study: Study) -> None:
    for key in ("gpu_hours", "cost"):
        if (value := getattr(study.budget, key)) and not study.resources.gpus:
            reason = "never reached with resources: gpus: 0"
            raise document.error(("budget", key), f"{value:g} is {reason}; allowed: with gpus above 0")


def _require_finite_grid(document: Document, study: Study) -> None:
    for dimension in study.search if study.sampler == "grid" else ():
        if dimension.size is None:
            reason = f"{dimension} is continuous, but sampler: grid tries every value"
            allowed = "a step, as in {uniform: [0, 1], step: 0.1}, or a choice"
            raise document.error(("search", dimension.name), f"{reason}; allowed: {allowed}")


def _require_grace(document: Document, study: Study) -> None:
    grace = study.scheduler.grace
    if grace and grace >= (shortest := min(study.steps)):
        allowed = f"below {shortest}, the steps of the shortest trial"
        raise document.refusal(("scheduler", "grace"), grace, allowed)


def _require_repeatable(document: Document, study: Study) -> None:
    if study.deterministic and "seconds_per_volume" in study.metrics:
        allowed = "without seconds_per_volume, which differs with every measurement"
        raise document.refusal(("deterministic",), True, allowed)


def _require_radimagenet(document: Document, study: Study) -> None:
    if "rad_fid" in study.metrics and not study.references.get("radimagenet"):
        raise document.error((study.metrics["rad_fid"], "rad_fid"), NEEDS_RADIMAGENET)


def _require_feasible(document: Document, study: Study, method: str) -> None:
    """Raises LocatedError where Config refuses all of many points, with the most frequent refusal."""
    refusals: dict[str, list[str]] = {}
    for point in _points(study.search, method):
        try:
            study.point(point)
            return
        except InputError as error:  # messages that differ only in numbers count as one
            refusals.setdefault(_NUMBER.sub("0", str(error)), []).append(str(error))
    frequent = max(refusals.values(), key=len)
    config = f"{method}'s Config" if len(study.methods) > 1 else "Config"
    reason = f"{config} refuses every point: '{frequent[0]}' ({len(frequent)} of {POINTS})"
    raise document.error(("search",), f"{reason}; allowed: wider domains")


def _points(search: Sequence[Dimension], method: str) -> Iterator[dict[str, Any]]:
    """Points of one method all over the space, the middle first, as most spaces need no other."""
    first = search[0]
    chosen = [first.unit(method)] if isinstance(first, Choice) and first.name == METHOD else []
    free = len(search) - len(chosen)
    yield point_at(search, chosen + [0.5] * free)
    from scipy.stats import qmc  # late: importing it takes a second

    cube = qmc.Sobol(free, seed=0).random_base2(POINTS.bit_length())
    yield from (point_at(search, chosen + list(row)) for row in cube[: POINTS - 1])
