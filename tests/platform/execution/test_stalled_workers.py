"""A worker that is stopped altogether is killed, once it has said nothing new for longer than its limit."""

import os
from copy import copy
from pathlib import Path
from platform.execution import tune_adapters as hangs
from platform.execution.tune_adapters import GRACE, HangCallback, Stalled
from types import SimpleNamespace
from typing import Any

import pytest

from tests.platform.execution.conftest import Clock


def says(folder: Path, limit: float, when: int) -> None:
    (folder / "progress").write_text(f"{limit:.1f}")
    os.utime(folder / "progress", ns=(when, when))


def test_a_trial_stalls_when_nothing_new_is_said_for_its_limit(tmp_path: Path, clock: Clock) -> None:
    """Times of another machine's clock are only compared with each other."""
    stalled = Stalled()
    assert not stalled.is_stalled(tmp_path)
    says(tmp_path, 100.0, 7)
    assert not stalled.is_stalled(tmp_path)
    clock.now += 100 + GRACE
    assert not stalled.is_stalled(tmp_path)
    clock.now += 1
    assert stalled.is_stalled(tmp_path)
    says(tmp_path, 100.0, 3)
    assert not stalled.is_stalled(tmp_path)
    clock.now += 1000
    says(tmp_path, 0.0, 9)
    assert not stalled.is_stalled(tmp_path), "it does not train now"


def test_stalled_workers_are_killed_and_named_first(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(hangs.ray, "kill", lambda actor: calls.append(("killed", actor)))
    callback = HangCallback(lambda name: calls.append(("named", name)))
    for name in "ab":
        (tmp_path / name).mkdir()
        says(tmp_path / name, 5.0, 1)
    trials = [
        SimpleNamespace(
            trial_id=name,
            status=status,
            config={"task": f'{{"folder": "{tmp_path / name}"}}'},
            temporary_state=SimpleNamespace(ray_actor=f"actor {name}"),
        )
        for name, status in (("a", "RUNNING"), ("b", "TERMINATED"))
    ]
    callback.on_step_end(0, trials)
    clock.now += 20
    callback.on_step_end(0, trials)
    assert calls == [("named", "a"), ("killed", "actor a")]
    clock.now += 20
    copy(callback).on_step_end(0, trials)
    assert len(calls) == 2
