"""files.csv of translate over several calls and processes."""

import csv
import multiprocessing
from pathlib import Path
from platform.storage import outcomes
from platform.storage.outcomes import NOT_REQUESTED, without
from platform.translation import derivatives

import pytest

from trainers.cohorts.scans.choice import Left
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError


def selection(root: Path, *numbers: int) -> Selection:
    """A visit at 64 mT for each number, one at 3 T, and a localizer."""

    def visit(number: int, domain: str) -> Visit:
        subject = f"sub-{number:02}"
        return Visit(subject, "", domain, root / f"{subject}/anat/{subject}_acq-{domain}_T1w.nii", None)

    visits = [visit(number, "64mT") for number in numbers] + [visit(1, "3T")]
    return Selection(visits, [Left(root / "sub-01/anat/sub-01_acq-loc_T1w.nii", "a localizer")])


def rows(out: Path) -> dict[str, tuple[str, str, str]]:
    with (out / "files.csv").open() as stream:
        return {row.pop("file"): tuple(row.values()) for row in csv.DictReader(stream)}  # type: ignore[misc]


def low(number: int) -> str:
    return f"sub-{number:02}/anat/sub-{number:02}_acq-64mT_T1w.nii"


def test_each_call_adds_its_visits_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    chosen = selection(root, 1, 2, 3)

    def record(**found: str) -> dict[str, tuple[str, str, str]]:
        outcomes.record(out, root, chosen, {f"sub-{key[1:]}_64mT": why for key, why in found.items()})
        return rows(out)

    first = record(s01=f"{root}/{low(1)}: is constant; {out}/x; allowed: a scan")
    assert first[low(1)] == ("sub-01_64mT", "", f"{low(1)}: is constant; x; allowed: a scan")
    assert first[low(2)] == ("sub-02_64mT", "", NOT_REQUESTED)
    second = record(s02="", s03="bad")
    assert second[low(1)] == first[low(1)]
    assert second[low(2)] == ("sub-02_64mT", "T1", "") and second[low(3)] == ("sub-03_64mT", "", "bad")
    third = record(s01="")
    assert third == second | {low(1): ("sub-01_64mT", "T1", "")}
    assert third["sub-01/anat/sub-01_acq-3T_T1w.nii"] == ("", "", "a 3 T scan")
    assert third["sub-01/anat/sub-01_acq-loc_T1w.nii"] == ("", "", "a localizer")
    assert str(tmp_path) not in (out / "files.csv").read_text()


def one_participant(root: Path, out: Path, number: int, failing: bool) -> None:
    """What a job of an array does, several times."""
    for _ in range(5):
        derivatives.describe(out, root)
        chosen = selection(root, *range(8))
        outcomes.record(out, root, chosen, {f"sub-{number:02}_64mT": "bad" if failing else ""})


def test_jobs_of_one_participant_each_write_into_one_output_at_once(tmp_path: Path) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    spawn = multiprocessing.get_context("spawn")
    jobs = [
        spawn.Process(target=one_participant, args=(root, out, number, number % 2 == 1))
        for number in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    reasons = {visit: reason for visit, _, reason in rows(out).values() if visit}
    expected = {f"sub-{n:02}_64mT": ("", "bad")[n % 2] if n < 4 else NOT_REQUESTED for n in range(8)}
    assert reasons == expected
    derivatives.require_own(out, root)
    files = {"dataset_description.json", ".bidsignore", "README.md", "files.csv", ".lock"}
    assert {path.name for path in out.iterdir()} == files


@pytest.mark.parametrize("text", ["visit,used\nsub-01,T1\n", 'visit,reason\n"sub-01'])
def test_a_table_that_is_not_understood_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "files.csv").write_text(text)
    with pytest.raises(InputError, match=r"^.*files\.csv: .*; allowed: "):
        outcomes.record(tmp_path, tmp_path / "bids", selection(tmp_path / "bids", 1), {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a/b/c.nii: bad", "c.nii: bad"),
        ("/a/b: bad", "...: bad"),
        ("/a/b-c/d.nii", "/a/b-c/d.nii"),
        ("x/a/b/c", "x/a/b/c"),
        ("T1 of /a/b/c and /a/b/d/e", "T1 of c and d/e"),
    ],
)
def test_text_names_files_below_the_folder(text: str, shown: str) -> None:
    assert without(text, Path("/a/b"), Path("/")) == shown


def test_a_folder_of_a_common_name_takes_no_word_away() -> None:
    assert without("scans/x.nii: not scans of one person", Path("scans")) == "x.nii: not scans of one person"
