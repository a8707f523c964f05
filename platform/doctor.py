"""``python -m platform.doctor``: what would cost a study, found before it does; exit code 3 for a problem."""

import argparse
from collections.abc import Iterator, Sequence
from platform import cli
from platform.execution.machine import Machine, prefers_cluster
from platform.spaces.loader import find_space, load_chosen
from platform.storage.layout import Storage
from platform.study.settings import Resources
from typing import TYPE_CHECKING

from trainers.errors import EnvironmentFault

if TYPE_CHECKING:
    from platform.diagnosis.finding import Finding


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("doctor", "--space asp_dmd.yaml")
    cli.add_storage(parser, "that is checked")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended in the storage first")
    parser.add_argument("--space", help="a search space: whether its trials fit, and their memory")
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument("--address", help="a running Ray cluster (default: this machine)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for a wrong input, EnvironmentFault where there is a problem."""
    options = arguments(argv)
    storage = Storage.at(options.storage, options.single_driver)
    if options.space is not None:
        find_space(options.space)
    from platform.reporting.console import console

    counts = {"ok": 0, "warning": 0, "problem": 0}
    for finding in findings(options, storage):
        counts[finding.state] += 1
        console.print(f"{finding.state:<8} {finding.subject:<10} {finding.text}")
    if counts["problem"]:
        raise EnvironmentFault(f"{counts['problem']} problems, {counts['warning']} warnings")
    console.print(f"no problems, {counts['warning']} warnings")


def findings(options: argparse.Namespace, storage: Storage) -> Iterator["Finding"]:
    """Every check that the options ask for."""
    from platform.diagnosis import network, places, resources, versions  # late: torch takes a second

    yield from versions.check()
    yield from resources.check_machine()
    if options.repair:
        yield from places.repair(storage)
    yield from places.check(storage)
    study = None
    if options.space is not None:
        path = find_space(options.space)
        study = load_chosen(path, options.profile, prefers_cluster(options.profile, options.address))
    if options.address:
        yield from resources.check_cluster(options.address, study.resources if study else Resources())
    yield from network.check()
    if study is not None:
        yield from resources.check_space(study, None if options.address else Machine.here())


if __name__ == "__main__":
    cli.run(main)
