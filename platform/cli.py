"""What every command shares: a wrong input is one line and exit code 2, a bug keeps its traceback."""

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

from trainers import VERSION
from trainers.errors import InputError

COMMANDS = {
    "prepare": "make a cohort, from downloads to slices, and the references trained on it",
    "search": "search the hyperparameters of a translator and print the Pareto front",
    "confirm": "retrain the best candidates of a study with new seeds and rank them again",
    "evaluate": "evaluate a study's candidates on the test split, once",
    "compare": "train and compare several systems under the same conditions",
    "promote": "register the best translator of a study in the model registry",
    "translate": "translate 64 mT scans with a registered model",
}
"""Every command with its one line, in the order in which a newcomer needs them."""


def parser(command: str, *examples: str) -> argparse.ArgumentParser:
    """A command's parser: opens with its one line, ends with examples of its options."""
    sentence = COMMANDS[command]
    lines = "\n".join(f"  python -m platform.{command} {example}" for example in examples)
    made = argparse.ArgumentParser(
        prog=f"python -m platform.{command}",
        description=f"{sentence[0].upper()}{sentence[1:]}.",
        epilog=f"example:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    return made


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where a command runs, and where it keeps and records what it makes."""
    parser.add_argument("--storage", default="runs", help="folder for everything made (default: runs)")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")


def require_positive(**counts: int | None) -> None:
    """Raises InputError for the number of an option that is below 1."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"--{name}: {value} is not allowed; allowed: 1 or more")


def command_line(command: str, values: Mapping[str, object]) -> str:
    """``python -m platform.confirm --top 3`` with the options that are not None, as a shell takes it."""
    options = {name: shlex.quote(str(value)) for name, value in values.items() if value is not None}
    return " ".join([f"python -m platform.{command}", *(f"--{name} {v}" for name, v in options.items())])


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a command's ``main`` on the arguments and exit; after Ctrl-C with 130, after SIGTERM with 143."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except KeyboardInterrupt as interrupt:
        print("interrupted", file=sys.stderr)
        leave(int(interrupt.args[0]) if interrupt.args else 130)
    leave(0)


def leave(code: int) -> None:
    """Exit without waiting for other libraries' threads; everything of ours is on disk by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(128 + number)
