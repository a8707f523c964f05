"""``python -m platform.search --space asp_dmd.yaml``: search, record, and print the Pareto front.

A study is frozen in ``<storage>/studies/<name>/study.json`` before its first trial; ``--resume`` reads that
copy, finishes what was left open from each trial's last checkpoint, and goes on.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from platform import cli, confirm, preflight, preparation, results, spending, tracking, warm
from platform.board import Board, StudyView
from platform.cli import console
from platform.conductor import Conductor
from platform.front import bounds, reference_point
from platform.frozen import FILE, extend, freeze, load_saved
from platform.ledger import Ledger, of_status, read_trials
from platform.session import session
from platform.space import find_space, load_study, profile_choices, require_name
from platform.storage import Storage
from platform.study import Study
from platform.summary import describe, environment
from platform.terms import Terms

from trainers.cohorts.store import Cohort
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
    parser.add_argument("--extend", metavar="LIMIT=MORE", nargs="+", help=more)
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument("--trials", type=int, help="trials, instead of the space's budget")
    parser.add_argument("--name", help="the study's name, instead of the space's")
    confirm = "retrain this many trials of the front with new seeds afterwards (default: 3)"
    parser.add_argument("--confirm", type=int, nargs="?", const=3, metavar="TOP", help=confirm)
    parser.add_argument("--seeds", type=int, default=2, help="new seeds of --confirm (default: 2)")
    cli.add_places(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the study and its estimated cost only")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, machine = arguments(argv), preflight.Machine.here()
    if options.confirm is not None:
        confirm.require_counts(confirm=options.confirm, seeds=options.seeds)
    if options.extend and not options.resume:
        raise InputError("--extend: there is nothing to extend; allowed: with --resume NAME")
    study, tracking_uri = resume(options) if options.resume else (resolve(options, machine), options.tracking)
    preflight.require_same_crop(study)
    console.print(describe(study))
    if options.dry_run:
        console.print(preflight.estimate(study, machine))
        return
    if not options.address:
        preflight.require_fit(study, machine)
    storage = Storage.open(options.storage)
    if not options.resume and (storage.study(study.name) / "study.json").exists():
        cure = f"allowed: --resume {study.name}, or another --name"
        raise InputError(f"--name: study {study.name!r} is in {storage.root} already; {cure}")
    if study.warm and not options.resume:
        storage.existing(study.warm)  # told before cohort and references are made
    search(study, storage, tracking_uri or storage.tracking, options.address)
    if options.confirm is not None:
        uri = tracking_uri or storage.tracking
        confirm.run(storage, study.name, uri, options.confirm, options.seeds, options.address)


def resume(options: argparse.Namespace) -> tuple[Study, str]:
    """The study as it was begun, and its MLflow; raises InputError for an option that would change it."""
    for name in FROZEN:
        if (value := getattr(options, name)) is not None:
            cure = "allowed: --resume without it, as a study goes on as it was begun"
            raise InputError(f"--{name}: {value!r} is not allowed with --resume; {cure}")
    folder = Storage.open(options.storage).existing(options.resume)
    study, saved = load_saved(folder)
    if options.extend:
        more = spending.parse_extension(options.extend)
        study = dataclasses.replace(study, budget=spending.extended(study.budget, more))
        if not options.dry_run:
            extend(folder, study, len(of_status(read_trials(folder), "completed")))
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


def search(study: Study, storage: Storage, tracking_uri: str, address: str | None) -> None:
    """Prepare what is missing, run the trials that remain, print and record the front."""
    from platform import tuning  # late: importing Ray takes seconds, that a wrong input need not wait

    experiment = tracking.prepare(tracking_uri, tracking.EXPERIMENT, storage.artifacts)
    folder = storage.study(study.name)
    ledger = Ledger(folder)
    tuning.start_ray(address, study.resources)
    begun = load_saved(folder)[1] if (folder / FILE).exists() else {}
    cohort_path = preparation.prepare_cohort(study.cohort, storage.root, console, begun.get("cohort"))
    reference_path = preparation.prepare_references(study, cohort_path, storage.root, console)
    cohort, references = Cohort.open(cohort_path), References.open(reference_path)
    judge = Judge.of(cohort, references, "val")
    if not begun:
        study = begin(study, storage, judge.baselines["input"], tracking_uri, cohort.hash)
    terms = Terms.from_plain(load_saved(folder)[1])
    recorder = tracking.Recorder(tracking_uri, experiment, study.name, folder)
    facts = {"cohort": cohort.hash, "references": references.hash, **environment(study)}
    means = {"method": study.method, "sampler": study.sampler, "scheduler": study.scheduler.name}
    recorder.study(means, facts)
    slots = tuning.concurrency(study.resources)
    conductor = Conductor(study, storage, cohort_path, reference_path, terms, recorder, ledger, slots)
    recorder.reconcile({trial.number for trial in ledger.of_status("open")})
    board = Board(StudyView(conductor), console)
    cure = f"to go on: python -m platform.search --resume {study.name} --storage {storage.root}"
    with session(folder, board, recorder, ledger, cure):
        tuning.run(conductor, [board])
        board.stop()
        conductor.close()
        results.publish(conductor, judge, cohort, console)


def begin(
    study: Study, storage: Storage, baseline: Mapping[str, float], tracking_uri: str, cohort: str
) -> Study:
    """Freeze a new study, with what an earlier one teaches it; an InputError if it cannot be measured."""
    require_measurable(study, baseline)
    learned = warm.Warm()
    if study.warm:
        learned = warm.read(storage.existing(study.warm), study, cohort)
        study = warm.started(study, learned.points)
        console.print("\n".join(learned.told), markup=False)
    point = reference_point(baseline, study.objectives)
    terms = Terms(point, bounds(study.constraints, baseline), learned.known)
    freeze(storage.study(study.name), study, terms, tracking_uri, cohort)
    return study


def require_measurable(study: Study, baseline: Mapping[str, float]) -> None:
    """Raises InputError for an objective or constraint that needs pairs where there are none."""
    known = {*baseline, "seconds_per_volume"}
    asked = [("objectives", o.name) for o in study.objectives]
    for section, name in asked + [("constraints", c.metric) for c in study.constraints]:
        if name not in known:
            reason = "needs paired validation subjects, which this cohort has not"
            told = f"{study.path}: {section}: {name} {reason}"
            raise InputError(f"{told}; allowed: {', '.join(sorted(known))}")


if __name__ == "__main__":
    cli.run(main)
