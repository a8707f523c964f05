"""How a search and a comparison end, whatever ends them: screen, MLflow and ledger are closed in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform.cli import console
from platform.execution.live_table import Board
from platform.storage.ledger import Ledger
from platform.tracking.recorder import Recorder, Status

FLUSH_SECONDS, HURRY_SECONDS = 30.0, 3.0
"""How long the end, and an interruption, wait for MLflow; the next start sends what is unsent."""


@contextmanager
def session(folder: Path, board: Board, recorder: Recorder, ledger: Ledger, cure: str) -> Iterator[None]:
    """Close them when the block is left; ``cure`` tells whoever interrupted it how to go on in ``folder``."""
    status: Status = "KILLED"
    try:
        yield
        status = "FINISHED"
    finally:
        board.stop()
        unsent = recorder.close(status, FLUSH_SECONDS if status == "FINISHED" else HURRY_SECONDS)
        if unsent:
            console.print(f"MLflow has not taken {unsent} records; they wait in {folder} for the next start")
        if status == "KILLED":
            console.print(f"nothing is lost; {cure}")
        ledger.close()
