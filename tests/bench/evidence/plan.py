"""What the evidence trains: spaces of one phantom that was used for no choice, written for the commands."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from platform.comparison.systems import LABELS
from platform.spaces.loader import FOLDER, load_study
from platform.study.dimensions import Dimension, exact
from platform.study.study import Study
from typing import Any

from trainers.errors import InputError

PHANTOM = 20261201
"""Seed of the cohort: no setting, threshold or unit was chosen on it."""
PROFILE = "laptop"
RESTORED = "_restored"
"""Ends the name of a system that also learns to restore degraded 3 T slices."""
FULL = "asp_dmd"
FACTORS = ("restoration", "DMD2", "ASP")
CELLS: dict[str, tuple[bool, bool, bool]] = {
    name + end: (bool(end), "dmd" in name, "asp" in name)
    for name in ("unsb", "unsb_dmd", "unsb_asp", FULL)
    for end in ("", RESTORED)
}
"""The ablation: by system, which of the factors it has."""
TRIALS = 8
"""Of each search, and seeds of the start point that it is compared with."""
ENDS = ("low", "high")
"""Of a searched field's range."""
FIRST_SEED = 1000
"""Of the searched trainings; those that they are compared with have seeds from 0."""
TUNING_SEED = 999
"""Of the trials by which each system's settings are chosen."""
TUNED = "_tuned"
"""Ends the name of a system with the settings that its search has chosen."""
STEPS = 20
"""From an end to the start point, in search of a feasible value."""
RUNGS = 2
"""Of the searched trials: what the first tells of the end."""


def systems(out: Path) -> list[Path]:
    """The spaces of every system as published, and of those that can with restoration."""
    return [path for name in LABELS for path in _variants(out, name)]


def search(out: Path, number: int) -> Path:
    """The space of one study: the full method's from its start point with restoration.

    Sampler and trainings have seeds of their own, so that no training is another study's.
    """
    study = load_study(FOLDER / f"{FULL}.yaml", profile=PROFILE)
    start = _restoring_start(study)
    fixed = {"rungs": RUNGS, "seed": FIRST_SEED + number}
    laptop = {"budget": {"trials": TRIALS}, "fixed": fixed, "start_from": [start]}
    return _write(out, f"search-{number}", FULL, {"seed": number}, laptop)


def start_point(out: Path, number: int) -> Path:
    """The space of the trainings that a study is compared with: of its start point, with their own seeds."""
    start = _restoring_start(load_study(FOLDER / f"{FULL}.yaml", profile=PROFILE))
    laptop = {"fixed": {"seed": TRIALS * number}, "start_from": [start]}
    return _write(out, f"reseeding-{number}", FULL, {}, laptop)


def tuning(out: Path, name: str) -> Path:
    """The space of a system's search: as shipped, with as many trials as every other's."""
    laptop = {"budget": {"trials": TRIALS}, "fixed": {"seed": TUNING_SEED}}
    return _write(out, f"tuning-{name}", name, {}, laptop)


def tuned(out: Path, name: str, point: Mapping[str, Any]) -> Path:
    """The space of a system with the settings that its search has chosen."""
    return _write(out, name + TUNED, name, {}, {"start_from": [dict(point)]})


def fields(out: Path) -> dict[str, tuple[Path, Path]]:
    """By searched field of the full method: spaces of its start point with the field at either end.

    Or as near to it as ASP's thresholds are feasible together.
    """
    study = load_study(FOLDER / f"{FULL}.yaml", profile=PROFILE)
    start = _restoring_start(study)
    assert start is not None
    found = {}
    for dimension in study.search:
        ends = [_towards(study, dimension, start, end) for end in (0.0, 1.0)]
        low, high = (
            _write(out, f"{dimension.name}_{end}", FULL, {}, {"start_from": [point]})
            for end, point in zip(ENDS, ends, strict=True)
        )
        found[dimension.name] = (low, high)
    return found


def _restoring_start(study: Study) -> dict[str, Any] | None:
    """The first start point with restoration; None where the method does not offer it."""
    return next((point for point in study.start if study.point(point).restores), None)


def _towards(study: Study, dimension: Dimension, start: Mapping[str, Any], end: float) -> dict[str, Any]:
    """The start point with a field at the first feasible value from an end of its range."""
    own = dimension.unit(start[dimension.name])
    for share in range(STEPS + 1):
        value = dimension.at(end + (own - end) * share / STEPS)
        point = {**start, dimension.name: exact(dimension, value)}
        try:
            study.point(point)
        except InputError:
            continue
        return point
    raise AssertionError(dimension.name)


def _variants(out: Path, name: str) -> Iterator[Path]:
    study = load_study(FOLDER / f"{name}.yaml", profile=PROFILE)
    published = next(iter(study.start), {})
    yield _write(out, name, name, {}, {"start_from": [published]} if study.start else {})
    restored = _restoring_start(study)
    if restored is not None:
        yield _write(out, name + RESTORED, name, {}, {"start_from": [restored]})


def _write(
    out: Path, name: str, extended: str, keys: dict[str, Any], laptop: dict[str, Any] | None = None
) -> Path:
    """A space as JSON, which is YAML."""
    out.mkdir(parents=True, exist_ok=True)
    values = {"extends": str(FOLDER.resolve() / f"{extended}.yaml"), "name": name, **keys}
    values |= {"cohort": {"seed": PHANTOM}, "profiles": {PROFILE: laptop or {}}}
    path = out / f"{name}.yaml"
    path.write_text(json.dumps(values, indent=1), "utf-8")
    return path
