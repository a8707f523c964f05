"""What is compared with what, on which terms: one cohort, one set of references, one budget for all systems.

A system is a space of search_spaces, trained at its first point: its published settings.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.comparison.published_table import LABELS
from platform.orchestration import cost_estimate
from platform.orchestration.cost_estimate import Machine
from platform.spaces.loader import FOLDER, find_space, load_study, profile_choices
from platform.study.study import DEFAULT_CLASSES, Cohort, Study
from typing import Any

from trainers.config import build, canonical, suggest
from trainers.errors import InputError

COMMON: Mapping[str, Callable[[Study], object]] = {
    "cohort": lambda study: study.cohort,
    "references": lambda study: study.references,
    "resources": lambda study: study.resources,
    "objectives": lambda study: study.objectives,
}
"""What must be equal in the spaces of one comparison."""

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(steps|s|min|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_BUDGETS = "a count of steps as in 400steps, or a time as in 90s, 10min, 2h"


@dataclass(frozen=True)
class Budget:
    """What each system's training may take: optimiser steps, or seconds by the clock; the other one is 0."""

    steps: int = 0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Of the command line; raises InputError."""
        found = _BUDGET.fullmatch(text.strip())
        if not found or not float(found[1]):
            raise InputError(f"--budget: {text!r} is not allowed; allowed: {_BUDGETS}")
        if found[2] == "steps":
            return cls(steps=max(1, int(float(found[1]))))
        return cls(seconds=float(found[1]) * _SECONDS[found[2]])

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps else f"{self.seconds:g} s"


@dataclass(frozen=True)
class Entrant:
    """A system with the space that it is trained by."""

    name: str
    study: Study

    @property
    def label(self) -> str:
        """What tables call it."""
        return LABELS.get(self.name, self.name)

    def config(self, seed: int, steps: int) -> Any:
        """Its published settings for one seed and number of steps."""
        return self.study.point({**self.first, "seed": seed, "steps": steps})

    @property
    def system(self) -> str:
        """How ``--systems`` finds it again."""
        path = Path(self.study.path)
        return self.name if path.parent == FOLDER.resolve() else str(path)

    @property
    def first(self) -> dict[str, Any]:
        """The space's first point."""
        return self.study.start[0] if self.study.start else {}


def find_entrants(
    names: Sequence[str], profile: str | None, source: str | None, machine: Machine, address: str | None
) -> list[Entrant]:
    """The systems of ``--systems``, the paper's first in its order; raises InputError."""
    paths: dict[str, Path] = {}
    for name in (each for asked in names for each in (LABELS if asked == "all" else [asked])):
        path = _find(name).resolve()
        if paths.setdefault(path.stem, path) != path:
            raise InputError(f"--systems: {path} and {paths[path.stem]} share a name; allowed: one of them")
    order = [*LABELS, *paths]
    entrants = [
        _entrant(paths[name], profile, source, machine, address) for name in sorted(paths, key=order.index)
    ]
    require_common(entrants)
    return entrants


def _entrant(
    path: Path, profile: str | None, source: str | None, machine: Machine, address: str | None
) -> Entrant:
    chosen = profile or cost_estimate.choose_profile(machine, profile_choices(path), address)
    study = load_study(path, profile=chosen)
    if source is not None and source != study.cohort.source:
        config: Any = build(DEFAULT_CLASSES.cohort(source), {})
        study = dataclasses.replace(study, cohort=Cohort(source, config))
    cost_estimate.require_same_crop(study)
    return Entrant(path.stem, study)


def _find(name: str) -> Path:
    try:
        return find_space(name)
    except InputError:
        known = ", ".join(LABELS)
        cure = f"{suggest(name, tuple(LABELS))}allowed: all, {known}, or a YAML space"
        raise InputError(f"--systems: {name!r} is not known; {cure}") from None


def require_common(entrants: Sequence[Entrant]) -> None:
    """Raises InputError where two systems would not stand on the same terms."""
    first = entrants[0].study
    for entrant in entrants[1:]:
        for key, of in COMMON.items():
            if of(entrant.study) != of(first):
                raise InputError(
                    f"{entrant.study.path}: {key}: differs from {first.path}'s; "
                    "allowed: the same for all systems of a comparison"
                )


def common_budget(entrants: Sequence[Entrant], asked: str | None) -> Budget:
    """``--budget``, else the spaces' own steps; raises InputError where these differ."""
    if asked is not None:
        return Budget.parse(asked)
    steps = {entrant.name: entrant.study.point(entrant.first).steps for entrant in entrants}
    if len(set(steps.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in steps.items())
        raise InputError(f"--budget: the spaces train for different numbers of steps ({told}); set it")
    return Budget(steps=next(iter(steps.values())))


def terms(entrants: Sequence[Entrant], budget: Budget) -> dict[str, str]:
    """What is frozen when a comparison begins, as text; systems and seeds may be added later."""
    study = entrants[0].study
    return {
        "source": study.cohort.source,
        "profile": study.profile or "",
        "cohort": canonical(study.cohort.config),
        "references": str(sorted(study.references.items())),
        "budget": str(budget),
    }
