"""Work that an earlier commit saved, opened by the commands as they are; see tests/fixtures/README.md."""

import json
import lzma
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from platform.cohorts.extract import unpack
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.system.conftest import entries

pytestmark = pytest.mark.slow

ARCHIVE = Path(__file__).parents[1] / "fixtures/saved_work.tar.xz"
PLACEHOLDER = "@STORAGE@"
"""In the archive's text files and database: the absolute path of the storage folder."""
TEXT_COLUMNS = """
SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND (c.type LIKE '%CHAR%' OR c.type = 'TEXT')
"""


def fill_in(storage: Path) -> None:
    """Replace the placeholder by the folder's path, and move the journals' byte offsets accordingly."""
    old, new = PLACEHOLDER.encode(), str(storage).encode()
    for path in storage.rglob("journal.offset"):
        sent = path.with_name("journal.jsonl").read_bytes()[: int(path.read_text())]
        path.write_text(str(len(sent.replace(old, new))))
    for path in storage.rglob("*"):
        if path.is_file() and path.suffix not in (".safetensors", ".npy", ".db"):
            path.write_bytes(path.read_bytes().replace(old, new))
    with closing(sqlite3.connect(storage / "mlflow.db")) as database, database:
        for table, column in database.execute(TEXT_COLUMNS).fetchall():
            database.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',
                (PLACEHOLDER, str(storage), PLACEHOLDER),
            )


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage folder of the earlier commit."""
    folder = tmp_path_factory.mktemp("saved")
    archive = folder / "saved_work.tar"
    archive.write_bytes(lzma.decompress(ARCHIVE.read_bytes()))
    unpack([archive], folder / "storage")
    archive.unlink()
    fill_in(folder / "storage")
    return folder / "storage"


@pytest.fixture
def saved(unpacked: Path) -> Iterator[Path]:
    """The storage folder; its cohort and its references are used as they are, none is made again."""

    def manifests() -> dict[Path, int]:
        kinds = ("cohorts/*/manifest.json", "references/*/*/manifest.json")
        return {path: path.stat().st_mtime_ns for kind in kinds for path in unpacked.glob(kind)}

    before = manifests()
    assert len(before) == 1 + 3
    yield unpacked
    assert manifests() == before


def run(command: Any, storage: Path, *words: str) -> str:
    """The output of a command that succeeds."""
    done = command(*words, "--storage", str(storage))
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def of(found: list[dict[str, Any]], event: str) -> list[int]:
    """The trials of the entries of a kind."""
    return [entry["trial"] for entry in found if entry["event"] == event]


def test_an_interrupted_study_continues_from_its_checkpoints(command: Any, saved: Path) -> None:
    folder = saved / "studies/interrupted"
    before = entries(folder)
    newest = {
        path.name: json.loads(max(path.glob("step-*/manifest.json")).read_text())["report"]
        for path in (folder / "trials").iterdir()
    }
    assert len(newest) == 2 and not of(before, "ended")
    assert "Pareto front" in run(command, saved, "platform.search", "--resume", "interrupted")
    after = entries(folder)
    assert after[: len(before)] == before
    assert of(after, "proposed") == [0, 1, 2] and sorted(of(after, "ended")) == [0, 1, 2]
    reported = [entry for entry in after[len(before) :] if entry["event"] == "reported"]
    for number in range(3):
        added = [entry["report"] for entry in reported if entry["trial"] == number]
        report = newest.get(f"{number:05d}")
        # The saved report is sent once more, its seconds the same to the last digit: no rung trains twice.
        place = {"checkpoint": f"trials/{number:05d}/step-{added[0]['step']:09d}"}  # the study may move
        assert report is None or added[0] == {**report, **place}
        first = 6 if report is None else report["step"]
        assert [each["step"] for each in added] == list(range(first, 25, 6))


def test_a_finished_study_is_evaluated_on_its_test_split(command: Any, saved: Path) -> None:
    assert "Validation against test" in run(command, saved, "platform.evaluate", "finished")
    (chosen,) = json.loads((saved / "studies/finished/report/front.json").read_text())["front"]
    rows = json.loads((saved / "studies/finished/test/report/test.json").read_text())
    (searched,) = [row["searched"] for row in rows if row["searched"]]
    assert searched == {name: chosen["values"][name] for name in ("fid", "ms_ssim", "psnr")}


@pytest.mark.parametrize("pick", ["knee", "confirmed"])
def test_the_same_candidate_is_the_same_registered_version(pick: str, command: Any, saved: Path) -> None:
    printed = run(command, saved, "platform.promote", "finished", "--pick", pick)
    assert "models:/finished@champion is version 1" in printed


def test_a_registered_model_translates_a_scan(command: Any, saved: Path, tmp_path: Path) -> None:
    words = ("--study", "finished", "--export", str(tmp_path / "scans"))
    run(command, saved, "platform.prepare", *words)
    t1, t2 = (min(tmp_path.glob(f"scans/*/anat/*acq-64mT_{contrast}w.nii.gz")) for contrast in ("T1", "T2"))
    words = ("models:/finished@champion", "--t1", str(t1), "--t2", str(t2), "-o", str(tmp_path / "out"))
    run(command, saved, "platform.translate", *words)
    for path, contrast in ((t1, "T1"), (t2, "T2")):
        source = nib.load(path)
        output = nib.load(next((tmp_path / "out").rglob(f"*_desc-enhanced_{contrast}w.nii.gz")))
        assert output.shape == source.shape and np.array_equal(output.affine, source.affine)
    sidecar = json.loads(next((tmp_path / "out").rglob("*_desc-enhanced_T1w.json")).read_text())
    assert sidecar["version"] == "1" and sidecar["method"] == "unsb"


def test_a_second_seed_of_a_saved_comparison_trains_only_what_is_new(command: Any, saved: Path) -> None:
    folder = saved / "comparisons/two"
    before = entries(folder)
    words = ("--systems", str(saved / "spaces/inr.yaml"), "--name", "two")
    printed = run(command, saved, "platform.compare", *words, "--seeds", "2")
    assert all(re.search(rf"^ *{label}", printed, re.MULTILINE) for label in ("RegGAN", "INR-based"))
    after = entries(folder)
    assert after[: len(before)] == before
    assert {entry["trial"] for entry in after[len(before) :]} == {2, 3}
    proposed = [entry["params"] for entry in after if entry["event"] == "proposed"]
    assert sorted((p["system"], p["seed"]) for p in proposed) == [
        (s, n) for s in ("inr", "reggan") for n in (0, 1)
    ]
    assert "±" in (folder / "report/tables.md").read_text()
    other = command("platform.compare", *words, "--storage", str(saved), "--budget", "9steps")
    assert other.returncode == 2 and other.stderr.count("\n") == 1 and "budget" in other.stderr
