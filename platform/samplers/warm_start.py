"""Starting from an earlier study: its finished trials are known, or its best points are tried first."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from platform.pareto.front import candidates
from platform.samplers.suggester import refusal
from platform.storage.layout import Storage
from platform.storage.ledger import Trial, of_status, read_trials
from platform.storage.saved_study import load_saved
from platform.study.criteria import Known, Terms
from platform.study.dimensions import exact, is_active
from platform.study.study import Study, reference_config
from typing import Any

from trainers.config import build
from trainers.errors import InputError

ASIDE = ("seed", "rungs")
"""Fields that change no result that could be compared."""


@dataclass(frozen=True)
class Warm:
    """What an earlier study teaches."""

    known: tuple[Known, ...] = ()
    """Trials whose settings and scores are valid here."""
    points: tuple[dict[str, Any], ...] = ()
    """Of its front, where scores are not valid here: to be tried first."""
    told: list[str] = field(default_factory=list)
    """What was used and what not, a line each."""


def read(folder: Path, study: Study, cohort: str) -> Warm:
    """What the earlier study in ``folder`` teaches a study on the cohort of that hash."""
    earlier, saved = load_saved(folder)
    done = of_status(read_trials(folder), "completed")
    told, known, points = [], [], []
    foreign = differences(study, earlier, {saved["cohort"], cohort})
    front = {c.trial for c in Terms.from_plain(saved).front(earlier.objectives, candidates(done)).members}
    reasons: dict[str, int] = {}
    for trial in done:
        try:
            params = translated(study, earlier, trial)
        except InputError as error:
            reasons[str(error)] = reasons.get(str(error), 0) + 1
            continue
        changed = foreign or unlike(study, earlier, trial, params) or unmeasured(study, trial)
        if not changed:
            known.append({"params": params, "scores": {str(k): dict(v) for k, v in trial.scores.items()}})
        elif trial.number in front and params not in points:
            points.append(params)
        if changed:
            reasons[changed] = reasons.get(changed, 0) + 1
    told.append(f"warm start: {len(known)} of {len(done)} finished trials of {earlier.name!r} are known")
    told += [f"warm start: {count} not: {reason}" for reason, count in reasons.items()]
    if points:
        told.append(f"warm start: {len(points)} points of its front are tried first instead")
    if again := len(study.start) - len(untried(study.start, known)):
        told.append(f"warm start: not tried first again, as known: {again} of {len(study.start)} points")
    return Warm(tuple(known), tuple(points), told)


def require(study: Study, storage: Storage) -> None:
    """Raises InputError where the earlier study is not there."""
    try:
        storage.existing(study.warm)
    except InputError as error:
        raise InputError(f"{study.path}: start_from: {error}") from None


def differences(study: Study, earlier: Study, cohorts: Set[str]) -> str:
    """Why no score of the earlier study can be compared; empty: they can."""
    if len(cohorts) > 1:
        return "another cohort"
    config = reference_config()
    same: bool = build(config, study.references) == build(config, earlier.references)
    return "" if same else "other references"


def translated(study: Study, earlier: Study, trial: Trial) -> dict[str, Any]:
    """A trial's settings as parameters of this study; raises InputError for what does not fit."""
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
            raise InputError(f"{dimension.name} lies outside {dimension}")
        params[dimension.name] = exact(dimension, settings[dimension.name])
    if refused := refusal(study, params):
        raise InputError(refused)
    return params


def unlike(study: Study, earlier: Study, trial: Trial, params: Mapping[str, Any]) -> str:
    """Which fields that are not searched here were set otherwise there; empty: none."""
    ours, theirs = asdict(study.point(params)), asdict(earlier.point(trial.params))
    other = [k for k in ours if k not in ASIDE and ours[k] != theirs[k]]
    return ", ".join(f"{k} {theirs[k]} there, {ours[k]} here" for k in other)


def unmeasured(study: Study, trial: Trial) -> str:
    """Which objectives and constrained metrics have no score; empty: none."""
    missing = {name for scores in trial.scores.values() for name in study.judged if name not in scores}
    return f"{', '.join(sorted(missing))} not measured there" if missing else ""


def untried(points: Sequence[dict[str, Any]], known: Sequence[Known]) -> tuple[dict[str, Any], ...]:
    """The points that no known trial has tried."""
    tried = [trial["params"] for trial in known]
    return tuple(point for point in points if point not in tried)


def started(study: Study, learned: Warm) -> Study:
    """The study with the earlier one's points to try first after its own, and without what is known."""
    new = tuple(point for point in learned.points if point not in study.start)
    return replace(study, start=untried(study.start + new, learned.known))
