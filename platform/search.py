"""``python -m platform.search --space asp_dmd.yaml``: search, record, and print the Pareto front.

A study is frozen in ``<storage>/studies/<name>/study.json`` before its first trial; ``--resume`` reads that
copy, finishes what was left open from each trial's last checkpoint, and goes on.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli, preflight, preparation, results, tracking
from platform.board import Board, StudyView
from platform.cli import console
from platform.conductor import Conductor
from platform.front import reference_point
from platform.ledger import Ledger
from platform.session import session
from platform.space import find_space, load_study, profile_choices, require_name
from platform.storage import Storage
from platform.study import Study
from platform.summary import describe, environment
from typing import Any

from trainers.cohorts.store import Cohort
from trainers.errors import InputError
from trainers.files import write_text
from trainers.metrics.judge import Judge
from trainers.references.store import References

FROZEN = ("profile", "trials", "name")
"""Options that make a study, so that one that is resumed cannot take them."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("search", __doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--space", help="YAML search space: a path, or a file of search_spaces/")
    what.add_argument("--resume", metavar="NAME", help="go on with an interrupted study")
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument("--trials", type=int, help="trials, instead of the space's budget")
    parser.add_argument("--name", help="the study's name, instead of the space's")
    cli.add_places(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the study and its estimated cost only")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, machine = arguments(argv), preflight.Machine.here()
    study, tracking_uri = resume(options) if options.resume else (resolve(options, machine), options.tracking)
    preflight.require_same_crop(study)
    console.print(describe(study))
    if options.dry_run:
        hours = preflight.estimated_seconds(study, machine) / 3600
        console.print(f"estimated cost: about {hours:.2g} h on this machine, cohort and references apart")
        return
    if not options.address:
        preflight.require_fit(study, machine)
    storage = Storage.open(options.storage)
    if not options.resume and (storage.study(study.name) / "study.json").exists():
        cure = f"allowed: --resume {study.name}, or another --name"
        raise InputError(f"--name: study {study.name!r} is in {storage.root} already; {cure}")
    search(study, storage, tracking_uri or storage.tracking, options.address)


def resume(options: argparse.Namespace) -> tuple[Study, str]:
    """The study as it was begun, and its MLflow; raises InputError for an option that would change it."""
    for name in FROZEN:
        if (value := getattr(options, name)) is not None:
            cure = "allowed: --resume without it, as a study goes on as it was begun"
            raise InputError(f"--{name}: {value!r} is not allowed with --resume; {cure}")
    study, saved = load_saved(Storage.open(options.storage).existing(options.resume))
    return study, options.tracking or saved["tracking"]


def resolve(options: argparse.Namespace, machine: preflight.Machine) -> Study:
    """The study of the space file, its profile and the command line's overrides."""
    path = find_space(options.space)
    profile = options.profile or preflight.choose_profile(machine, profile_choices(path), options.address)
    study = load_study(path, profile=profile)
    if options.trials is not None:
        if options.trials < 1:
            raise InputError(f"--trials: {options.trials} is not allowed; allowed: 1 or more")
        study = dataclasses.replace(study, budget=dataclasses.replace(study.budget, trials=options.trials))
    if options.name is not None:
        study = dataclasses.replace(study, name=require_name(options.name))
    return study


def load_saved(folder: Path) -> tuple[Study, Mapping[str, Any]]:
    """A study's frozen copy, and what else was fixed at its start."""
    saved = json.loads((folder / "study.json").read_text())
    return Study.from_json(saved["study"]), saved


def search(study: Study, storage: Storage, tracking_uri: str, address: str | None) -> None:
    """Prepare what is missing, run the trials that remain, print and record the front."""
    from platform import tuning  # late: importing Ray takes seconds, that a wrong input need not wait

    experiment = tracking.prepare(tracking_uri, tracking.EXPERIMENT, storage.artifacts)
    folder = storage.study(study.name)
    ledger = Ledger(folder)
    tuning.start_ray(address, study.resources)
    begun = load_saved(folder)[1] if (folder / "study.json").exists() else {}
    cohort_path = preparation.prepare_cohort(study.cohort, storage.root, console, begun.get("cohort"))
    reference_path = preparation.prepare_references(study, cohort_path, storage.root, console)
    cohort, references = Cohort.open(cohort_path), References.open(reference_path)
    judge = Judge.of(cohort, references, "val")
    require_measurable(study, judge)
    point = reference_point(judge.baselines["input"], study.objectives)
    point = freeze(folder, study, tracking_uri, point, cohort.hash)
    recorder = tracking.Recorder(tracking_uri, experiment, study.name, folder)
    facts = {"cohort": cohort.hash, "references": references.hash, **environment(study)}
    recorder.study({"method": study.method, "sampler": study.sampler}, facts)
    conductor = Conductor(study, storage, cohort_path, reference_path, point, recorder, ledger)
    recorder.reconcile({trial.number for trial in ledger.of_status("open")})
    board = Board(StudyView(conductor), console)
    cure = f"to go on: python -m platform.search --resume {study.name} --storage {storage.root}"
    with session(folder, board, recorder, ledger, cure):
        tuning.run(conductor, [board])
        board.stop()
        conductor.finish_pictures()
        results.publish(conductor, judge, cohort, console)


def require_measurable(study: Study, judge: Judge) -> None:
    """Raises InputError for an objective that needs pairs where there are none."""
    known = {*judge.baselines["input"], "seconds_per_volume"}
    for objective in study.objectives:
        if objective.name not in known:
            reason = "needs paired validation subjects, which this cohort has not"
            raise InputError(
                f"{study.path}: objectives: {objective.name} {reason}; allowed: {', '.join(sorted(known))}"
            )


def freeze(
    folder: Path, study: Study, tracking_uri: str, point: Mapping[str, float], cohort: str
) -> dict[str, float]:
    """Write ``study.json``, once; returns its reference point, which a resumed study keeps."""
    path = folder / "study.json"
    if not path.exists():
        kept = {"study": study.to_json(), "tracking": tracking_uri, "cohort": cohort}
        plain = {**kept, "reference_point": point}
        write_text(path, json.dumps(plain, indent=1))
    return dict(json.loads(path.read_text())["reference_point"])


if __name__ == "__main__":
    cli.run(main)
