"""What a wrong tracking URI is told, how fast, and that no password is ever shown."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from platform.tracking import store

import pytest
from mlflow.tracking import MlflowClient

from trainers.errors import InputError


@pytest.fixture
def dead() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://someone:hunter2@127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
def test_two_processes_may_prepare_one_fresh_store_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from platform import tracking\n"
        "print(tracking.prepare(sys.argv[1], 'exp', Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path)]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ids = {driver.communicate(timeout=60)[0] for driver in drivers}
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://ann:s3cret@host:5000/x", "http://***@host:5000/x"),
        ("failed at https://ann:p@ss/w0rd@host (refused)", "failed at https://***@host (refused)"),
        ("postgresql://h/db?user=a&password=s3cret&x=1", "postgresql://h/db?user=a&password=***&x=1"),
        ("http://127.0.0.1:5000/api", "http://127.0.0.1:5000/api"),
    ],
)
def test_passwords_are_starred_out(text: str, clean: str) -> None:
    assert store.redact(text) == clean


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("file:///tmp/mlruns", "file store is switched off"),
        ("sqlite://", "names no file"),
        ("ftp://ann:s3cret@host/x", "unknown scheme 'ftp'"),
        ("mlruns", "unknown scheme 'mlruns'"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot write in /proc/nowhere"),
    ],
)
def test_a_wrong_uri_is_told_in_one_line(bad: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        store.prepare(bad, "exp", tmp_path)
    message = str(caught.value)
    assert reason in message
    assert "allowed: sqlite:///" in message
    assert "\n" not in message
    assert "s3cret" not in message


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a letter to a friend")
    with pytest.raises(InputError, match="is not a sqlite database"):
        store.prepare(f"sqlite:///{tmp_path}/mlflow.db", "exp", tmp_path)


def test_a_deleted_experiment_is_refused(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(uri).delete_experiment(store.prepare(uri, "exp", tmp_path))
    with pytest.raises(InputError, match="is deleted"):
        store.prepare(uri, "exp", tmp_path)


def test_an_unreachable_server_is_told_at_once(dead: str, tmp_path: Path) -> None:
    begin = time.perf_counter()
    with pytest.raises(InputError, match=r"127.*: no connection: Connection refused; allowed"):
        store.prepare(dead, "exp", tmp_path)
    assert time.perf_counter() - begin < 2


def test_a_mute_server_is_given_up_within_the_answer_time(
    mute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ANSWER_SECONDS", 1)
    begin = time.perf_counter()
    with pytest.raises(InputError, match="no answer in time") as caught:
        store.prepare(mute, "exp", tmp_path)
    assert time.perf_counter() - begin < 3
    assert "hunter2" not in str(caught.value)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_the_safe_settings_are_in_force(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        store.prepare("ftp://host", "exp", tmp_path)
    from mlflow.environment_variables import (
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION,
    )

    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 1
    assert not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get()
    assert not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get()
