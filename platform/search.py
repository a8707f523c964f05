"""``python -m platform.search --space asp_dmd.yaml``: search, record, and print the Pareto front.

A study is saved in ``<storage>/studies/<name>/study.json`` before its first trial; ``--resume`` reads that
copy, continues what was left open from each trial's last checkpoint, and trains the rest.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from platform import cli
from platform.execution.machine import Machine, prefers_cluster, require_fit
from platform.spaces.loader import find_space, load_chosen, require_name
from platform.storage.layout import Storage
from platform.storage.saved_study import is_saved, load_saved
from platform.study import budget
from platform.study.study import Study
from platform.tracking import store

from trainers.errors import InputError

FIXED = ("profile", "trials", "name")
"""Options that define a study, so that one that is resumed cannot take them."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("search", "--space asp_dmd.yaml --trials 8")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--space", help="YAML search space: a path, or a file of search_spaces/")
    what.add_argument("--resume", metavar="NAME", help="continue an interrupted study")
    more = "add to the budget of a study that is resumed: trials=20 hours=2 gpu_hours=50 cost=100"
    parser.add_argument("--retry", choices=("failed",), help="with --resume: try failed trials again")
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
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    require_consistent(options)
    storage = Storage.at(options.storage, options.single_driver)
    if options.resume is not None:
        study, saved_uri = resume(options, storage)
    else:
        study, saved_uri = resolve(options, storage), storage.tracking

    # Late: Ray and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.confirmation.run import run_confirmation
    from platform.orchestration.cost_estimate import estimate
    from platform.orchestration.run import run_search
    from platform.orchestration.summary import describe
    from platform.reporting.console import console

    console.print(describe(study))
    seeds: int = 2 if options.seeds is None else options.seeds
    if options.dry_run:
        console.print(estimate(study, Machine.here(), seeds * (options.confirm or 0)))
        return
    if not options.address:
        require_fit(study, Machine.here())
    uri = cli.tracking(options, saved_uri)
    storage = Storage.open(options.storage, options.single_driver)
    places = {"storage": storage.shown, "address": options.address}
    other = {"tracking": store.differing(uri, saved_uri)}
    again = {"resume": study.name, **places, "confirm": options.confirm, "seeds": options.seeds, **other}
    hint = cli.resume_hint("search", again)
    run_search(study, storage, uri, options.address, hint, options.retry is not None)
    if options.confirm is not None:
        again = {"top": options.confirm, "seeds": seeds, **places, **other}
        hint = cli.resume_hint(f"confirm {study.name}", again)
        run_confirmation(storage, study.name, uri, options.confirm, seeds, options.address, hint)


def require_consistent(options: argparse.Namespace) -> None:
    """Raises InputError for options that are wrong for every space."""
    if options.seeds is not None and options.confirm is None:
        raise InputError(f"--seeds: {options.seeds} has no meaning here; allowed: with --confirm")
    cli.require_positive(confirm=options.confirm, seeds=options.seeds)
    if options.retry and options.resume is None:
        raise InputError("--retry: there is nothing to try again; allowed: with --resume NAME")
    if options.extend and options.resume is None:
        raise InputError("--extend: there is nothing to extend; allowed: with --resume NAME")
    for name in FIXED if options.resume is not None else ():
        if (value := getattr(options, name)) is not None:
            allowed = "allowed: --resume without it, as a study keeps its settings"
            raise InputError(f"--{name}: {value!r} is not allowed with --resume; {allowed}")
    budget.parse_extension(options.extend or ())
    if options.name is not None:
        require_name(options.name)
    if options.trials is not None:
        budget.with_limits(budget.Budget(trials=1), "--", trials=options.trials)
    if options.tracking is not None:
        store.require_known(options.tracking)
    if options.space is not None:
        find_space(options.space)


def resume(options: argparse.Namespace, storage: Storage) -> tuple[Study, str]:
    """The study as it was started, perhaps with a larger budget, and the MLflow it was started with."""
    saved = load_saved(storage.existing(options.resume))
    study = saved.study
    if options.extend:
        more = budget.parse_extension(options.extend)
        study = dataclasses.replace(study, budget=budget.extended(study.budget, more))
    return study, storage.tracking_of(saved.facts.tracking)


def resolve(options: argparse.Namespace, storage: Storage) -> Study:
    """The study of the space file, its profile and the command line; raises InputError for a used name."""
    path = find_space(options.space)
    if options.name is not None:
        require_new(options, options.name, storage)
    study = load_chosen(path, options.profile, prefers_cluster(options.profile, options.address))
    if options.trials is not None:
        limits = budget.with_limits(study.budget, "--", trials=options.trials)
        study = dataclasses.replace(study, budget=limits)
    if options.name is not None:
        study = dataclasses.replace(study, name=options.name)
    if study.warm:
        require_earlier(study, storage)
    require_new(options, study.name, storage)
    return study


def require_new(options: argparse.Namespace, name: str, storage: Storage) -> None:
    """Raises InputError where a study of the name was started, unless nothing will run."""
    if not options.dry_run and is_saved(storage.brought(storage.study(name))):
        allowed = f"allowed: --resume {name}, or another --name"
        raise InputError(f"--name: study {name!r} is in {storage.shown} already; {allowed}")


def require_earlier(study: Study, storage: Storage) -> None:
    """Raises InputError where the study to start from does not exist."""
    try:
        storage.existing(study.warm)
    except InputError as error:
        raise InputError(f"{study.path}: start_from: {error}") from None


if __name__ == "__main__":
    cli.run(main)
