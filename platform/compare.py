"""``python -m platform.compare --systems all``: train, evaluate and compare systems on one protocol.

Started again with the same ``--name`` it goes on where it was: what is trained is not trained again, and
systems or seeds that were not asked for before extend the tables.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli
from platform.cli import console
from platform.cohorts import build
from platform.comparison import report, systems
from platform.comparison.systems import Budget, Entrant
from platform.execution.fixed_trials import Entry, Roster, trained
from platform.orchestration import cost_estimate
from platform.orchestration.summary import environment
from platform.spaces.loader import require_name
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.tracking import store
from platform.tracking.recorder import Recorder
from typing import Any

from trainers.cost import seconds_per_step
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.files import write_text
from trainers.loop import Task
from trainers.references.store import References

TERMS = "comparison.json"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("compare", __doc__)
    parser.add_argument(
        "--systems", default="all", help="all, or spaces separated by commas: cut,unsb,my_space.yaml"
    )
    parser.add_argument(
        "--cohort", metavar="SOURCE", help="a file of trainers/cohorts (default: the spaces')"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each system (default: 1)")
    parser.add_argument("--budget", help="of each training: 400steps, or 10min (default: the spaces' steps)")
    parser.add_argument("--profile", help="variant of the spaces (default: by the resources found)")
    parser.add_argument(
        "--extended", action="store_true", help="add tissue, hallucination, through-plane measures"
    )
    parser.add_argument("--name", default="comparison", help="the comparison's name (default: comparison)")
    cli.add_places(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, machine = arguments(argv), cost_estimate.Machine.here()
    if options.seeds < 1:
        raise InputError(f"--seeds: {options.seeds} is not allowed; allowed: 1 or more")
    storage = Storage.open(options.storage)
    folder = storage.comparison(require_name(options.name))
    begun = read_terms(folder)
    names = [*begun.get("systems", []), *(name.strip() for name in options.systems.split(","))]
    profile, source = options.profile or begun.get("profile"), options.cohort or begun.get("source")
    entrants = systems.find_entrants(names, profile, source, machine, options.address)
    budget = systems.common_budget(entrants, options.budget or begun.get("budget"))
    if not options.address:
        cost_estimate.require_fit(entrants[0].study, machine)
    seeds = max(options.seeds, begun.get("seeds", 1))
    fixed = systems.terms(entrants, budget)
    require_same(folder.name, begun, fixed)
    write_terms(folder, {**begun, **fixed, "systems": [e.system for e in entrants], "seeds": seeds})
    compare(entrants, budget, seeds, options, storage)


def read_terms(folder: Path) -> dict[str, Any]:
    """On what terms, with which systems and seeds a comparison was begun; empty for a new one."""
    path = folder / TERMS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_terms(folder: Path, terms: Mapping[str, Any]) -> None:
    """Remember them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TERMS, json.dumps(terms, indent=1))


def require_same(name: str, begun: Mapping[str, Any], terms: Mapping[str, str]) -> None:
    """Raises InputError where a comparison was begun on other terms."""
    for key, value in terms.items():
        if begun.get(key, value) != value:
            cure = f"allowed: {begun[key]}, as it was begun, or another --name"
            raise InputError(f"--name: comparison {name!r}: {key} {value} is not allowed; {cure}")


def compare(
    entrants: Sequence[Entrant], budget: Budget, seeds: int, options: argparse.Namespace, storage: Storage
) -> None:
    """Prepare what is missing, train what is not yet, evaluate, and write tables and pictures."""
    from platform.execution import (
        tuner,  # late: importing Ray takes seconds, that a wrong input need not wait
    )

    uri, folder = options.tracking or storage.tracking, storage.comparison(options.name)
    experiment = store.prepare(uri, store.EXPERIMENT, storage.artifacts)
    ledger, study = Ledger(folder), entrants[0].study
    tuner.start_ray(options.address, study.resources)
    terms = read_terms(folder)
    cohort = build.prepare_cohort(study.cohort, storage.root, console, terms.get("cohort_hash"))
    references = build.prepare_references(study, cohort, storage.root, console)
    opened = Cohort.open(cohort), References.open(references)  # damaged ones are told before hours are spent
    write_terms(folder, {**terms, "cohort_hash": opened[0].hash})
    steps = step_counts(entrants, budget, cohort, references, folder)
    recorder = Recorder(uri, experiment, f"comparison {folder.name}", folder)
    facts = environment(*(entrant.study for entrant in entrants))
    facts |= {"cohort": opened[0].hash, "references": opened[1].hash}
    recorder.study({"budget": str(budget), "seeds": seeds}, facts)
    entries = [
        Entry(entrant, seed, entrant.config(seed, steps[entrant.name]))
        for seed in range(seeds)
        for entrant in entrants
    ]
    roster = Roster(entries, folder, cohort, references, recorder, ledger)
    with trained(roster, "to go on, start the same command again"):
        report.publish(roster, *opened, options.extended, console)


def step_counts(
    entrants: Sequence[Entrant], budget: Budget, cohort: Path, references: Path, folder: Path
) -> dict[str, int]:
    """Optimiser steps of each system: the budget's, or as many as fit in its time, measured once and kept."""
    from platform.execution.tuner import ray_map

    if budget.steps:
        return {entrant.name: budget.steps for entrant in entrants}
    path = folder / "steps.json"
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    new = [entrant for entrant in entrants if entrant.name not in known]
    tasks = [Task(e.study.method_of(e.first), e.config(0, 1000), cohort, references, folder) for e in new]
    with console.status("timing each system's training step"):
        paces = list(ray_map(seconds_per_step, tasks, gpus=entrants[0].study.resources.gpus))
    for entrant, pace in zip(new, paces, strict=True):
        known[entrant.name] = max(1, round(budget.seconds / pace))
    write_text(path, json.dumps(known))
    return known


if __name__ == "__main__":
    cli.run(main)
