"""The prepare command with a cohort: settings as options, wrong ones in one line, an export as BIDS."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform import prepare
from platform.cohorts import archives, build
from platform.execution import cluster
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.platform.cohorts.test_measurable import cohort as small_cohort
from tests.validator import validated
from trainers.cohorts import folder
from trainers.cohorts.base import find_source
from trainers.cohorts.folder import FolderConfig
from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.cohorts.scans import pipeline
from trainers.data.store import SHIFTED, SPLITS, Cohort
from trainers.errors import InputError
from trainers.metrics import card

Run = Callable[..., list[str]]
SMALL = ("--train", "1", "--val", "1", "--test", "1", "--anatomy", "first")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("--cohort", ...)`` without Ray, in the storage ``runs``; returns the lines but for the bars."""
    monkeypatch.setattr(cluster, "start_ray", lambda address, resources: None)
    monkeypatch.setattr(build, "ray_map", lambda function, items, on_crash, here: map(function, items))

    def call(*words: object) -> list[str]:
        prepare.main([str(word) for word in (*words, "--storage", tmp_path / "runs")])
        return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("cohort ")]

    return call


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray and downloads must not be started."""
    monkeypatch.setattr(cluster, "start_ray", lambda *_: pytest.fail("Ray was started"))
    monkeypatch.setattr(archives, "acquire", lambda *_: pytest.fail("a download was started"))


def test_a_chosen_cohorts_settings_are_options() -> None:
    words = ["--cohort", "folder", "--root", "scans", "--size", "2mm", "--val", "7", "--brain-mask", "given"]
    choice = prepare.chosen_cohort(prepare.arguments(words))
    assert choice.source == "folder"
    assert choice.config == FolderConfig(root="scans", size="2mm", val=7, brain_mask="given")
    phantom = prepare.chosen_cohort(prepare.arguments(["--cohort", "phantom", "--paired", "false"]))
    assert phantom.config == PhantomConfig(paired=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--cohort foldr", "source: 'foldr' is not allowed; allowed: did you mean folder? one of folder, "),
        ("--cohort folder", "--root: is missing; allowed: where the scans of folder are"),
        ("--cohort zenodo+ixi", "--root: is missing; allowed: where the scans of zenodo+ixi are"),
        ("--cohort folder --root . --size 3mm", "size: '3mm' is not allowed; allowed: "),
        ("--cohort folder --root . --val 0", "val: 0 is not allowed; allowed: "),
        ("--cohort folder --root . --val few", "val: 'few' is not allowed; allowed: "),
        ("--cohort folder --root . --brain-mask bet", "brain_mask: 'bet' is not allowed"),
        ("--cohort phantom --paired maybe", "paired: 'maybe' is not allowed; allowed: "),
        ("--cohort phantom --anatomy third", "anatomy: 'third' is not allowed; allowed: first, second"),
        ("--cohort phantom --voxel false", "voxel: False is not allowed; allowed: true, scaled"),
        ("--cohort phantom --site moon", "site: 'moon' is not allowed; allowed: different, same"),
        ("--cohort phantom --pathology much", "pathology: 'much' is not allowed; allowed: none, ordinary"),
        (
            "--cohort phantom --anatomy first --pathology more",
            "pathology: 'more' is not allowed; allowed: none with anatomy: first",
        ),
        ("--cohort folder --root . --export x", "--export: 'folder' is not allowed; allowed: "),
        (
            "--cohort phantom --anatomy first --export x --split shifted",
            "--split: 'shifted' is not allowed; allowed: train, val, test: this cohort has no such split",
        ),
        ("--study nobody", "study: 'nobody' is not in"),
    ],
)
@pytest.mark.usefixtures("nothing_starts")
def test_wrong_settings_are_one_line_before_anything_starts(words: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        prepare.main([*words.split(), "--storage", str(tmp_path)])
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words", ["", "--cohort phantom --study x", "--cohort phantom --rot x", "--cohort phantom --split all"]
)
def test_unknown_or_missing_options_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        prepare.main(words.split())
    assert exit_.value.code == 2 and "error: " in capsys.readouterr().err


def test_a_root_that_does_not_exist_is_one_line(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"root: .*nowhere is neither a folder nor a \.csv file"):
        run("--cohort", "folder", "--root", tmp_path / "nowhere")


def test_the_phantom_is_prepared_and_exported_as_a_bids_folder(run: Run, tmp_path: Path) -> None:
    lines = run("--cohort", "phantom", *SMALL, "--export", tmp_path / "bids", "--split", "val")
    cohort = Cohort.open(Path(lines[0].removeprefix("cohort: ")))
    assert {s["split"] for s in cohort.manifest["subjects"]} == set(SPLITS)
    assert set(prepare.SPLITS) == {*SPLITS, SHIFTED}
    none = "no sensitivity card: patch_fd: 1 paired subjects of val are not allowed; allowed: 2 or more"
    assert " ".join(lines[5:]) == none  # a line of the screen is shorter
    assert sorted(map(Path, lines[1:5])) == sorted((tmp_path / "bids").rglob("*.nii.gz"))
    assert validated(tmp_path / "bids") == []
    assert (tmp_path / "bids/participants.tsv").read_text() == "participant_id\tsplit\nsub-val0000\tval\n"
    low, high = sorted(folder.select(tmp_path / "bids").visits, key=lambda visit: visit.domain, reverse=True)
    assert (low.id, high.id) == ("sub-val0000_64mT", "sub-val0000_3T")
    native = native_volumes(PhantomConfig(train=1, val=1, test=1, anatomy="first"), "val-0000")
    for visit in (low, high):
        for contrast, path in visit.scans.items():
            values, affine = native[visit.domain, contrast]  # type: ignore[index]
            np.testing.assert_allclose(nib.load(path).get_fdata(), values, rtol=1e-6)
            np.testing.assert_allclose(nib.load(path).affine, affine, atol=1e-6)


def test_the_shifted_test_split_is_exported_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def volumes(config: Any, subject: str) -> Any:
        return {("64mT", "T1"): (np.full((2, 2, 2), float(len(subject))), np.eye(4))}

    found = small_cohort(tmp_path / "cohort", {"val": 1, "test": 1, SHIFTED: 2})
    monkeypatch.setattr(build, "prepare_cohort", lambda *_: found.path)
    monkeypatch.setattr(
        prepare, "find_source", lambda name: replace(find_source(name), native_volumes=volumes)
    )
    lines = run("--cohort", "phantom", "--shifted", 2, "--export", tmp_path / "bids", "--split", "shifted")
    paths = [f"sub-shifted{i}/anat/sub-shifted{i}_acq-64mT_T1w.nii.gz" for i in (0, 1)]
    assert lines[1:3] == [str(tmp_path / "bids" / path) for path in paths]
    assert nib.load(tmp_path / "bids" / paths[0]).get_fdata().max() == len("shifted-0")
    table = (tmp_path / "bids/participants.tsv").read_text()
    assert "sub-shifted0\ttest" in table
    export = "--cohort", "phantom", "--export", tmp_path / "bids", "--split", "val"
    run(*export)
    path = tmp_path / "bids/participants.tsv"
    assert path.read_text() == f"{table}sub-val0\tval\n"

    # What a user adds is kept; a split is added where the column was removed.
    path.write_text("age\tparticipant_id\n31\tsub-val0\n\tsub-own\n")
    (tmp_path / "bids/participants.json").write_text('{"age": {"Units": "year"}}')
    run(*export)
    assert path.read_text() == "participant_id\tage\tsplit\nsub-own\tn/a\tn/a\nsub-val0\t31\tval\n"
    assert set(json.loads((tmp_path / "bids/participants.json").read_text())) == {"age", "split"}
    path.write_text("age\n31\n")
    with pytest.raises(InputError, match=r"participants\.tsv: has no column participant_id"):
        run(*export)


@pytest.mark.parametrize("name", ["dataset_description.json", "README.md", "participants.tsv", "sub-1/x"])
@pytest.mark.usefixtures("nothing_starts")
def test_nothing_of_another_data_set_is_overwritten(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bids" / name
    path.parent.mkdir(parents=True)
    path.write_text("of a user")
    words = ["--cohort", "phantom", "--export", str(tmp_path / "bids"), "--storage", str(tmp_path / "runs")]
    with pytest.raises(InputError, match=r"^--export: .*bids is another data set.*; allowed: a new folder"):
        prepare.main(words)
    assert path.read_text() == "of a user" and list((tmp_path / "bids").iterdir()) == [
        tmp_path / "bids" / Path(name).parts[0]
    ]


def test_the_card_of_a_cohort_is_printed_without_references(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "prepare_references", lambda *_: pytest.fail("references were trained"))
    few = ("--train", 3, "--val", 2, "--test", 1, "--anatomy", "first")
    text = "\n".join(run("--cohort", "phantom", *few))
    assert "patch distance" in text and "histogram-matched" in text and "FID" not in text
    assert re.search(r"patch distance: (sees anatomy|fails its sensitivity card)", text)
    (kept,) = (tmp_path / "runs/cards").glob("*.json")
    monkeypatch.setattr(card, "compute", None)
    assert "\n".join(run("--cohort", "phantom", *few)) == text and kept.is_file()


def test_every_visit_of_a_folder_that_is_excluded_is_printed_with_its_reason(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too few are left to train: the page is written and its lines are printed nevertheless."""
    for person, field in (("01", "64mT"), ("02", "64mT"), ("03", "64mT"), ("04", "3T")):
        place = tmp_path / f"bids/sub-{person}/anat"
        place.mkdir(parents=True)
        for contrast in ("T1w", "T2w"):
            (place / f"sub-{person}_acq-{field}_{contrast}.nii.gz").write_bytes(b"no scan")
    with pytest.raises(InputError, match=r"no 64mT visit is left for train; .*outcome\.json has the reasons"):
        run("--cohort", "folder", "--root", tmp_path / "bids", "--val", 1, "--test", 1)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("sub", "0"))]
    config: Any = FolderConfig(root=str(tmp_path / "bids"))
    workspace = pipeline.Workspace.of("folder", config, tmp_path / "runs")
    page, table = workspace.folder / "quality.html", workspace.exclusions
    assert "sub-01_64mT" in page.read_text() and table.is_file()
    assert printed[0].startswith(
        f"sub-01_64mT: excluded: {tmp_path}/bids/sub-01/anat/sub-01_acq-64mT_T1w.nii.gz: is not compressed"
    )
    assert printed[4:] == [f"0 of 4 visits prepared; look at {page}, edit {table} and run again"]
