"""``python -m platform.confirm STUDY``: retrain the front's candidates with new seeds and rank them again."""

import argparse
from collections.abc import Sequence
from platform import cli
from platform.execution.machine import Machine, require_fit
from platform.storage.layout import Storage
from platform.storage.saved_study import load_saved
from platform.tracking import store


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("confirm", "asp_dmd --top 3 --seeds 2")
    parser.add_argument("study", help="the study's name")
    parser.add_argument("--top", type=int, default=3, help="trials of the front to retrain (default: 3)")
    parser.add_argument("--seeds", type=int, default=2, help="new seeds for each (default: 2)")
    cli.add_places(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    cli.require_positive(top=options.top, seeds=options.seeds)
    if options.tracking is not None:
        store.require_known(options.tracking)
    storage = Storage.at(options.storage, options.single_driver)
    folder = storage.existing(options.study)

    # Late: Ray and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.confirmation.run import run_confirmation
    from platform.pareto.selection import saved_front

    saved = load_saved(folder)
    saved_front(saved)
    if not options.address:
        require_fit(saved.study, Machine.here())
    started = storage.tracking_of(saved.facts.tracking)
    uri = cli.tracking(options, started)
    again = {"top": options.top, "seeds": options.seeds, "storage": storage.shown, "address": options.address}
    again["tracking"] = store.differing(uri, started)
    hint = cli.resume_hint(f"confirm {options.study}", again)
    run_confirmation(storage, options.study, uri, options.top, options.seeds, options.address, hint)


if __name__ == "__main__":
    cli.run(main)
