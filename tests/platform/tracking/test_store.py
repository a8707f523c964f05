"""Which tracking URIs are refused, how fast, and that no password is ever shown."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from platform.tracking import store

import pytest
from mlflow.environment_variables import (
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION,
)
from mlflow.tracking import MlflowClient

from trainers.errors import InputError


@pytest.mark.slow
def test_two_processes_may_prepare_one_new_store_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from platform.tracking import store\n"
        "print(store.prepare(sys.argv[1], 'exp', Path(sys.argv[2])))"
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
def test_passwords_are_not_shown(text: str, clean: str) -> None:
    assert store.redact(text) == clean


def test_only_another_store_is_named_again() -> None:
    assert store.differing("http://there:5000", "sqlite:///here.db") == "http://there:5000"
    assert store.differing("sqlite:///here.db", "sqlite:///here.db") is None


def test_credentials_go_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "earlier")
    for uri in ("sqlite:///here@home.db", "http://there:5000/@x", "https://there"):
        assert store.without_credentials(uri) == uri
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "earlier"
    assert store.without_credentials("https://ann:p%40ss@w0rd@there:5000/x") == "https://there:5000/x"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "p@ss@w0rd"


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
def test_a_wrong_uri_is_one_line(bad: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        store.prepare(bad, "exp", tmp_path)
    message = str(error.value)
    assert reason in message and "allowed: sqlite:///" in message
    assert "\n" not in message and "s3cret" not in message
    if "scheme" in reason or "file store" in reason:
        with pytest.raises(InputError, match=reason):
            store.require_known(bad)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a letter to a friend")
    with pytest.raises(InputError, match="is not a sqlite database"):
        store.prepare(f"sqlite:///{tmp_path}/mlflow.db", "exp", tmp_path)


def test_a_deleted_experiment_is_refused(uri: str, tmp_path: Path) -> None:
    MlflowClient(uri).delete_experiment(store.prepare(uri, "deleted", tmp_path))
    with pytest.raises(InputError, match="is deleted"):
        store.prepare(uri, "deleted", tmp_path)


def test_an_unreachable_server_is_refused_at_once(dead: str, tmp_path: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"127.*: no connection: Connection refused; allowed"):
        store.prepare(dead, "exp", tmp_path)
    assert time.perf_counter() - start < 2


def test_a_study_can_start_while_its_server_is_away(
    dead: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert store.prepare_or_wait(dead, "exp", tmp_path) == ""
    (message,) = caplog.messages
    assert message.startswith(f"tracking uri '{dead}': no connection: Connection refused; records wait")
    with pytest.raises(InputError, match="file store is switched off"):
        store.prepare_or_wait("file:///x", "exp", tmp_path)


def test_a_server_that_does_not_respond_is_refused_in_time_and_the_settings_stay_safe(
    mute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RESPONSE_SECONDS", 1)
    start = time.perf_counter()
    with pytest.raises(InputError, match="no response in time") as error:
        store.prepare(mute, "exp", tmp_path)
    assert time.perf_counter() - start < 3
    assert "hunter2" not in str(error.value)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 1
    assert not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get()
    assert not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get()
