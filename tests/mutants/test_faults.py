"""The table of faults fits the source: every text is there once, every named test exists; the runner."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import __main__ as runner
from tests.mutants.__main__ import FAULTS
from tests.mutants.faults import Fault
from trainers.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.breaks)
def test_a_faults_text_occurs_once_and_its_test_exists(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text("utf-8").count(fault.text) == 1
    assert fault.text != fault.replacement
    path, _, name = fault.test.partition("::")
    assert f"def {name}" in (ROOT / path).read_text("utf-8")


def test_there_are_thirty_faults_or_more_and_no_two_are_the_same() -> None:
    assert len({(f.file, f.text, f.replacement) for f in FAULTS}) == len(FAULTS) >= 30


def test_a_planted_fault_is_noticed_or_not_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def double(x):\n    return 2 * x\n"
    (tmp_path / "doubling.py").write_text(source)
    (tmp_path / "test_it.py").write_text(
        "from doubling import double\n\ndef test_two():\n    assert double(2) == 4\n"
    )
    wrong = Fault("", "doubling.py", "2 * x", "3 * x", "test_it.py")
    assert runner.noticed(tmp_path, wrong) == "test_it.py::test_two"
    assert runner.noticed(tmp_path, replace(wrong, replacement="x + 2")) == ""
    with pytest.raises(InputError, match="pytest ended with 4"):
        runner.noticed(tmp_path, replace(wrong, test="test_none.py"))
    with pytest.raises(InputError, match="'x' is there 2 times"):
        runner.noticed(tmp_path, replace(wrong, text="x"))
    monkeypatch.setattr(runner, "LIMIT", 4.0)
    endless = replace(wrong, replacement="max(iter(int, 1))")
    assert runner.noticed(tmp_path, endless) == "no end within 4 s"
    assert (tmp_path / "doubling.py").read_text() == source
    assert "1 of 2 are noticed" in runner.page([(wrong, "test_it.py::test_two"), (wrong, "")])
