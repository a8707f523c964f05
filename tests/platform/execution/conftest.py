"""For tests of execution: a recorder that remembers, and Ray with two cores."""

from collections.abc import Callable, Iterator
from platform.execution import retries, tune_adapters
from typing import Any

import pytest
import ray


class Calls:
    """In place of any object with methods: remembers every call as (name, *arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def calls() -> Any:
    """A recorder, or a listener, that remembers its calls."""
    return Calls()


class Clock:
    """Replaces the module ``time``: nothing passes by itself."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of retries and of stopped workers."""
    clock = Clock()
    for module in (retries, tune_adapters):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(scope="package")
def local_ray() -> Iterator[None]:
    """Ray with two cores."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
