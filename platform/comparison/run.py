"""A comparison from the requested systems to its report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from platform.cohorts.bound import bound_config, prepare_bound
from platform.cohorts.build import prepare_cohort, prepare_references
from platform.cohorts.measurable import require_measurable, require_measured
from platform.cohorts.sensitivity import show_sensitivity
from platform.cohorts.teacher import require_teacher
from platform.comparison.report import report_comparison
from platform.comparison.systems import (
    System,
    TrainingBudget,
    as_started,
    common_budget,
    conditions,
    find_systems,
    with_earlier_meanings,
)
from platform.execution import cluster
from platform.execution.fixed_trials import FixedTrials, trained
from platform.execution.machine import Machine, require_fit
from platform.execution.trial_source import TrialPaths
from platform.reporting.console import console
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.study.settings import Objective
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.provenance import environment
from platform.tracking.recorder import Recorder
from typing import Any

from trainers.bounds.config import BoundConfig
from trainers.config import build
from trainers.cost import seconds_per_step
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.files import write_text
from trainers.loop import Task
from trainers.metrics.judge import Judge
from trainers.metrics.names import REALISM, VERSION, any_extended
from trainers.references.store import References

FILE = "comparison.json"
EARLIER_OBJECTIVES = {"fid": "minimize", "ms_ssim": "maximize", "psnr": "maximize"}


@dataclass(frozen=True)
class ComparisonRequest:
    """What the command line asks of a comparison."""

    systems: tuple[str, ...]
    profile: str | None
    source: str | None
    """Of the cohort."""
    budget: str | None
    seeds: int


def run_comparison(
    request: ComparisonRequest,
    name: str,
    storage: Storage,
    tracking_uri: str,
    address: str | None,
    extended: bool,
) -> None:
    """Prepare what is missing, train what is not trained yet, evaluate, write tables and pictures."""
    folder, machine = storage.brought(storage.comparison(name)), Machine.here()
    saved = read_saved(folder)
    names = [*saved.get("systems", []), *request.systems]
    profile, source = request.profile or saved.get("profile"), request.source or saved.get("source")
    systems = find_systems(names, profile, source, machine, address)
    systems = as_started(systems, saved)
    restoration = saved.get("restoration", not saved)  # before it existed it was not named
    systems = systems if restoration else with_earlier_meanings(systems)
    budget = common_budget(systems, request.budget or saved.get("budget"))
    study = systems[0].study
    objectives = objectives_of(saved, study)
    if not address:
        require_fit(study, machine)
    seeds = max(request.seeds, saved.get("seeds", 1))
    fixed = conditions(systems, budget)
    require_same(name, saved, fixed)
    measures = int(saved.get("measures", 1)) if saved else VERSION  # before version 2 it was not named
    saved |= {**fixed, "systems": [system.space for system in systems], "seeds": seeds, "measures": measures}
    saved["restoration"] = restoration
    saved["objectives"] = {objective.name: objective.direction for objective in objectives}
    write_saved(folder, saved)
    experiment = store.prepare_or_wait(tracking_uri, store.EXPERIMENT, storage.artifacts(tracking_uri))
    patience = study.recovery.patience
    ledger = Ledger(folder, patience)
    cluster.start_ray(address, study.resources)
    cohort_path = prepare_cohort(study.cohort, storage.root, console, saved.get("cohort_hash"))
    cohort = Cohort.open(cohort_path)
    by = dict.fromkeys(saved["objectives"], "objectives")
    by = {name: section for name, section in by.items() if name in REALISM} or by  # pairs may be missing
    require_measurable(study, cohort, "val", by)
    for split in cohort.evaluated[1:]:
        require_measurable(study, cohort, split, {})
    restores = any(system.study.point(system.first).restores for system in systems)
    reference_path = prepare_references(study, cohort_path, storage.root, console, measures, restores)
    references = References.open(reference_path)  # here: damaged ones are refused before hours are spent
    judge = Judge.of(cohort, references, "val", measures, any_extended(saved["objectives"]))
    if "cohort_hash" not in saved:
        require_measured(study, judge, by)
        for system in systems:
            require_teacher(system.study, reference_path, cohort)
    config = chosen_bound(systems, saved)
    bound = prepare_bound(config, cohort_path, storage.root, console, ("test",))
    saved |= {"bound": asdict(config) if bound and config else None}
    write_saved(folder, {**saved, "cohort_hash": cohort.hash})
    cards = show_sensitivity(storage, judge)
    scoring = measures, judge.with_extended
    paths = TrialPaths(folder, cohort_path, reference_path, *scoring, study.recovery)
    steps = step_counts(systems, budget, paths)
    recorder = Recorder(tracking_uri, experiment, f"comparison {name}", folder, patience)
    facts = environment(*(system.study for system in systems))
    facts |= {"cohort": cohort.hash, "references": references.hash}
    recorder.study({"budget": str(budget), "seeds": seeds}, facts)
    trainings = [system.training(seed, steps[system.name]) for seed in range(seeds) for system in systems]
    trials = FixedTrials(trainings, study.resources, paths, recorder, ledger)
    with trained(trials, "to resume, start the same command again"):
        report_comparison(trials, objectives, judge, cards, bound, extended, console)


def chosen_bound(systems: Sequence[System], saved: Mapping[str, Any]) -> BoundConfig | None:
    """That of the first system that has a generator of its kind, when the comparison had one first."""
    if saved.get("bound"):
        return build(BoundConfig, saved["bound"])
    measures = saved.get("measures", VERSION)
    configs = (bound_config(system.study, measures) for system in systems)
    return next((config for config in configs if config), None)


def read_saved(folder: Path) -> dict[str, Any]:
    """The conditions, systems and seeds of a comparison that was started; empty for a new one."""
    path = folder / FILE
    return dict(json.loads(path.read_text())) if path.exists() else {}


def objectives_of(saved: Mapping[str, Any], study: Study) -> tuple[Objective, ...]:
    """By which refinement steps are chosen: as a comparison was started, those of the study for a new one.

    Before version 2 of the measures they were not saved: the shipped spaces' of then.
    """
    if not saved:
        return study.objectives
    return tuple(Objective(*item) for item in saved.get("objectives", EARLIER_OBJECTIVES).items())


def write_saved(folder: Path, values: Mapping[str, Any]) -> None:
    """Save them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, json.dumps(values, indent=1))


def require_same(name: str, saved: Mapping[str, Any], fixed: Mapping[str, str]) -> None:
    """Raises InputError where a comparison was started under other conditions."""
    for key, value in fixed.items():
        if saved.get(key, value) != value:
            allowed = f"allowed: {saved[key]}, as it was started, or another --name"
            raise InputError(f"--name: comparison {name!r}: {key} {value} is not allowed; {allowed}")


def step_counts(systems: Sequence[System], budget: TrainingBudget, paths: TrialPaths) -> dict[str, int]:
    """Optimiser steps of each system: the budget's, or as many as fit in its time, measured once and kept."""
    if budget.steps:
        return {system.name: budget.steps for system in systems}
    path = paths.folder / "steps.json"
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    new = [system for system in systems if system.name not in known]
    places = paths.cohort, paths.references, paths.folder
    tasks = [Task(system.method, system.config(0, 1000), *places) for system in new]
    with console.status("timing each system's training step"):
        paces = list(cluster.ray_map(seconds_per_step, tasks, gpus=systems[0].study.resources.gpus))
    for system, pace in zip(new, paces, strict=True):
        known[system.name] = max(1, round(budget.seconds / pace))
    write_text(path, json.dumps(known))
    return known
