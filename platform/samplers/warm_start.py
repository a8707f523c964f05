"""Starting from an earlier study: its completed trials are known, or its best points are tried first."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from platform.pareto.front import Front, candidates
from platform.storage.ledger import read_trials
from platform.storage.saved_study import load_saved
from platform.storage.trials import Trial
from platform.study.config_classes import reference_config
from platform.study.criteria import EarlierTrial
from platform.study.dimensions import exact, is_active
from platform.study.study import Study
from typing import Any

from trainers.config import build
from trainers.errors import InputError
from trainers.metrics.names import VERSION

IGNORED = ("seed", "rungs")
"""Fields that change no result that could be compared."""


@dataclass(frozen=True)
class WarmStart:
    """What a study takes from an earlier one."""

    known: tuple[EarlierTrial, ...] = ()
    """Trials whose settings and scores are valid here."""
    points: tuple[dict[str, Any], ...] = ()
    """Points of its front, to be tried first, where its scores are not valid here."""
    messages: list[str] = field(default_factory=list)
    """What was used and what not, a line each."""


def read(folder: Path, study: Study, cohort: str) -> WarmStart:
    """What a study on the cohort with hash ``cohort`` takes from the earlier study in ``folder``."""
    saved = load_saved(folder)
    earlier, completed = saved.study, read_trials(folder).of_status("completed")
    known: list[EarlierTrial] = []
    points: list[dict[str, Any]] = []
    incomparable = differences(study, earlier, {saved.facts.cohort, cohort}, saved.facts.measures)
    front = Front.of(saved.criteria, earlier.objectives, candidates(completed))
    on_front = {candidate.trial for candidate in front.members}
    reasons: dict[str, int] = {}
    for trial in completed:
        try:
            params = translated(study, earlier, trial)
        except InputError as error:
            reasons[str(error)] = reasons.get(str(error), 0) + 1
            continue
        reason = incomparable or changed_fields(study, earlier, trial, params) or unmeasured(study, trial)
        if not reason:
            known.append(EarlierTrial(params, trial.scores))
            continue
        if trial.number in on_front and params not in points:
            points.append(params)
        reasons[reason] = reasons.get(reason, 0) + 1
    counts = len(known), len(completed)
    return WarmStart(tuple(known), tuple(points), _messages(study, earlier, known, points, counts, reasons))


def _messages(
    study: Study,
    earlier: Study,
    known: Sequence[EarlierTrial],
    points: Sequence[dict[str, Any]],
    counts: tuple[int, int],
    reasons: Mapping[str, int],
) -> list[str]:
    lines = [f"{counts[0]} of {counts[1]} finished trials of {earlier.name!r} are known"]
    lines += [f"{count} not: {reason}" for reason, count in reasons.items()]
    if points:
        lines.append(f"{len(points)} points of its front are tried first instead")
    if repeated := len(study.start) - len(untried(study.start, known)):
        lines.append(f"not tried again, as known: {repeated} of {len(study.start)} start points")
    return [f"warm start: {line}" for line in lines]


def differences(study: Study, earlier: Study, cohorts: Set[str], measures: int) -> str:
    """Why no score of the earlier study can be compared; empty: they can.

    ``measures``: the version by which it was scored.
    """
    if len(cohorts) > 1:
        return "another cohort"
    if measures != VERSION:
        return f"scored by version {measures} of the measures, here by version {VERSION}"
    config = reference_config()
    same: bool = build(config, study.references) == build(config, earlier.references)
    return "" if same else "other references"


def translated(study: Study, earlier: Study, trial: Trial) -> dict[str, Any]:
    """A trial's settings as parameters of this study; raises InputError where they are not in its space."""
    method = earlier.method_of(trial.params)
    if method not in study.methods:
        raise InputError(f"method {method} is not searched here")
    settings = {"method": method, **asdict(earlier.point(trial.params))}
    params: dict[str, Any] = {}
    for dimension in study.search:
        if not is_active(dimension, params):
            continue
        if dimension.name not in settings:
            raise InputError(f"{dimension.name} is not set there")
        if not dimension.holds(settings[dimension.name]):
            raise InputError(f"{dimension.name} is outside {dimension}")
        params[dimension.name] = exact(dimension, settings[dimension.name])
    if refusal := study.refusal(params):
        raise InputError(refusal)
    return params


def changed_fields(study: Study, earlier: Study, trial: Trial, params: Mapping[str, Any]) -> str:
    """Which fields that are not searched here had another value there; empty: none."""
    ours, theirs = asdict(study.point(params)), asdict(earlier.point(trial.params))
    other = [k for k in ours if k not in IGNORED and ours[k] != theirs[k]]
    return ", ".join(f"{k} {theirs[k]} there, {ours[k]} here" for k in other)


def unmeasured(study: Study, trial: Trial) -> str:
    """Which objectives and constrained metrics have no score; empty: none."""
    missing = {name for scores in trial.scores.values() for name in study.metrics if name not in scores}
    return f"{', '.join(sorted(missing))} not measured there" if missing else ""


def untried(points: Sequence[dict[str, Any]], known: Sequence[EarlierTrial]) -> tuple[dict[str, Any], ...]:
    """The points that no known trial has tried."""
    tried = [trial.params for trial in known]
    return tuple(point for point in points if point not in tried)


def apply(study: Study, warm_start: WarmStart) -> Study:
    """The study with the earlier one's points after its own start points, without points that are known."""
    new = tuple(point for point in warm_start.points if point not in study.start)
    return replace(study, start=untried(study.start + new, warm_start.known))
