"""The end of a search or a comparison, normal or not: screen, MLflow and ledger are closed in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform.execution.live_table import LiveTable
from platform.reporting.console import console
from platform.storage.ledger import Ledger
from platform.tracking.recorder import Recorder, RunStatus

FLUSH_SECONDS, HURRY_SECONDS = 30.0, 3.0
"""How long the end, and an interruption, wait for MLflow; the next start sends what is unsent."""


@contextmanager
def session(folder: Path, table: LiveTable, recorder: Recorder, ledger: Ledger, hint: str) -> Iterator[None]:
    """Close them when the block is left; after an interruption, print ``hint``: how to resume."""
    status: RunStatus = "KILLED"
    try:
        yield
        status = "FINISHED"
    finally:
        table.stop()
        seconds = FLUSH_SECONDS if status == "FINISHED" else HURRY_SECONDS
        try:
            report_unsent(recorder.close(status, seconds), folder)
        finally:
            ledger.close()
        if status == "KILLED":
            console.print(f"nothing is lost; {hint}")


def report_unsent(unsent: int, folder: Path) -> None:
    """Print how many records MLflow has not accepted, if any."""
    if unsent:
        console.print(f"MLflow has not accepted {unsent} records; they wait in {folder} for the next start")
