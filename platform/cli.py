"""What every command shares: a wrong input is one line and exit code 2, a bug keeps its traceback."""

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from platform.tracking import store

from trainers import VERSION
from trainers.errors import InputError
from trainers.faults import of_environment

COMMANDS = {
    "prepare": "make a cohort, from downloads to slices, and the references trained on it",
    "search": "search the hyperparameters of a translator and print the Pareto front",
    "confirm": "retrain the best candidates of a study with new seeds and rank them again",
    "evaluate": "evaluate a study's candidates on the test split, once",
    "compare": "train and compare several systems under the same conditions",
    "promote": "register the best translator of a study in the model registry",
    "translate": "translate 64 mT scans with a registered model (research use only)",
    "doctor": "check an installation, a storage, a cluster or a space before they cost a study",
}
"""Every command with its one line, in the order in which a newcomer needs them."""


class Parser(argparse.ArgumentParser):
    """A parser whose help starts with a sentence and ends with an example."""

    def __init__(self, name: str, sentence: str, ending: str) -> None:
        prog, form = f"python -m {name}", argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, epilog=ending, formatter_class=form)
        self._sentence = sentence
        self.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")

    def format_help(self) -> str:
        """The sentence, then usage, options and example."""
        return f"{self._sentence}\n\n{super().format_help()}"


def parser(command: str, example: str) -> Parser:
    """A command's parser; its help starts with the line of COMMANDS and ends with an example."""
    line = COMMANDS[command]
    sentence = f"{line[0].upper()}{line[1:]}."
    ending = f"example:\n  python -m platform.{command} {example}"
    return Parser(f"platform.{command}", sentence, ending)


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where a command runs, and where it keeps and records what it makes."""
    add_storage(parser, "for everything made")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")


def add_storage(parser: argparse.ArgumentParser, what: str, writes: bool = True) -> None:
    """The options that say where everything is kept, and, if it ``writes`` there, who else may."""
    parser.add_argument(
        "--storage", default="runs", help=f"folder, or s3://bucket/prefix, {what} (default: runs)"
    )
    if writes:
        only = "no other command writes there now: for a bucket whose server cannot see to it"
        parser.add_argument("--single-driver", action="store_true", help=only)


def tracking(options: argparse.Namespace, started: str) -> str:
    """The MLflow of ``--tracking``, else that of the start, without credentials.

    Raises InputError where there is neither: a storage in a bucket has no place for a database.
    """
    if not (chosen := options.tracking or started):
        reason = f"is missing, as {options.storage} cannot hold MLflow's database"
        raise InputError(f"--tracking: {reason}; allowed: http(s)://host:port or sqlite:////absolute/file")
    return store.without_credentials(chosen)


def require_positive(**counts: int | None) -> None:
    """Raises InputError for the number of an option that is below 1."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not allowed; allowed: 1 or more")


def resume_hint(command: str, values: Mapping[str, object]) -> str:
    """How to resume after an interruption: the command with its options that are not None, for a shell."""
    options = [f"--{name} {shlex.quote(str(value))}" for name, value in values.items() if value is not None]
    return " ".join([f"to resume: python -m platform.{command}", *options])


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a command's ``main`` on the arguments and exit.

    Exit codes: 0 done, 2 wrong input, 3 a fault of the machine, its disk or the network, 130 after Ctrl-C,
    143 after SIGTERM.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        leave(128 + (_signals[0] if _signals else signal.SIGINT))
    except Exception as error:
        fault = of_environment(error)
        if fault is None:
            raise
        print(f"error: {fault}", file=sys.stderr)
        leave(3)
    leave(0)


def leave(code: int) -> None:
    """Exit without waiting for other libraries' threads; this program has written all its files."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


_signals: list[int] = []
"""Those received, in order; other libraries catch what the handler raises and raise it anew."""


def _interrupt(number: int, _frame: object) -> None:
    _signals.append(number)
    raise KeyboardInterrupt
