"""The recorder with a sqlite store, servers that do not respond, a real server, and killed processes."""

import math
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from platform.tracking import store
from platform.tracking.recorder import Recorder
from platform.tracking.replay import Replayer
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests import servers


@dataclass(frozen=True)
class Store:
    """An experiment of an MLflow store, and the folder of a study that is recorded there."""

    uri: str
    experiment: str
    folder: Path

    def recorder(self, where: str = "") -> Recorder:
        return Recorder(where or self.uri, self.experiment, "asp", self.folder)

    def runs(self) -> dict[str, Any]:
        """The runs of the experiment by name; a duplicate name fails."""
        runs = MlflowClient(self.uri).search_runs([self.experiment])
        assert max(Counter(run.info.run_name for run in runs).values(), default=1) == 1
        return {run.info.run_name: run for run in runs}

    def history(self, name: str, key: str) -> list[tuple[int, float]]:
        """Steps and values of a run's metric."""
        history = MlflowClient(self.uri).get_metric_history(self.runs()[name].info.run_id, key)
        return [(metric.step, metric.value) for metric in history]


@pytest.fixture
def mlflow(uri: str, tmp_path: Path) -> Store:
    """An experiment of its own in the sqlite store."""
    experiment = store.prepare(uri, tmp_path.name, tmp_path / "artifacts of runs")
    return Store(uri, experiment, tmp_path / "study")


def record(recorder: Recorder, trials: int = 2) -> None:
    recorder.study({"sampler": "tpe"}, {"method": "asp"})
    for trial in range(trials):
        recorder.trial(trial, {"lr": 0.1 * trial, "channels": 64}, {"key": "abc"})
        for step in (100, 200):
            recorder.metrics(trial, {"fid": 50.0 - step / 10 - trial, "ms_ssim": 0.8}, step)
        recorder.finish(trial, "FINISHED", {"outcome": "complete"})
    recorder.study_metrics({"hypervolume": 0.5}, trials)


def test_a_study_is_one_parent_with_its_trials_as_children(mlflow: Store, tmp_path: Path) -> None:
    picture = tmp_path / "front.png"
    picture.write_bytes(b"picture")
    recorder = mlflow.recorder()
    record(recorder)
    recorder.study_artifact(picture, "figures")
    recorder.trial(1, {}, {"rung": 3, "mlflow.runName": "renamed"})
    recorder.finish(1, "FINISHED", {})
    assert recorder.close("FINISHED", 30) == 0
    found = mlflow.runs()
    assert set(found) == {"asp", "trial 0", "renamed"}
    parent, child = found["asp"], found["renamed"]
    assert {run.data.tags.get("mlflow.parentRunId") for run in found.values()} == {None, parent.info.run_id}
    assert "mlflow.parentRunId" not in parent.data.tags
    assert child.data.params == {"lr": "0.1", "channels": "64"}
    assert child.data.tags.items() >= {"key": "abc", "outcome": "complete", "rung": "3"}.items()
    assert mlflow.history("renamed", "fid") == [(100, 39.0), (200, 29.0)]
    assert mlflow.history("asp", "hypervolume") == [(2, 0.5)]
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert all(run.info.end_time >= run.info.start_time for run in found.values())
    artifacts = tmp_path / "artifacts of runs" / tmp_path.name / parent.info.run_id / "artifacts"
    assert (artifacts / "figures/front.png").read_bytes() == b"picture"


def test_a_kill_before_a_delivery_is_saved_duplicates_nothing(mlflow: Store) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from platform.tracking.recorder import Recorder\n"
        "from platform.tracking.journal import Journal\n"
        "def die(journal, end):\n"
        "    if end == journal.end: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Journal.acknowledge = die\n"
        "r = Recorder(sys.argv[1], sys.argv[2], 'asp', Path(sys.argv[3]))\n"
        "r.trial(0, {'lr': 1}, {})\n"
        "for step in range(20): r.metrics(0, {'fid': step}, step)\n"
        "r.close('FINISHED', 60)\n"
    )
    command = [sys.executable, "-c", script, mlflow.uri, mlflow.experiment, str(mlflow.folder)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    assert len(mlflow.history("trial 0", "fid")) == 20, "MLflow had them before the kill"
    assert not (mlflow.folder / "journal.offset").exists(), "and this was not saved"
    recorder = mlflow.recorder()
    recorder.metrics(0, {"fid": 20.0}, 20)
    assert recorder.close("FINISHED", 30) == 0
    assert mlflow.history("trial 0", "fid") == [(step, float(step)) for step in range(21)]
    assert {name: run.info.status for name, run in mlflow.runs().items()} == {
        **{"asp": "FINISHED", "trial 0": "RUNNING"}
    }


def test_a_resumed_trial_that_redoes_a_step_is_not_logged_twice(
    mlflow: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for rate in (1, 2):
        recorder = mlflow.recorder()
        record(recorder, trials=1)
        recorder.trial(0, {"rate": rate}, {})
        recorder.finish(0, "KILLED", {})
        assert recorder.close("KILLED", 30) == 0
    found = mlflow.runs()
    assert mlflow.history("trial 0", "fid") == [(100, 40.0), (200, 30.0)]
    assert found["trial 0"].data.params["rate"] == "1"
    assert found["asp"].info.status == "KILLED"
    assert not caplog.messages


def test_a_dead_server_delays_nothing_and_the_next_start_sends_everything(
    mlflow: Store, dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = mlflow.recorder(dead)
    started = time.perf_counter()
    record(recorder)
    assert time.perf_counter() - started < 0.5
    started = time.perf_counter()
    assert recorder.close("FINISHED", 1.5) == 11
    assert time.perf_counter() - started < 3
    assert sum("accepts no records" in message for message in caplog.messages) == 1
    assert mlflow.recorder().close("FINISHED", 30) == 0
    assert mlflow.history("trial 1", "fid") == [(100, 39.0), (200, 29.0)]


def test_an_outage_within_a_study_loses_nothing(mlflow: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log_batch, failures = MlflowClient.log_batch, iter([ConnectionError("down")] * 2)

    def flaky(self: MlflowClient, *args: Any, **kwargs: Any) -> None:
        log_batch(self, *args, **kwargs)
        if error := next(failures, None):
            raise error  # the worst case: accepted, but the response was lost

    monkeypatch.setattr(MlflowClient, "log_batch", flaky)
    recorder = mlflow.recorder()
    record(recorder)
    assert recorder.close("FINISHED", 30) == 0
    found = mlflow.runs()
    assert len(found) == 3
    assert [mlflow.history(f"trial {n}", "fid")[0] for n in (0, 1)] == [(100, 40.0), (100, 39.0)]
    assert [len(mlflow.history(f"trial {n}", "ms_ssim")) for n in (0, 1)] == [2, 2]


def test_a_server_that_never_responds_does_not_block_the_driver(
    mlflow: Store, mute: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = mlflow.recorder(mute)
    started = time.perf_counter()
    record(recorder)
    assert recorder.close("FINISHED", 0.5) == 11
    assert time.perf_counter() - started < 2
    assert "hunter2" not in "".join(capsys.readouterr())


def test_nan_and_infinity_become_tags_not_metrics(mlflow: Store) -> None:
    recorder = mlflow.recorder()
    recorder.trial(0, {}, {})
    recorder.metrics(0, {"fid": math.nan, "kid": math.inf, "psnr": 20.0}, 7)
    assert recorder.close("FINISHED", 30) == 0
    data = mlflow.runs()["trial 0"].data
    assert data.metrics == {"psnr": 20.0}
    assert data.tags["nonfinite.fid"] == "nan at step 7"
    assert data.tags["nonfinite.kid"] == "inf at step 7"


def test_large_batches_are_split_and_one_rejected_item_costs_only_itself(
    mlflow: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = mlflow.recorder()
    recorder.trial(0, {f"p{i}": i for i in range(250)}, {f"t{i}": i for i in range(120)})
    recorder.metrics(0, {f"m{i}": i for i in range(2300)}, 1)
    recorder.metrics(0, {"fid@4": 1.0, "../up": 2.0, "good": 3.0}, 1)
    recorder.artifact(0, tmp_path / "vanished.png")
    assert recorder.close("FINISHED", 60) == 0
    data = mlflow.runs()["trial 0"].data
    assert (len(data.params), len(data.metrics)) == (250, 2302)
    assert (data.metrics["good"], data.metrics["fid_4"], data.params["p249"]) == (3.0, 1.0, "249")
    assert [m for m in caplog.messages if "../up" in m and "rejects" in m]
    assert [m for m in caplog.messages if "vanished.png" in m]


def test_what_is_added_to_an_ended_study_leaves_its_status(mlflow: Store) -> None:
    recorder = mlflow.recorder()
    recorder.study({"method": "asp"}, {})
    assert recorder.close("KILLED", 30) == 0
    later = mlflow.recorder()
    later.study_metrics({"confirm/rank": 1.0}, 5)
    assert later.close(None, 30) == 0
    run = mlflow.runs()["asp"]
    assert (run.info.status, run.data.metrics["confirm/rank"]) == ("KILLED", 1.0)


def test_reconcile_ends_only_runs_of_its_own_study_that_are_not_live(mlflow: Store, tmp_path: Path) -> None:
    other = Recorder(mlflow.uri, mlflow.experiment, "other", tmp_path / "other")
    other.trial(9, {}, {})
    recorder = mlflow.recorder()
    for trial in range(3):
        recorder.trial(trial, {}, {})
    recorder.finish(0, "FAILED", {"reason": "nan"})
    assert (other.close("FINISHED", 30), recorder.close("KILLED", 30)) == (0, 0)
    resumed = mlflow.recorder()
    resumed.reconcile({2})
    resumed.trial(3, {}, {})
    assert resumed.close("FINISHED", 30) == 0
    statuses = {name: run.info.status for name, run in mlflow.runs().items()}
    running = {f"trial {number}": "RUNNING" for number in (2, 3, 9)}
    assert statuses.items() >= {"trial 0": "FAILED", "trial 1": "KILLED", **running}.items()


def test_appending_takes_a_millisecond_at_most(mlflow: Store, dead: str) -> None:
    recorder = mlflow.recorder(dead)
    metrics = {f"metric_{i}": 1.5 * i for i in range(29)}
    seconds = []
    for step in range(300):
        started = time.perf_counter()
        recorder.metrics(0, metrics, step)
        seconds.append(time.perf_counter() - started)
    recorder.close("KILLED", 0)
    assert sorted(seconds)[len(seconds) // 2] < 1e-3
    assert max(seconds) < 0.1, "RELIABILITY.md row 5"


@pytest.mark.slow
def test_a_server_that_is_away_at_the_start_and_killed_later_has_everything_once(
    database: Path,
    tmp_path: Path,
    port: int,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = f"http://127.0.0.1:{port}"
    picture = tmp_path / "front.png"
    picture.write_bytes(b"picture")
    shutil.copy(database, tmp_path / "server.db")  # a new one takes seconds
    recorder = Recorder(where, store.prepare_or_wait(where, "exp", tmp_path), "asp", tmp_path / "study")
    record(recorder, trials=2)
    server = servers.mlflow(f"sqlite:///{tmp_path}/server.db", tmp_path / "a", port)
    server.start()
    try:
        deadline = time.monotonic() + 30
        while recorder._journal.unsent() and time.monotonic() < deadline:
            time.sleep(0.1)
        experiment = store.find_experiment(where, store.EXPERIMENT)
        server.kill()
        recorder.trial(2, {"lr": 1}, {"key": "k"})
        recorder.metrics(2, {"fid@4": 3.0, "../up": 1.0}, 100)
        recorder.artifact(2, picture)
        deadline = time.monotonic() + 10
        caplog.clear()
        while "accepts no records" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        server.start()
        record(recorder, trials=2)
        assert recorder.close("FINISHED", 60) == 0
        mlflow = Store(where, experiment, tmp_path)
        found = mlflow.runs()
        assert set(found) == {"asp", "trial 0", "trial 1", "trial 2"}
        assert mlflow.history("trial 1", "fid") == [(100, 39.0), (200, 29.0)]
        assert found["trial 2"].data.metrics == {"fid_4": 3.0}
        run_id = Replayer(where, experiment, "asp").find(2)
        assert run_id == found["trial 2"].info.run_id
        assert [file.path for file in MlflowClient(where).list_artifacts(run_id)] == ["front.png"]
        # One per outage, not per retry; a starting server may take a record and then drop the next.
        assert sum("accepts no records" in message for message in caplog.messages) in (1, 2)
        assert capsys.readouterr().out == ""
    finally:
        server.kill()
