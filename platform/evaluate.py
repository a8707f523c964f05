"""``python -m platform.evaluate STUDY``: a study's candidates on the test split, once, beside validation."""

import argparse
from collections.abc import Sequence
from platform import cli
from platform.confirmation.picks import CHOICES, require_form
from platform.storage.layout import Storage
from platform.storage.saved_study import load_saved
from platform.tracking import store


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("evaluate", "asp_dmd --pick knee")
    parser.add_argument("study", help="the study's name")
    parser.add_argument("--pick", help=f"{CHOICES} (default: what was confirmed, else the front)")
    cli.add_places(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    if options.pick is not None:
        require_form(options.pick)
    if options.tracking is not None:
        store.require_known(options.tracking)
    storage = Storage.at(options.storage, options.single_driver)
    folder = storage.existing(options.study)

    # Late: Ray and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.confirmation.test_split import run_test

    saved = load_saved(folder)
    uri = cli.tracking(options, storage.tracking_of(saved.facts.tracking))
    run_test(saved, storage, uri, options.pick, options.address)


if __name__ == "__main__":
    cli.run(main)
