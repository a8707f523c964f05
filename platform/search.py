"""``python -m platform.search --space asp_dmd.yaml``: search, record, and print the Pareto front.

A study is frozen in ``<storage>/studies/<name>/study.json`` before its first trial; ``--resume`` reads that
copy, finishes what was left open from each trial's last checkpoint, and goes on.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli, confirm
from platform.cli import console
from platform.cohorts import build
from platform.execution.live_table import Board, StudyView
from platform.execution.session import session
from platform.orchestration import cost_estimate, report
from platform.orchestration.orchestrator import Conductor
from platform.orchestration.summary import describe, environment
from platform.pareto.front import Bound, bounds, reference_point
from platform.samplers import warm_start
from platform.spaces.loader import find_space, load_study, profile_choices, require_name
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import FILE, extend, freeze, load_saved
from platform.study import budget
from platform.study.criteria import Terms
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.recorder import Recorder
from typing import Any

from threadpoolctl import threadpool_limits

from trainers.data.store import Cohort
from trainers.errors import InputError
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
    more = "add to the budget of a study that is resumed: trials=20 hours=2 gpu_hours=50 cost=100"
    parser.add_argument("--extend", metavar="LIMIT=MORE", nargs="+", action="extend", help=more)
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument("--trials", type=int, help="trials, instead of the space's budget")
    parser.add_argument("--name", help="the study's name, instead of the space's")
    confirm = "retrain this many trials of the front with new seeds afterwards (default: 3)"
    parser.add_argument("--confirm", type=int, nargs="?", const=3, metavar="TOP", help=confirm)
    parser.add_argument("--seeds", type=int, help="new seeds of --confirm (default: 2)")
    cli.add_places(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the study and its estimated cost only")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, machine = arguments(argv), cost_estimate.Machine.here()
    seeds: int = 2 if options.seeds is None else options.seeds
    if options.confirm is not None:
        confirm.require_counts(confirm=options.confirm, seeds=seeds)
    elif options.seeds is not None:
        raise InputError(f"--seeds: {options.seeds} has no meaning here; allowed: with --confirm")
    if options.extend and options.resume is None:
        raise InputError("--extend: there is nothing to extend; allowed: with --resume NAME")
    begun = options.resume is not None
    study, tracking_uri = resume(options) if begun else (resolve(options, machine), options.tracking)
    if not begun and study.warm:
        warm_start.require(study, Storage(Path(options.storage).resolve()))
    console.print(describe(study))
    if options.dry_run:
        console.print(cost_estimate.estimate(study, machine, seeds * (options.confirm or 0)))
        return
    if not options.address:
        cost_estimate.require_fit(study, machine)
    storage = Storage.open(options.storage)
    if not begun and (storage.study(study.name) / FILE).exists():
        cure = f"allowed: --resume {study.name}, or another --name"
        raise InputError(f"--name: study {study.name!r} is in {storage.root} already; {cure}")
    wish = {"confirm": options.confirm, "seeds": options.seeds}
    search(study, storage, tracking_uri or storage.tracking, options.address, wish)
    if options.confirm is not None:
        uri = tracking_uri or storage.tracking
        confirm.run(storage, study.name, uri, options.confirm, seeds, options.address)


def resume(options: argparse.Namespace) -> tuple[Study, str]:
    """The study as it was begun, and its MLflow; raises InputError for an option that would change it."""
    for name in FROZEN:
        if (value := getattr(options, name)) is not None:
            cure = "allowed: --resume without it, as a study goes on as it was begun"
            raise InputError(f"--{name}: {value!r} is not allowed with --resume; {cure}")
    folder = Storage.open(options.storage).existing(options.resume)
    study, saved = load_saved(folder)
    if options.extend:
        more = budget.parse_extension(options.extend)
        study = dataclasses.replace(study, budget=budget.extended(study.budget, more))
    return study, options.tracking or saved["tracking"]


def resolve(options: argparse.Namespace, machine: cost_estimate.Machine) -> Study:
    """The study of the space file, its profile and the command line's overrides."""
    path = find_space(options.space)
    profile = options.profile or cost_estimate.choose_profile(machine, profile_choices(path), options.address)
    study = load_study(path, profile=profile)
    if options.trials is not None:
        study = dataclasses.replace(
            study, budget=budget.with_limits(study.budget, "--", trials=options.trials)
        )
    if options.name is not None:
        study = dataclasses.replace(study, name=require_name(options.name))
    cost_estimate.require_same_crop(study)
    return study


def search(
    study: Study, storage: Storage, tracking_uri: str, address: str | None, wish: Mapping[str, object]
) -> None:
    """Prepare what is missing, run the trials that remain, print and record the front.

    ``wish``: options that whoever goes on after an interruption gives again.
    """
    from platform.execution import (
        tuner,  # late: importing Ray takes seconds, that a wrong input need not wait
    )

    experiment = store.prepare(tracking_uri, store.EXPERIMENT, storage.artifacts)
    folder = storage.study(study.name)
    ledger = Ledger(folder)
    begun = begun_as(folder, study, ledger)
    tuner.start_ray(address, study.resources)
    cohort_path = build.prepare_cohort(study.cohort, storage.root, console, begun.get("cohort"))
    cohort = Cohort.open(cohort_path)
    cost_estimate.require_measurable(study, cohort, "val", study.judged)
    reference_path = build.prepare_references(study, cohort_path, storage.root, console)
    references = References.open(reference_path)
    judge = Judge.of(cohort, references, "val")
    if not begun:
        facts = {
            "tracking": tracking_uri,
            "cohort": cohort.hash,
            "slots": tuner.concurrency(study.resources),
        }
        study = begin(study, storage, judge.baselines["input"], facts)
        begun = load_saved(folder)[1]
    recorder = Recorder(tracking_uri, experiment, study.name, folder)
    tags = {"cohort": cohort.hash, "references": references.hash, **environment(study)}
    means = {"method": study.method, "sampler": study.sampler, "scheduler": study.scheduler.name}
    recorder.study(means, tags)
    terms, slots = Terms.from_plain(begun), begun["slots"]
    conductor = Conductor(study, storage, cohort_path, reference_path, terms, recorder, ledger, slots)
    recorder.reconcile({trial.number for trial in ledger.of_status("open")})
    board = Board(StudyView(conductor), console)
    again: dict[str, object] = {"resume": study.name, "storage": storage.root, "address": address, **wish}
    again["tracking"] = store.given(tracking_uri, begun["tracking"])
    cure = f"to go on: python -m platform.search {cli.options(again)}"
    # The cores are the trials': linear algebra in several threads beside them mostly waits for itself.
    with threadpool_limits(1, "blas"), session(folder, board, recorder, ledger, cure):
        tuner.run(conductor, [board])
        board.stop()
        conductor.close()
        report.publish(conductor, judge, cohort, console)


def begun_as(folder: Path, study: Study, ledger: Ledger) -> Mapping[str, Any]:
    """What was fixed when the study was begun, nothing for a new one; an extended budget is fixed now.

    The ledger is ours by now: no other driver reads the file meanwhile.
    """
    if not (folder / FILE).exists():
        return {}
    if load_saved(folder)[0].budget != study.budget:
        extend(folder, study, len(ledger.of_status("completed")))
    return load_saved(folder)[1]


def begin(study: Study, storage: Storage, baseline: Mapping[str, float], facts: Mapping[str, Any]) -> Study:
    """Freeze a new study, with what an earlier one teaches it; an InputError if no front is possible."""
    limits = bounds(study.constraints, baseline)
    require_possible(study, limits)
    learned = warm_start.Warm()
    if study.warm:
        learned = warm_start.read(storage.existing(study.warm), study, facts["cohort"])
        study = warm_start.started(study, learned)
        console.print("\n".join(learned.told), markup=False)
    point = reference_point(baseline, study.objectives)
    terms = Terms(point, limits, learned.known)
    freeze(storage.study(study.name), study, terms, **facts)
    return study


def require_possible(study: Study, limits: Sequence[Bound]) -> None:
    """Raises InputError for bounds of a metric that exclude each other, the untouched input's put in."""
    least = {bound.metric: bound.value for bound in limits if bound.bound == "min"}
    for bound in limits:
        if bound.bound == "max" and bound.value < least.get(bound.metric, bound.value):
            told = (
                f"{study.path}: constraints: {bound.metric}: min {least[bound.metric]:g}, max {bound.value:g}"
            )
            raise InputError(f"{told} on this cohort; allowed: min at most max, as no trial keeps both")


if __name__ == "__main__":
    cli.run(main)
