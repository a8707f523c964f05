"""The translate command: options that contradict each other, failing visits, exit codes."""

import subprocess
import sys
from pathlib import Path
from platform import translate
from platform.models import batch
from typing import Any

import pytest

from trainers.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--bids b --t1 a", "--bids: give either a BIDS folder or --t1 and --t2"),
        ("", "--bids: give either a BIDS folder or --t1 and --t2"),
        ("--bids b --mask m", "--bids: takes no --mask and no reference"),
        ("--bids b --t2-reference r", "--bids: takes no --mask and no reference"),
        ("--t1 a --mask m --brain-mask template", "--mask: not used with --brain-mask template"),
        ("--t1 a --uncertainty 1", "--uncertainty: 1 is not allowed; allowed: 2 or more"),
        ("--t1 a --tracking ftp://x", "tracking uri 'ftp://x': unknown scheme 'ftp'"),
        ("--t1 a --filter acq=b", "--filter: chooses among files of a BIDS folder; allowed: with --bids"),
        ("--t1 a --field-strength 3", "--field-strength: 3.0 is not allowed; allowed: 0.01 to 0.2"),
        ("--t1 a --series T3=b", "--series: 'T3' is not allowed; allowed: T1=NAME, T2=NAME or NAME"),
        ("--t1 {here} --series b", "--series: 'b' is not allowed; allowed: with a DICOM folder"),
        ("--bids b", "--bids: b is no folder; allowed: a BIDS folder"),
        ("--t1 {here} --t2 no.nii", "no.nii: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"),
        ("--t1 {here}", "model: 'nowhere' is no exported model; allowed: models:/NAME@ALIAS"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_is_written(words: str, line: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(InputError) as error:
        translate.main(["nowhere", "-o", str(output), *words.format(here=__file__).split()])
    assert str(error.value).startswith(line) and "\n" not in str(error.value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("b out partcipant --model m", "'b out partcipant' is not understood; allowed: MODEL, or BIDS OUT"),
        ("m --model m -o out", "'m' is not understood; allowed: MODEL, or BIDS OUT participant|group with"),
        ("b out participant", "--model: is missing; allowed: models:/NAME@ALIAS"),
        ("b out participant --model m --bids c", "'b out participant' is not understood"),
        ("m --t1 a", "-o/--output: is missing; allowed: a folder for the translated scans"),
        ("b {here} group", "--output: {here} holds no translated scan"),
    ],
)
def test_the_form_of_a_bids_app_and_its_errors(words: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        translate.main(words.format(here=tmp_path).split())
    assert str(error.value).startswith(line.format(here=tmp_path)) and "\n" not in str(error.value)


def test_an_output_folder_that_cannot_be_made_is_one_line(translator: Any, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    line = r"--output: .*out cannot be written \(File exists\); allowed: a folder"
    with pytest.raises(InputError, match=line):
        translate.main([str(translator("cut")), "-o", str(tmp_path / "out"), "--t1", __file__])


def test_a_visit_that_fails_is_reported_and_the_others_are_translated(
    translator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for subject in ("sub-01", "sub-02", "sub-03"):
        (tmp_path / subject / "anat").mkdir(parents=True)
        (tmp_path / subject / "anat" / f"{subject}_acq-64mT_T1w.nii.gz").touch()
    translated = []

    def translate_visit(settings: Any, job: Any, translator: Any) -> None:
        if job.prefixes["T1"].startswith("sub-02"):
            raise InputError("sub-02: a reason")
        translated.append(job.prefixes["T1"])

    monkeypatch.setattr(batch, "translate_visit", translate_visit)
    with pytest.raises(InputError) as error:
        translate.main([str(translator("cut")), "--bids", str(tmp_path), "-o", str(tmp_path / "out")])
    assert str(error.value) == "1 of 3 visits were not translated; the lines above say why"
    assert translated == ["sub-01_acq-64mT", "sub-03_acq-64mT"]
    assert capsys.readouterr().out == "error: sub-02: a reason\n"


def test_a_damaged_scan_is_one_line_and_exit_code_2(translator: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "t1.nii.gz"
    damaged.write_bytes(b"\x1f\x8b damaged")
    words = [str(translator("cut", channels="t1")), "--t1", str(damaged), "-o", str(tmp_path / "out")]
    words += ["--field-strength", "0.064"]
    command = [sys.executable, "-m", "platform.translate", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {damaged}: ") and done.stderr.count("\n") == 1
