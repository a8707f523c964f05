"""The command: what it prints, and its exit code."""

from pathlib import Path
from platform import doctor
from platform.diagnosis import network, versions
from platform.diagnosis.finding import Finding

import pytest

from trainers.errors import EnvironmentFault, InputError


def test_problems_are_counted_and_end_it_with_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network, "check", lambda: iter([Finding("network", "ok", "nothing")]))
    doctor.main(["--storage", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "no problems, 0 warnings" and "ok       network    nothing" in lines
    monkeypatch.setattr(versions, "check", lambda: iter([Finding("versions", "problem", "old")]))
    with pytest.raises(EnvironmentFault, match="1 problems, 0 warnings"):
        doctor.main(["--storage", str(tmp_path), "--repair"])


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InputError, match="--storage: 'gs://b/x' is not allowed; allowed: a folder, s3://"):
        doctor.main(["--storage", "gs://b/x"])
    with pytest.raises(InputError, match=r"--space: no file none\.yaml"):
        doctor.main(["--space", "none.yaml"])
