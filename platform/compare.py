"""``python -m platform.compare --systems all``: train and compare systems under the same conditions.

Started again with the same ``--name`` it continues where it was: what is trained is not trained again, and
systems or seeds that were not requested before extend the tables.
"""

import argparse
from collections.abc import Sequence
from platform import cli
from platform.comparison.systems import TrainingBudget, find_paths
from platform.spaces.loader import require_name
from platform.storage.layout import Storage
from platform.tracking import store

from trainers.cohorts.base import find_source


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("compare", "--systems cut,unsb --seeds 3 --budget 10min")
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
    """Run the command; raises InputError for a wrong input."""
    options = arguments(argv)
    cli.require_positive(seeds=options.seeds)
    require_name(options.name)
    names = tuple(name.strip() for name in options.systems.split(","))
    find_paths(names)
    if options.budget is not None:
        TrainingBudget.parse(options.budget)
    if options.tracking is not None:
        store.require_known(options.tracking)
    storage = Storage.open(options.storage, options.single_driver)
    if options.cohort is not None:
        find_source(options.cohort)

    # Late: Ray and MLflow take seconds to import, for which a wrong option need not wait.
    from platform.comparison.run import ComparisonRequest, run_comparison

    chosen = ComparisonRequest(names, options.profile, options.cohort, options.budget, options.seeds)
    uri = cli.tracking(options, storage.tracking)
    run_comparison(chosen, options.name, storage, uri, options.address, options.extended)


if __name__ == "__main__":
    cli.run(main)
