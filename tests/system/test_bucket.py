"""A study in a bucket: killed on one machine, resumed on another, promoted on a third."""

import shutil
from pathlib import Path
from platform.driver.mirror import pull
from typing import Any

import pytest

from tests.servers import SECRET, Server
from tests.system.conftest import Start, entries, kill_once
from trainers.places import mounts
from trainers.places.mounts import Mount

pytestmark = pytest.mark.slow


def give(storage: Path, root: Path, url: str) -> None:
    """Let a bucket have the cohorts, references and bounds of a storage."""
    mounts.add(Mount(root, url))
    for kind, depth in (("cohorts", "*"), ("references", "*/*"), ("bounds", "*/*")):
        for folder in (storage / kind).glob(depth):
            if (folder / "manifest.json").is_file():
                shutil.copytree(folder, root / folder.relative_to(storage))
                mounts.publish(root / folder.relative_to(storage))


def test_a_study_in_a_bucket_goes_on_and_is_promoted_on_other_machines(
    start: Start,
    finished: str,
    storage: Path,
    space: Path,
    moto: Server,
    s3_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    monkeypatch.setattr(mounts, "_mounts", {})
    url = "s3://bucket/group a"
    give(storage, tmp_path / "giver", url)
    words = ["--storage", url, "--tracking", f"sqlite:///{tmp_path}/mlflow.db"]

    def run(machine: str, *words: str) -> Any:
        monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path / machine))
        return start(*words)

    def study(machine: str) -> Path:
        return tmp_path / machine / "s3" / "bucket" / "group%20a" / "studies" / "s"

    def ended(machine: str) -> list[int]:
        return [e["trial"] for e in entries(study(machine)) if e["event"] == "ended"]

    def mirrored() -> list[int]:
        """What has ended, as any other machine finds it."""
        pull(mounts.add(Mount(study("watcher").parents[1], url)).root / "studies" / "s")
        return ended("watcher")

    first = run("one", "platform.search", "--space", str(space), "--name", "s", "--trials", "3", *words)
    kill_once(first, lambda: bool(mirrored()))
    done = mirrored()
    assert 1 <= len(done) < 3

    second = run("two", "platform.search", "--resume", "s", *words)
    out, err = second.communicate(timeout=600)
    assert second.returncode == 0, out + err
    assert "Pareto front" in out and f"report: {url}/studies/s/report" in out
    kept = entries(study("two"))
    assert sorted(ended("two")) == [0, 1, 2]
    again = [e["trial"] for e in kept if e["event"] == "started" and e["session"] != kept[0]["session"]]
    assert not set(again) & set(done), "what had ended is not trained again"

    third = run("three", "platform.promote", "s", *words)
    out, err = third.communicate(timeout=600)
    assert third.returncode == 0 and "models:/s@champion is version 1" in out, out + err
    brought = {path.parent.name for path in (tmp_path / "three").rglob("*.npy")}
    assert "val" in brought and "test" not in brought
    copies = [path for name in ("one", "two", "three") for path in (tmp_path / name).rglob("*")]
    texts = (path.read_bytes() for path in copies if path.is_file() and path.suffix != ".npy")
    assert not any(SECRET.encode() in text for text in texts)
