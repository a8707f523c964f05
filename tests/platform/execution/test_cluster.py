"""Ray: our signal handler, trials at a time, and errors of tasks."""

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from platform.execution import cluster
from platform.execution.machine import Machine
from platform.study.settings import Resources
from typing import Any

import pytest
from ray.tune.execution import class_cache

from tests import servers
from trainers.config import FieldError, build
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.references.config import ReferenceConfig


@pytest.fixture
def handler() -> Iterator[Any]:
    """Ours for SIGTERM, during a test."""
    before = signal.getsignal(signal.SIGTERM)
    ours = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGTERM, ours)
    yield ours
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """How Ray would have been started, in a temporary folder and home of our own."""
    calls: list[Any] = []

    def init(address: str, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        calls.append((address, options))

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster, "machines", lambda: [Machine(2, 0), Machine(4, 1)])
    monkeypatch.setattr(cluster, "_ENVIRONMENT", {})
    short = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", short)
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield calls
    shutil.rmtree(short)


@pytest.mark.parametrize("address", [None, "auto"])
def test_ray_does_not_keep_our_signal_handler(started: list[Any], handler: Any, address: str | None) -> None:
    cluster.start_ray(address, Resources())
    assert signal.getsignal(signal.SIGTERM) is handler and len(started) == 1


@pytest.mark.parametrize(("cpus", "fits"), [(4, True), (5, False)])
def test_where_no_node_has_room_for_a_trial_it_is_said(
    started: list[Any], caplog: pytest.LogCaptureFixture, cpus: int, fits: bool
) -> None:
    cluster.start_ray("auto", Resources(cpus=cpus))
    assert started and ("4 cpus and 1 gpus; waiting for others" in caplog.text) != fits


def test_a_ray_of_our_own_is_private_and_joins_no_other(
    started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    token = tmp_path / ".ray" / "auth_token"
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            cluster.start_ray(None, Resources())
        ((address, options),) = started
        folder = Path(options["_temp_dir"])
        assert address == "local" and folder.stat().st_mode & 0o777 == 0o700
        assert token.stat().st_mode & 0o777 == 0o600 and len(token.read_text()) == 64
        assert "RAY_ADDRESS is set and not used: --address auto joins that cluster" in caplog.text
        started.clear()
        token.chmod(0o644)  # as Ray itself makes it
        folder.chmod(0o755)
    assert not set(cluster._SECRETS) & class_cache.ENV_VARS_TO_PROPAGATE


def test_without_a_home_the_token_lies_in_the_private_folder(
    started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    cluster.start_ray(None, Resources())
    path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert path.parent == Path(started[0][1]["_temp_dir"]) and path.stat().st_mode & 0o777 == 0o600


def test_a_temporary_folder_with_a_long_name_is_refused(
    started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "x" * 50)
    with pytest.raises(InputError, match=r"^TMPDIR: /tmp/x+/ray-\d+ is too long .* allowed: at most 44$"):
        cluster.start_ray(None, Resources())
    assert started == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "auto", "nonsense", "ray://x"]
)
def test_an_address_where_nothing_answers_is_refused_at_once(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    port = servers.free_port()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=r"^--address: .*; allowed: host:port, ray://host:port, or auto"):
        cluster.start_ray(address.format(port=port), Resources())
    assert started == []


def test_what_ray_says_of_an_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError("version mismatch\nmany\nlines")

    monkeypatch.setattr(cluster.ray, "init", fails)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"^--address: auto: version mismatch; allowed: [^\n]*$"):
        cluster.start_ray("auto", Resources())


def test_trials_at_a_time_follow_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may grow and shrink."""
    nodes = [{"Alive": True, "Resources": {"CPU": 16.0, "GPU": 4.0}}]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    assert cluster.concurrency(Resources(cpus=2)) == 8
    assert cluster.concurrency(Resources(cpus=2, gpus=2, workers=2)) == 2
    nodes.append({"Alive": True, "Resources": {"CPU": 3.0}})
    assert cluster.concurrency(Resources(cpus=2)) == 9
    nodes[0]["Alive"] = False
    assert cluster.concurrency(Resources(cpus=2)) == 1
    nodes.clear()
    assert cluster.concurrency(Resources()) == 1


def test_places_are_requested_for_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[Any] = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: requested.append(bundles))
    cluster.request_places(Resources(cpus=4, gpus=2, workers=2), 3)
    cluster.request_places(Resources(cpus=4), 0)
    assert requested == [[{"CPU": 2.0, "GPU": 1.0}] * 6, []]
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: 1 / 0)
    cluster.request_places(Resources(), 1)


@pytest.mark.usefixtures("local_ray")
def test_an_input_error_of_a_task_is_one_line_and_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    missing = tmp_path / "cohort"
    with pytest.raises(InputError) as error:
        list(cluster.ray_map(Cohort.open, [missing]))
    assert str(missing) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(FieldError) as field:
        list(cluster.ray_map(partial(build, ReferenceConfig), [{"crop": "wide"}]))
    assert (field.value.key, field.value.value) == ("crop", "wide")
    with pytest.raises(ZeroDivisionError, match="ray::call"):
        list(cluster.ray_map(partial(divmod, 1), [0]))
