"""A storage is checked without a change, and mended on request."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from platform.diagnosis.finding import Finding
from platform.diagnosis.places import check, repair
from platform.driver.lock import locked
from platform.storage.layout import Storage, cache_limit
from platform.storage.ledger import FILE, Ledger, read_trials
from platform.storage.saved_study import StartFacts, save_new
from platform.study.criteria import Criteria
from platform.study.study import Study
from platform.tracking import store

import pytest

from tests.platform.world import REFERENCE
from tests.servers import Server
from trainers import weights
from trainers.errors import InputError
from trainers.files import write_text
from trainers.places import mounts


@pytest.fixture
def storage(smoke: Study, tmp_path: Path) -> Iterator[Storage]:
    """With one study of three trials, one of which has a checkpoint."""
    made = Storage.open(tmp_path / "runs")
    folder = made.study("asp")
    folder.mkdir(parents=True)
    save_new(folder, smoke, Criteria(REFERENCE), StartFacts("", "c", 1))
    ledger = Ledger(folder)
    for number in range(3):
        ledger.proposed(number, {"lambda_DMD": 1.0 + number})
    ledger.close()
    place = folder / "trials" / "00000" / "step-000000006"
    weights.publish(place, {}, {"key": "k", "step": 6}, "checkpoint")
    store.prepare(made.tracking, store.EXPERIMENT, made.artifacts(made.tracking))
    yield made


def states(findings: Iterator[Finding]) -> set[tuple[str, str]]:
    return {(each.subject, each.state) for each in findings if each.state != "ok"}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and "mlflow.db" not in p.name}


def test_a_sound_storage_has_no_warning_and_is_not_changed(storage: Storage) -> None:
    before = everything(storage.root)
    assert states(check(storage)) == set()
    assert everything(storage.root) == before
    text = [each.text for each in check(storage) if each.subject == "study asp"]
    assert text == ["3 lines of its ledger and all checkpoints are intact"]


def test_a_storage_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    assert states(check(Storage.at(tmp_path / "none"))) == {("storage", "warning")}
    assert not (tmp_path / "none").exists()


def test_what_is_damaged_is_named_and_what_can_be_is_mended(storage: Storage) -> None:
    folder = storage.study("asp")
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"2.0", b"9.0")
    (folder / FILE).write_bytes(b"".join(lines))
    (folder / FILE).chmod(0o644)
    (folder / "trials" / "00000" / ".step-000000008.half").mkdir()
    found = [each.text for each in check(storage) if each.state == "warning"]
    assert [text.split(": --repair")[0].split(", unless")[0] for text in found] == [
        "ledger.jsonl can be read by others",
        "lines 3 of its ledger are damaged or missing",
        "1 half-written checkpoints",
    ]
    assert {each.state for each in repair(storage)} == {"ok"}
    assert states(check(storage)) == set() and sorted(read_trials(folder)) == [0, 2]
    assert (folder / "ledger.damaged-1.jsonl").exists()


def test_a_damaged_checkpoint_study_or_database_is_named(storage: Storage) -> None:
    folder = storage.study("asp")
    manifest = folder / "trials" / "00000" / "step-000000006" / weights.MANIFEST
    write_text(manifest, manifest.read_text().replace('"k"', '"other"'))
    assert states(check(storage)) == {("study asp", "warning")}
    values = json.loads((folder / "study.json").read_text())
    write_text(folder / "study.json", json.dumps(values | {"slots": 9}), 0o600)
    storage.database.write_bytes(b"SQLite format 3\0" + bytes(4000))
    wrong = {("study asp", "problem"), ("mlflow", "problem")}
    assert states(check(storage)) == wrong
    assert ("mlflow", "warning") in states(repair(storage)) and states(check(storage)) == wrong


def test_a_moved_storage_is_mended(storage: Storage, tmp_path: Path) -> None:
    here = Storage(tmp_path / "moved")
    shutil.move(storage.root, here.root)
    assert states(check(here)) == {("mlflow", "warning")}
    assert "artifacts are in" in next(iter(repair(here))).text
    assert states(check(here)) == set()


def test_a_study_that_runs_is_left_as_it_is(storage: Storage) -> None:
    with locked(storage.study("asp")):
        assert states(repair(storage)) == {("study asp", "warning")}


@pytest.mark.parametrize("kind", ["rclone", "moto"])
def test_a_bucket_is_written_read_and_asked_for_what_it_promises(
    kind: str,
    smoke: Study,
    request: pytest.FixtureRequest,
    s3_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server: Server = request.getfixturevalue(kind)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mounts, "_mounts", {})
    storage = Storage.open(f"s3://bucket/{tmp_path.name}", single_driver=kind == "rclone")
    folder = storage.study("asp")
    Ledger(folder).close()
    save_new(folder, smoke, Criteria(REFERENCE), StartFacts("", "c", 1))
    Ledger(folder).close()
    weak = {("storage", "warning")} if kind == "rclone" else set()
    assert states(check(storage)) == weak
    assert any(each.text.endswith("checkpoints are intact") for each in check(storage))
    assert not [each for each in repair(storage) if each.state != "ok"]
    if kind == "rclone":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        monkeypatch.setattr(mounts, "_mounts", {})
        with pytest.raises(InputError, match=r"SignatureDoesNotMatch.*allowed: a bucket that you may read"):
            Storage.open(f"s3://bucket/{tmp_path.name}")
        assert states(check(Storage.at(f"s3://bucket/{tmp_path.name}"))) == {("storage", "problem")}


@pytest.mark.parametrize(
    ("given", "bytes_"), [("", 0), ("0", 0), ("1.5", 1_500_000_000), ("-1", None), ("x", None)]
)
def test_the_limit_of_a_copy_is_in_gigabytes(
    given: str, bytes_: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSLATOR_CACHE_GB", given)
    if bytes_ is None:
        with pytest.raises(InputError, match=r"TRANSLATOR_CACHE_GB: .* allowed: gigabytes, 0 for no limit"):
            cache_limit()
    else:
        assert cache_limit() == bytes_
