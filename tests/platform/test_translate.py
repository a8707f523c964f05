"""The translate command: options that contradict each other, failing visits, exit codes."""

import errno
import re
import subprocess
import sys
from pathlib import Path
from platform import translate
from platform.translation import batch
from typing import Any

import pytest
import torch

from trainers.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--bids b --t1 a", "--bids: give either a BIDS folder or --t1 and --t2"),
        ("", "--bids: give either a BIDS folder or --t1 and --t2"),
        ("--t1 {here} --t2-reference {here}", "--t2-reference: is of no scan; allowed: with --t2"),
        ("--t1 a --mask m --brain-mask template", "--mask: not used with --brain-mask template"),
        ("--t1 a --uncertainty 1", "--uncertainty: 1 is not allowed; allowed: 2 or more"),
        ("--t1 a --t1 b --uncertainty 2", "--uncertainty: is not of several views"),
        ("--t1 a --t1 b --check", "--check: compares slices of one view, and several are fused; allowed"),
        ("--t1 a --tracking ftp://x", "tracking uri 'ftp://x': unknown scheme 'ftp'"),
        ("--t1 a --subject sub_1", "--subject: 'sub_1' is not allowed; allowed: letters and digits"),
        ("--t1 a --field-strength 3", "--field-strength: 3.0 is not allowed; allowed: 0.01 to 0.2"),
        ("--t1 {here} --series T3=b", "--series: 'T3' is not allowed; allowed: T1=NAME, T2=NAME or NAME"),
        ("--t1 {here} --series b", "--series: 'b' is not allowed; allowed: with a DICOM folder; {here} is"),
        ("--t2 {here} --series b", "--series: 'b' is not allowed; allowed: with a DICOM folder; {here} is"),
        ("--t1 {dir} --series T2=b", "--series: 'b' is not allowed; allowed: with a DICOM folder; --t2 is"),
        ("--t1 {dir} --series T1=", "--series: 'T1=' is not allowed; allowed: one name for each DICOM"),
        ("--t1 {dir} --series 1 --series t1=2", "--series: 't1=2' is not allowed; allowed: one name for"),
        ("--bids b", "--bids: b is no folder; allowed: a BIDS folder"),
        ("--t1 {here} --t2 no.nii", "no.nii: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"),
        ("--t1 {here}", "model: 'nowhere' is no exported model; allowed: models:/NAME@ALIAS"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_is_written(words: str, line: str, tmp_path: Path) -> None:
    output, places = tmp_path / "out", {"here": __file__, "dir": tmp_path}
    with pytest.raises(InputError) as error:
        translate.main(["nowhere", "-o", str(output), *words.format(**places).split()])
    assert str(error.value).startswith(line.format(**places)) and "\n" not in str(error.value)
    assert not output.exists()


OF_FILES = ("--mask m", "--subject 1", "--series 1", "--t1-reference r", "--t2-reference r")
OF_FOLDERS = ("--participant-label 1", "--participant_label 1", "--filter a=1", "--filters f", "--force")
OF_VISITS = ("--check", "--uncertainty 2", "--field-strength 0.06", "--brain-mask given", "--t1 a")


@pytest.mark.parametrize(
    ("words", "option", "where"),
    [
        *(("m -o out --bids b", option, "with --t1 and --t2") for option in OF_FILES),
        *((f"m -o out --t1 {__file__}", option, "with --bids") for option in OF_FOLDERS),
        *(("b out group", option, "at the participant level") for option in (*OF_FOLDERS, *OF_VISITS)),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(words: str, option: str, where: str) -> None:
    with pytest.raises(InputError) as error:
        translate.main(f"{words} {option}".split())
    named = option.split()[0].replace("_", "-")
    assert re.fullmatch(rf"{named}: .*; allowed: {where}", str(error.value))


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


FULL = OSError(errno.ENOSPC, "No space left on device", "x.nii.gz")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("sub-02: a reason"), "sub-02: a reason"),
        (
            FULL,
            "{scan}: x.nii.gz: No space left on device; allowed: files that can be read, a folder with room",
        ),
        (
            MemoryError("Unable to allocate"),
            "{scan}: there is not enough memory for it (Unable to allocate); a",
        ),
        (
            torch.OutOfMemoryError("CUDA\nmore"),
            "{scan}: there is not enough memory for it (CUDA); allowed: a",
        ),
    ],
)
def test_a_visit_that_fails_is_reported_and_the_others_are_translated(
    error: Exception,
    line: str,
    translator: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans = {f"sub-0{n}": tmp_path / f"sub-0{n}/anat/sub-0{n}_acq-64mT_T1w.nii.gz" for n in (1, 2, 3)}
    for path in scans.values():
        path.parent.mkdir(parents=True)
        path.touch()
    translated = []

    def translate_visit(settings: Any, job: Any, translator: Any) -> None:
        if job.prefixes["T1"].startswith("sub-02"):
            raise error
        translated.append(job.prefixes["T1"])

    monkeypatch.setattr(batch, "translate_visit", translate_visit)
    words = [str(translator("cut")), "--bids", str(tmp_path), "-o", str(tmp_path / "out")]
    with pytest.raises(InputError) as failure:
        translate.main(words)
    assert str(failure.value) == "1 of 3 visits were not translated; the lines above say why"
    assert translated == ["sub-01_acq-64mT", "sub-03_acq-64mT"]
    printed = capsys.readouterr().out
    expected = f"error: {line}".format(scan=scans["sub-02"])
    assert printed.startswith(expected) and printed.count("\n") == 1
    reasons = [row for row in (tmp_path / "out/files.csv").read_text().splitlines() if ",sub-02" in row]
    assert len(reasons) == 1 and reasons[0].startswith("sub-02/anat/") and str(tmp_path) not in reasons[0]
    with pytest.raises(InputError) as failure:
        translate.main([*words, "--participant_label", "02"])
    assert str(failure.value).startswith(expected.removeprefix("error: "))


def test_a_damaged_scan_is_one_line_and_exit_code_2(translator: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "t1.nii.gz"
    damaged.write_bytes(b"\x1f\x8b damaged")
    words = [str(translator("cut", channels="t1")), "--t1", str(damaged), "-o", str(tmp_path / "out")]
    words += ["--field-strength", "0.064"]
    command = [sys.executable, "-m", "platform.translate", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {damaged}: ") and done.stderr.count("\n") == 1
