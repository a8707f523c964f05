"""Checkpoints between rungs: saved beside training, on SIGTERM, and as if nothing had been interrupted."""

import json
import logging
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.small import loop_of, task_of
from trainers import checkpoint, termination, weights
from trainers.loop import Loop, Stopped
from trainers.report import Report

FINISHED = 8


def steps(trial: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in sorted(trial.glob("step-*"))]


def outcome(report: Report) -> Any:
    """A report without its clocks."""
    scores = {n: {**s, "seconds_per_volume": 0} for n, s in report.scores.items()}
    return report.step, scores, dict(report.losses)


class Died(BaseException):
    """The process is killed here."""


def killed_after(training: Loop, step: int) -> None:
    """Train until a step is taken and what was due is saved; the next step is never taken."""
    optimise = training.optimise

    def until() -> Any:
        if training.step == step:
            training.saver.wait()
            raise Died
        return optimise()

    training.optimise = until  # type: ignore[method-assign]
    with pytest.raises(Died):
        list(training.reports())


def test_a_trial_killed_between_rungs_ends_as_if_uninterrupted(tiny: Any, tmp_path: Path) -> None:
    """Killed after every step in turn, resumed each time: weights, losses, scores are alike bit for bit."""
    settings: dict[str, Any] = {"refinement_steps": 1, "steps": FINISHED, "rungs": 2}
    whole = loop_of(tiny, task_of(tiny, tmp_path / "whole", **settings))
    reports = list(whole.reports())
    task = task_of(tiny, tmp_path / "trial", save_seconds=0.0, **settings)
    for step in range(1, FINISHED):
        training = loop_of(tiny, task)
        assert training.step == step - 1, "one step is done again, no more"
        killed_after(training, step)
        assert len(steps(task.folder)) == min(step, checkpoint.KEEP)
    last = loop_of(tiny, task)
    again = list(last.reports())
    assert [outcome(report) for report in again] == [outcome(report) for report in reports]
    assert all(a.training_seconds > 0 for a in again)
    for name, network in whole.method.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, last.method.networks[name].state_dict()[key])


def test_only_what_is_due_is_saved_and_the_state_of_optimisers_ends_with_training(
    tiny: Any, tmp_path: Path
) -> None:
    task = task_of(tiny, tmp_path / "trial", refinement_steps=1)
    (tmp_path / "trial" / ".step-000000002.x").mkdir(parents=True)
    list(loop_of(tiny, task).reports())
    assert not list(task.folder.glob(".*")) and steps(task.folder) == [2, 4]
    files = [set(weights.verify(folder)["sha256"]) for folder in sorted(task.folder.glob("step-*"))]
    assert files[0] - files[1] == {"optimizers.safetensors"} and not files[1] - files[0]
    checkpoint.keep_newest(task.folder, 1)
    assert steps(task.folder) == [4]


def test_sigterm_saves_the_step_and_ends(tiny: Any, tmp_path: Path) -> None:
    task, before = task_of(tiny, tmp_path / "trial", steps=FINISHED, refinement_steps=1), []
    training = loop_of(tiny, task)
    optimise = training.optimise

    def told() -> Any:
        if training.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return optimise()

    training.optimise = told  # type: ignore[method-assign]
    earlier = signal.signal(signal.SIGTERM, lambda *_: before.append("obeyed"))
    try:
        with pytest.raises(Stopped) as stopped, termination.deferred():
            list(training.reports())
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert (stopped.value.code, before, termination.requested()) == (143, ["obeyed"], False)
    assert steps(task.folder) == [3] and loop_of(tiny, task).step == 3


def test_sigterm_in_another_thread_or_after_the_block_is_as_ever() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with termination.deferred():
        assert not termination.requested() and signal.getsignal(signal.SIGTERM) is not handler
    assert signal.getsignal(signal.SIGTERM) is handler

    def in_thread() -> None:
        with termination.deferred():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[Any] = []
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_training_goes_on_while_a_copy_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, free = [], threading.Event()

    def slowly(groups: Any, folder: Path, facts: Any) -> None:
        free.wait(10)
        written.append((float(groups["networks"]["w"][0]), facts["step"]))

    monkeypatch.setattr(checkpoint, "save", slowly)
    saver, weight = checkpoint.Saver(), torch.zeros(4)
    saver.start({"networks": {"w": weight}}, tmp_path, {"step": 1})
    weight.fill_(7)
    assert written == [], "it has not waited"
    free.set()
    saver.start({"networks": {"w": weight}}, tmp_path, {"step": 2})
    assert written[0] == (0.0, 1), "as it was; the second waits for the first"
    saver.wait()
    assert written[1] == (7.0, 2)


def test_a_save_between_rungs_that_fails_is_logged_and_one_at_a_rung_raises(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    training = loop_of(tiny, task_of(tiny, tmp_path / "trial", save_seconds=0.0, refinement_steps=1))
    monkeypatch.setattr(checkpoint, "save", full)
    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match="No space"):
        list(training.reports())
    assert training.step == 2 and "was not saved: [Errno 28] No space left on device" in caplog.text


def test_damaged_checkpoints_are_named_and_those_of_earlier_versions_are_resumed(
    tiny: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = task_of(tiny, tmp_path / "trial", refinement_steps=1)
    first = next(loop_of(tiny, task).reports())
    manifest = task.folder / "step-000000002" / weights.MANIFEST
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({k: v for k, v in facts.items() if k not in ("step", "format", "seal")}))
    resumed = loop_of(tiny, task)
    assert resumed.step == 2 and next(resumed.reports()) == first
    shutil.copytree(manifest.parent, task.folder / "step-000000003")
    (task.folder / "step-000000003" / weights.MANIFEST).write_text("{")
    with caplog.at_level(logging.WARNING):
        assert loop_of(tiny, task).step == 2
    assert "step-000000003/manifest.json: not a readable manifest" in caplog.text
    for step in (5, 6):
        shutil.copytree(manifest.parent, task.folder / f"step-{step:09d}")
        (task.folder / f"step-{step:09d}" / weights.MANIFEST).write_text("{")
        os.utime(task.folder / f"step-{step:09d}" / weights.MANIFEST, (1, 1))
    list(loop_of(tiny, task).reports())
    assert 4 in steps(task.folder) and checkpoint.newest_step(task.folder) == 4, "the damaged ones are older"


def test_a_checkpoint_that_was_being_replaced_takes_its_place_again(tmp_path: Path) -> None:
    for name in (".step-000000002.x.old", ".step-000000002.x", ".step-000000004.y.old", "step-000000004"):
        (tmp_path / name).mkdir()
    (tmp_path / ".step-000000002.x.old" / "whole").touch()
    checkpoint.sweep(tmp_path)
    assert steps(tmp_path) == [2, 4] and (tmp_path / "step-000000002" / "whole").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_wait_for_a_save_is_that_of_a_copy() -> None:
    """A gigabyte is ten times of this; both are limited by memory. The issue asks twice a warm copy."""
    groups = {"networks": {str(n): torch.ones(5 * 10**6) for n in range(5)}}
    into = {key: torch.empty_like(value) for key, value in groups["networks"].items()}

    def seconds(work: Any) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    def copy() -> None:
        for key, value in groups["networks"].items():
            into[key].copy_(value)

    copies = checkpoint.copied(groups["networks"], {})
    kept = min(seconds(lambda: checkpoint.copied(groups["networks"], copies)) for _ in range(5))
    assert kept < 2 * min(seconds(copy) for _ in range(5)) + 0.01
    again = checkpoint.copied(groups["networks"], copies)
    assert all(again[key] is copies[key] for key in copies)
