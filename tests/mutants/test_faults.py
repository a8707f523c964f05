"""The table of faults fits the source: every text is there once, every named test exists."""

from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.breaks)
def test_a_faults_text_occurs_once_and_its_test_exists(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text("utf-8").count(fault.text) == 1
    assert fault.text != fault.replacement
    path, _, name = fault.test.partition("::")
    assert f"def {name}" in (ROOT / path).read_text("utf-8")


def test_there_are_thirty_faults_or_more_and_no_two_are_the_same() -> None:
    assert len({(f.file, f.text, f.replacement) for f in FAULTS}) == len(FAULTS) >= 30
