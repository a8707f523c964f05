"""Which candidate ``--pick`` names, and what a confirmation has published of the candidates."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from platform.pareto.front import Candidate, Front
from typing import Any

from trainers.errors import InputError
from trainers.metrics.names import OBJECTIVES

BEST = "best-"
CHOICES = f"knee, confirmed, {BEST}MEASURE (such as {BEST}psnr), TRIAL or TRIAL/STEPS"
CONFIRMED = Path("confirm", "report", "confirm.json")
"""What a confirmation publishes in a study's folder."""


@dataclass(frozen=True)
class Confirmation:
    """What the last finished confirmation has published; without any finalists, there was none."""

    finalists: tuple[dict[str, Any], ...] = ()
    """By rank, as :meth:`platform.confirmation.ranking.Finalist.to_json` has them."""
    seeds: int = 0
    """New seeds of each."""
    untouched: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Of the untouched input, by objective: ``estimate`` and bounds; empty if it was confirmed without."""

    @classmethod
    def read(cls, folder: Path) -> "Confirmation":
        """Of a study's folder."""
        path = folder / CONFIRMED
        if not path.exists():
            return cls()
        values = json.loads(path.read_text())
        return cls(tuple(values["finalists"]), int(values["seeds"]), values.get("input", {}))

    def of(self, chosen: Candidate) -> dict[str, Any] | None:
        """The finalist that is a candidate; None if it was not confirmed."""
        return next((f for f in self.finalists if (f["trial"], f["steps"]) == chosen.key), None)


def require_form(option: str) -> None:
    """Raises InputError for a ``--pick`` that names no candidate of any study."""
    best = option.startswith(BEST) and option.removeprefix(BEST) in OBJECTIVES
    if not (option in ("knee", "confirmed") or best or re.fullmatch(r"\d+(/\d+)?", option)):
        raise InputError(f"--pick: {option!r} is not allowed; allowed: {CHOICES}")


def pick(option: str, front: Front, folder: Path) -> Candidate:
    """The candidate that ``--pick`` names; raises InputError where there is none."""
    if option == "knee":
        assert front.knee is not None  # a front without members was refused
        return front.knee
    if option == "confirmed":
        return _confirmed(front, folder)
    return _best(option, front) if option.startswith(BEST) else _of_trial(option, front)


def _confirmed(front: Front, folder: Path) -> Candidate:
    """The first of the confirmation's ranking, by the training of the search."""
    ranked = Confirmation.read(folder).finalists
    if not ranked:
        hint = f"allowed: after python -m platform.confirm {folder.name}"
        raise InputError(f"--pick: 'confirmed', but {folder.name!r} was never confirmed; {hint}")
    if ranked[0].get("broken"):
        reason = f"every finalist of {folder.name!r} violates a constraint with its new seeds"
        hint = "allowed: knee, a trial, or confirmed after a confirmation with a larger --top"
        raise InputError(f"--pick: 'confirmed', but {reason}; {hint}")
    best = ranked[0]["trial"], ranked[0]["steps"]
    return next(c for c in front.candidates if c.key == best)


def _best(option: str, front: Front) -> Candidate:
    """The best feasible candidate in one metric."""
    metric = option.removeprefix(BEST)
    feasible = [c for c, ok in zip(front.candidates, front.feasible, strict=True) if ok]
    known = [c for c in feasible if math.isfinite(c.values.get(metric, math.nan))]
    if not known:
        measured = ", ".join(sorted(feasible[0].values))
        raise InputError(f"--pick: {option!r}, but {metric} was not measured; allowed: of {measured}")
    return (min if OBJECTIVES[metric] == "minimize" else max)(known, key=lambda c: c.values[metric])


def _of_trial(option: str, front: Front) -> Candidate:
    """``TRIAL/STEPS``, or of ``TRIAL`` the last member of the front, else its most refinement steps."""
    number, _, steps = option.partition("/")
    named = [c for c in front.candidates if str(c.trial) == number and steps in ("", str(c.steps))]
    if not named:
        trials = ", ".join(str(n) for n in sorted({c.trial for c in front.candidates}))
        completed = f"{option!r} is not a completed trial ({trials})"
        raise InputError(f"--pick: {completed}; allowed: {CHOICES}")
    members = [c for c in named if c in front.members]
    return (members or named)[-1]


def confirmed_tags(folder: Path, chosen: Candidate) -> dict[str, str]:
    """Tags with a candidate's confirmed means and intervals; empty if it was not confirmed."""
    finalist = Confirmation.read(folder).of(chosen)
    if finalist is None:
        return {}
    tags = {}
    for name, value in finalist["values"].items():
        bounds = [end for end in (value["low"], value["high"]) if end is not None]
        interval = f" [{', '.join(f'{end:.6g}' for end in bounds)}]" if bounds else ""
        tags[f"confirmed.{name}"] = f"{value['estimate']:.6g}{interval}"
    tags["confirmed.seeds"] = ", ".join(map(str, finalist["seeds"]))
    tags["confirmed.p_nondominated"] = f"{finalist['nondominated']:.3f}"
    return tags


def confirmed_values(folder: Path, chosen: Candidate) -> dict[str, dict[str, float | None]]:
    """By objective a candidate's confirmed ``estimate``, ``low`` and ``high``, and the untouched ``input``'s.

    Empty if it was not confirmed.
    """
    confirmation = Confirmation.read(folder)
    finalist = confirmation.of(chosen)
    values = {} if finalist is None else finalist["values"]
    untouched = {name: value["estimate"] for name, value in confirmation.untouched.items()}
    return {name: {**value, "input": untouched.get(name)} for name, value in values.items()}
