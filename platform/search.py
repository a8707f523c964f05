"""``python -m platform.search --space asp_dmd.yaml``: search, record, and print the Pareto front.

A study is frozen in ``<storage>/studies/<name>/study.json`` before its first trial; ``--resume`` reads that copy,
finishes what was left open from each trial's last checkpoint, and goes on.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli, preflight, preparation, results, tracking
from platform.board import Board
from platform.cli import console
from platform.conductor import Conductor
from platform.front import reference_point
from platform.ledger import Ledger
from platform.space import find_space, load_study, profile_choices
from platform.storage import Storage
from platform.study import Study
from platform.summary import describe, environment

from trainers.cohorts.store import Cohort
from trainers.errors import InputError
from trainers.metrics.judge import Judge
from trainers.references.store import References

FLUSH_SECONDS = 30.0
"""How long the end of a search waits for MLflow; what is unsent then is sent by the next start."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m platform.search", description=(__doc__ or "").split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--space", help="YAML search space: a path, or a file of search_spaces/")
    what.add_argument("--resume", metavar="NAME", help="go on with an interrupted study")
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument("--trials", type=int, help="trials, instead of the space's budget")
    parser.add_argument("--name", help="the study's name, instead of the space's")
    parser.add_argument("--storage", default="runs", help="folder of cohorts, references and studies (default: runs)")
    parser.add_argument("--tracking", help="MLflow, sqlite:///file or http(s)://host (default: in the storage)")
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved study and its estimated cost; run nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options = arguments(argv)
    if options.resume:
        storage = Storage.open(options.storage)
        study, saved = load_saved(storage.existing(options.resume))
        search(study, storage, options.tracking or saved["tracking"], options.address)
        return
    study = resolve(options)
    console.print(describe(study))
    if options.dry_run:
        machine = preflight.Machine.here()
        seconds = preflight.estimated_seconds(study, machine)
        console.print(f"estimated cost: about {seconds / 3600:.2g} h on this machine, cohort and references apart")
        return
    storage = Storage.open(options.storage)
    tracking_uri = options.tracking or storage.tracking
    folder = storage.study(study.name)
    if (folder / "study.json").exists():
        raise InputError(f"--name: study {study.name!r} is in {storage.root} already; allowed: --resume {study.name}, or another --name")
    search(study, storage, tracking_uri, options.address)


def resolve(options: argparse.Namespace) -> Study:
    """The study of the space file, its profile and the command line's overrides."""
    path, machine = find_space(options.space), preflight.Machine.here()
    profile = options.profile or preflight.choose_profile(machine, profile_choices(path), options.address)
    study = load_study(path, profile=profile)
    if options.trials is not None:
        if options.trials < 1:
            raise InputError(f"--trials: {options.trials} is not allowed; allowed: 1 or more")
        study = dataclasses.replace(study, budget=dataclasses.replace(study.budget, trials=options.trials))
    if options.name is not None:
        study = study.renamed(options.name)
    if not options.address and not options.dry_run:
        preflight.require_fit(study, machine)
    return study


def load_saved(folder: Path) -> tuple[Study, Mapping[str, str]]:
    """A study's frozen copy, and what else was fixed at its start."""
    saved = json.loads((folder / "study.json").read_text())
    return Study.from_json(saved["study"]), saved


def search(study: Study, storage: Storage, tracking_uri: str, address: str | None) -> None:
    """Prepare what is missing, run the trials that remain, print and record the front."""
    from platform import tuning  # late: importing Ray takes seconds that --dry-run and a wrong input need not wait

    experiment = tracking.prepare(tracking_uri, study.name, storage.artifacts)
    folder = storage.study(study.name)
    ledger = Ledger(folder)
    tuning.start_ray(address, study.resources)
    cohort_path = preparation.prepare_cohort(study.cohort, storage.root, console)
    reference_path = preparation.prepare_references(study, cohort_path, storage.root, console)
    cohort, references = Cohort.open(cohort_path), References.open(reference_path)
    judge = Judge.of(cohort, references, "val")
    point = reference_point(judge.baselines["input"], study.objectives)
    freeze(folder, study, tracking_uri, point)
    recorder = tracking.Recorder(tracking_uri, experiment, study.name, folder)
    facts = {"cohort": cohort.hash, "references": references.hash, **environment(study)}
    recorder.study({"method": study.method, "sampler": study.sampler}, facts)
    conductor = Conductor(study, storage, cohort_path, reference_path, point, recorder, ledger)
    recorder.reconcile({trial.number for trial in ledger.of_status("open")})
    board = Board(conductor, console)
    status: tracking.Status = "KILLED"
    try:
        tuning.run(conductor, [board])
        status = "FINISHED"
    finally:
        board.stop()
        if status == "FINISHED":
            results.publish(conductor, judge, cohort, console)
        unsent = recorder.close(status, FLUSH_SECONDS)
        if unsent:
            console.print(f"MLflow has not taken {unsent} records; they wait in {folder} for the next start")
        ledger.close()


def freeze(folder: Path, study: Study, tracking_uri: str, point: Mapping[str, float]) -> None:
    """Write ``study.json``, once: a resumed study keeps its own copy and its reference point."""
    path = folder / "study.json"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"study": study.to_json(), "tracking": tracking_uri, "reference_point": point}, indent=1))
        fresh.rename(path)


if __name__ == "__main__":
    cli.run(main)
