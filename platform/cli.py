"""What every command shares: a wrong input is one line and exit code 2, an interruption 130; a bug keeps its traceback."""

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from rich.console import Console

from trainers.errors import InputError

console = Console(soft_wrap=True)


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a command's ``main`` on the arguments and exit."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except KeyboardInterrupt as signalled:
        print("interrupted; nothing is lost, the same command with --resume goes on", file=sys.stderr)
        leave(int(signalled.args[0]) if signalled.args else 130)
    leave(0)


def leave(code: int) -> None:
    """Exit without waiting for other libraries' threads; everything of ours is on disk by now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(128 + number)
