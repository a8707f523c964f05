"""What is compared with what: systems on one cohort, one set of references and one budget.

A system is a space of search_spaces, trained at its first point: its published settings.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.execution.machine import Machine
from platform.execution.training import Training
from platform.spaces.loader import FOLDER, find_space, load_chosen
from platform.study.config_classes import DEFAULT_CLASSES
from platform.study.settings import CohortChoice
from platform.study.study import Study
from typing import Any

from trainers.config import as_earlier, build, canonical, earlier_meanings, suggest
from trainers.errors import InputError

LABELS: Mapping[str, str] = {
    "cyclegan": "CycleGAN",
    "cut": "CUT",
    "sdedit": "SDEdit",
    "syndiff": "SynDiff",
    "reggan": "RegGAN",
    "inr": "INR-based",
    "unsb": "UNSB",
    "unsb_asp": "UNSB + ASP",
    "unsb_dmd": "UNSB + DMD2",
    "asp_dmd": "Ours (full method)",
}
"""Space to system, in the paper's order."""

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
class TrainingBudget:
    """What each training may take: optimiser steps, or wall-clock seconds; the other one is 0."""

    steps: int = 0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "TrainingBudget":
        """Of the command line; raises InputError."""
        parts = _BUDGET.fullmatch(text.strip())
        if not parts or not float(parts[1]):
            raise InputError(f"--budget: {text!r} is not allowed; allowed: {_BUDGETS}")
        if parts[2] == "steps":
            return cls(steps=max(1, int(float(parts[1]))))
        return cls(seconds=float(parts[1]) * _SECONDS[parts[2]])

    def __str__(self) -> str:
        return f"{self.steps} steps" if self.steps else f"{self.seconds:g} s"


@dataclass(frozen=True)
class System:
    """A system with the space that it is trained by."""

    name: str
    study: Study

    @property
    def label(self) -> str:
        """Its name in tables."""
        return LABELS.get(self.name, self.name)

    @property
    def method(self) -> str:
        """The method that it trains."""
        return self.study.method_of(self.first)

    @property
    def space(self) -> str:
        """How ``--systems`` finds it again."""
        path = Path(self.study.path)
        return self.name if path.parent == FOLDER.resolve() else str(path)

    @property
    def first(self) -> dict[str, Any]:
        """The space's first point."""
        return self.study.start[0] if self.study.start else {}

    def config(self, seed: int, steps: int) -> Any:
        """Its published settings for one number of steps; seeds are counted from that of its space."""
        first = self.study.point(self.first).seed
        return self.study.point({**self.first, "seed": first + seed, "steps": steps})

    def training(self, seed: int, steps: int) -> Training:
        """Its training for one seed and number of steps."""
        return Training(self.name, self.label, seed, self.method, self.config(seed, steps))


def find_systems(
    names: Sequence[str], profile: str | None, source: str | None, machine: Machine, address: str | None
) -> list[System]:
    """The systems of ``--systems``, the paper's first in its order; raises InputError.

    ``source``: of another cohort than the spaces'.
    """
    paths = find_paths(names)
    order = [*LABELS, *paths]
    systems = []
    for name in sorted(paths, key=order.index):
        study = load_chosen(paths[name], profile, machine.gpus > 0 or bool(address))
        if source is not None and source != study.cohort.source:
            config: Any = build(DEFAULT_CLASSES.cohort(source), {})
            study = dataclasses.replace(study, cohort=CohortChoice(source, config))
        systems.append(System(name, study))
    require_common(systems)
    return systems


def as_started(systems: Sequence[System], saved: Mapping[str, Any]) -> list[System]:
    """The systems on the cohort and references of a comparison that was ``saved``, where they are theirs.

    They may be from before settings were added, which the systems' spaces do not give.
    """
    study = systems[0].study
    changed: dict[str, Any] = {}
    cohort = as_earlier(study.cohort.config)
    if canonical(cohort) == saved.get("cohort"):
        changed["cohort"] = CohortChoice(study.cohort.source, cohort)
    references = {**study.references, **earlier_meanings(DEFAULT_CLASSES.references())}
    if described(references) == saved.get("references"):
        changed["references"] = references
    return [System(each.name, dataclasses.replace(each.study, **changed)) for each in systems]


def described(references: Mapping[str, Any]) -> str:
    """The given settings on which references depend, as a saved comparison has them."""
    from trainers.references.config import unhashed  # late: torch takes a second to import

    earlier = earlier_meanings(DEFAULT_CLASSES.references())
    used = {key: value for key, value in references.items() if key not in unhashed()}
    return str(sorted(item for item in used.items() if item not in earlier.items()))


def with_earlier_meanings(systems: Sequence[System]) -> list[System]:
    """The systems as they were before fields were added to their methods."""
    return [dataclasses.replace(each, study=each.study.with_earlier_meanings()) for each in systems]


def find_paths(names: Sequence[str]) -> dict[str, Path]:
    """The space of each of ``--systems`` by its name; raises InputError for an unknown one."""
    paths: dict[str, Path] = {}
    for name in (each for requested in names for each in (LABELS if requested == "all" else [requested])):
        path = _find(name).resolve()
        if paths.setdefault(path.stem, path) != path:
            raise InputError(f"--systems: {path} and {paths[path.stem]} share a name; allowed: one of them")
    return paths


def _find(name: str) -> Path:
    try:
        return find_space(name)
    except InputError:
        known = ", ".join(LABELS)
        hint = f"{suggest(name, tuple(LABELS))}allowed: all, {known}, or a YAML space"
        raise InputError(f"--systems: {name!r} is not known; {hint}") from None


def require_common(systems: Sequence[System]) -> None:
    """Raises InputError where two systems would not be compared under the same conditions."""
    first = systems[0].study
    for system in systems[1:]:
        for key, of in COMMON.items():
            if of(system.study) != of(first):
                raise InputError(
                    f"{system.study.path}: {key}: differs from {first.path}'s; "
                    "allowed: the same for all systems of a comparison"
                )


def common_budget(systems: Sequence[System], requested: str | None) -> TrainingBudget:
    """``--budget``, else the spaces' own steps; raises InputError where these differ."""
    if requested is not None:
        return TrainingBudget.parse(requested)
    steps = {system.name: system.study.point(system.first).steps for system in systems}
    if len(set(steps.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in steps.items())
        raise InputError(f"--budget: the spaces train for different numbers of steps ({counts}); set it")
    return TrainingBudget(steps=next(iter(steps.values())))


def conditions(systems: Sequence[System], budget: TrainingBudget) -> dict[str, str]:
    """What is fixed when a comparison starts, as text; systems and seeds may be added later."""
    study = systems[0].study
    return {
        "source": study.cohort.source,
        "profile": study.profile or "",
        "cohort": canonical(study.cohort.config),
        "references": described(study.references),
        "budget": str(budget),
    }
