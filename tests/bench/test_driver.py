"""The driver's benchmark itself, small."""

import json
from pathlib import Path

import pytest

from tests.bench import driver


@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_it_runs_a_study_to_its_end_and_opens_it_again(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["driver", "--trials", "12", "--places", "3", "--scheduler", scheduler])
    monkeypatch.setattr(driver.tempfile, "tempdir", str(tmp_path))
    driver.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["trials"] == 12 and figures["ledger_mb"] > 0
    assert ("decision_p95_ms" in figures) == (scheduler == "asha") and figures["end_p95_ms"] > 0
