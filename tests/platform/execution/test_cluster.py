"""Ray: our signal handler, trials at a time, and errors of tasks."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from platform.execution import cluster
from platform.study.settings import Resources
from typing import Any

import pytest

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


@pytest.mark.parametrize("address", [None, "ray://head:10001"])
def test_ray_does_not_keep_our_signal_handler(
    monkeypatch: pytest.MonkeyPatch, handler: Any, address: str | None
) -> None:
    def init(*arguments: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster, "_ENVIRONMENT", {})
    cluster.start_ray(address, Resources())
    assert signal.getsignal(signal.SIGTERM) is handler


def test_trials_at_a_time_follow_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    available = {"CPU": 16.0, "GPU": 4.0}
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: available)
    assert cluster.concurrency(Resources(cpus=2)) == 8
    assert cluster.concurrency(Resources(cpus=2, gpus=2, workers=2)) == 2
    available.clear()
    assert cluster.concurrency(Resources()) == 1


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
