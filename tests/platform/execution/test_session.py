"""The end of a session: what is printed, and that the ledger is released, after success and interruption."""

from pathlib import Path
from platform.execution.live_table import LiveTable
from platform.execution.session import FLUSH_SECONDS, HURRY_SECONDS, session
from platform.storage.ledger import Ledger
from typing import Any

import pytest


class Recorder:
    """Leaves two records unsent, and remembers how it was closed."""

    def close(self, status: str | None, timeout: float) -> int:
        self.closed = status, timeout
        return 2


@pytest.mark.parametrize("interrupted", [False, True])
def test_everything_is_closed_in_order(
    interrupted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder: Any = Recorder()
    try:
        with session(tmp_path, LiveTable(None, None), recorder, Ledger(tmp_path), "to resume: again"):
            if interrupted:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert interrupted
    expected = ("KILLED", HURRY_SECONDS) if interrupted else ("FINISHED", FLUSH_SECONDS)
    assert recorder.closed == expected
    printed = capsys.readouterr().out
    assert "has not accepted 2 records" in printed
    assert ("nothing is lost; to resume: again" in printed) == interrupted
    Ledger(tmp_path).close()  # another driver may have it
