"""What every command shares: a wrong input is one line and exit code 2, a bug keeps its traceback."""

import argparse
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from trainers.errors import InputError

console = Console(soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else 120)
"""Markup is off as what is printed holds paths and messages of others; a file is as wide as the tables."""


def parser(command: str, doc: str | None) -> argparse.ArgumentParser:
    """A command's parser, described by the first line of its module's docstring."""
    described = (doc or "").partition("\n")[0]
    return argparse.ArgumentParser(prog=f"python -m platform.{command}", description=described)


def add_places(parser: argparse.ArgumentParser) -> None:
    """The options that say where a search or a comparison runs, keeps and records what it makes."""
    parser.add_argument("--storage", default="runs", help="folder for everything made (default: runs)")
    parser.add_argument(
        "--tracking", help="MLflow: sqlite:///file or http(s)://host (default: in the storage)"
    )
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")


def options(values: Mapping[str, object]) -> str:
    """``--top 3 --seeds 2`` of what is not None, as a shell takes it."""
    given = {name: shlex.quote(str(value)) for name, value in values.items() if value is not None}
    return " ".join(f"--{name} {value}" for name, value in given.items())


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
    except KeyboardInterrupt as signalled:
        print("interrupted", file=sys.stderr)
        leave(int(signalled.args[0]) if signalled.args else 130)
    leave(0)


def leave(code: int) -> None:
    """Exit without waiting for other libraries' threads; everything of ours is on disk by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(128 + number)
