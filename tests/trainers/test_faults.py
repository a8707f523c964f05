"""Which exceptions are the environment's; a hang is ended, with the stacks that it hung in."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from tests.trainers.small import loop_of, task_of
from trainers import trial, weights
from trainers.data.batch import Batch
from trainers.errors import EnvironmentFault, InputError
from trainers.faults import of_environment
from trainers.loop import Loop, split
from trainers.methods.unsb import Method
from trainers.watchdog import LEAST, Watchdog, limit_of

ROOT = Path(__file__).parents[2]
CPU = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to "


@pytest.mark.parametrize(
    ("error", "reason", "folder"),
    [
        (OSError(28, "No space left on device", "/a/b"), "No space left on device", "/a"),
        (OSError(122, "Disk quota exceeded"), "Disk quota exceeded", ""),
        (SafetensorError("I/O error: Input/output error (os error 5)"), "Input/output", ""),
        (OSError(116, "Stale file handle", "/a/b"), "Stale file handle", ""),
        (ConnectionResetError(104, "Connection reset by peer"), "reset by peer", ""),
        (MemoryError("3 GB"), "the host's memory is exhausted: 3 GB", ""),
        (RuntimeError(CPU + "allocate 4000000000 bytes. Error code 12"), "no 4,000,000,000 bytes more", ""),
        (EnvironmentFault("as it is", "/f", 3), "as it is", "/f"),
    ],
)
def test_faults_of_the_environment(error: Exception, reason: str, folder: str) -> None:
    fault = of_environment(error)
    assert fault is not None and reason in str(fault) and fault.folder == folder


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "/a"),
        PermissionError(13, "Permission denied", "/a"),
        *[RuntimeError("shapes differ"), ValueError("x"), InputError("key: x"), OSError("no number")],
    ],
)
def test_faults_of_a_trials_own(error: Exception) -> None:
    assert of_environment(error) is None


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(28, "No space left on device"),
    ],
)
def test_a_full_disk_is_named_with_path_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raised = [SafetensorError("other"), error]

    def full(*_: Any) -> None:
        raise raised.pop()

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        with pytest.raises(EnvironmentFault) as fault:
            weights.publish(tmp_path / "f", {"g": {"a": torch.zeros(500)}}, {}, "checkpoint")
        with pytest.raises(SafetensorError, match="other"):
            weights.publish(tmp_path / "f", {"g": {}}, {}, "checkpoint")
    assert str(fault.value) == f"{tmp_path}/f/g.safetensors: no room for 2,000 bytes"
    assert (fault.value.folder, fault.value.size) == (f"{tmp_path}/f", 2000)


def test_a_trial_passes_the_fault_on_and_its_own_exceptions_as_they_are(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([OSError(28, "No space left on device", "/a/b"), KeyError("a bug")])

    def failing(loop: Loop) -> Any:
        raise next(errors)

    monkeypatch.setattr(Loop, "optimise", failing)
    task = task_of(tiny, tmp_path)
    (result,) = trial.results(task)
    assert result["done"] and set(result) == {"fault", "done"}
    fault = trial.decode_fault(result["fault"])
    assert ("No space left" in str(fault), fault.folder, fault.size) == (True, "/a", 1)
    with pytest.raises(KeyError, match="a bug"):
        list(trial.results(task))


def test_a_batch_that_does_not_fit_is_divided_and_the_step_is_that_of_the_whole(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Method.step

    def in_small_memory(method: Any, batch: Batch, *rest: Any) -> Any:
        if len(batch.source) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(method, batch, *rest)

    monkeypatch.setattr(Method, "step", in_small_memory)
    note, *results = trial.results(task_of(tiny, tmp_path / "a", refinement_steps=1))
    assert note == {"note": "out of GPU memory: trains by 1 slices at a time", "done": False}
    assert [trial.decode_report(result["report"]).step for result in results] == [2, 4]
    with pytest.raises(torch.OutOfMemoryError):  # several processes cannot agree on it
        list(trial.results(task_of(tiny, tmp_path / "b"), divides=False))
    monkeypatch.setattr(Method, "step", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    with pytest.raises(torch.OutOfMemoryError):
        list(trial.results(task_of(tiny, tmp_path / "c")))
    monkeypatch.undo()
    monkeypatch.setattr(Loop, "validate", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    with pytest.raises(torch.OutOfMemoryError):  # smaller batches cannot help
        list(trial.results(task_of(tiny, tmp_path / "d")))


def test_an_unreadable_manifest_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.publish(tmp_path / "f", {}, {}, "checkpoint")

    def away(path: Path) -> str:
        raise OSError(116, "Stale file handle", str(path))

    monkeypatch.setattr(Path, "read_text", away)
    with pytest.raises(EnvironmentFault, match="Stale file handle"):
        weights.read_manifest(tmp_path / "f")


@pytest.mark.parametrize(("slices", "parts"), [(4, 1), (4, 2), (5, 2), (3, 4)])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: int, parts: int
) -> None:
    """Of a loss that is a mean over slices."""
    gradients = []
    for count in (1, parts):
        loop = loop_of(tiny, task_of(tiny, tmp_path / str(count), batch_size=slices))
        loop.parts = count
        network = loop.method.networks["D"]
        loop.method.optimizers["D"].step = lambda net=network: gradients.append(  # type: ignore[method-assign,union-attr,misc]
            [p.grad.clone() for p in net.parameters()]
        )

        def mean(batch: Batch, step: int, minimise: Any, net: Any = network) -> dict[str, Any]:
            sizes = batch.source.flatten(1).mean(1)
            minimise(("D",), sum((p.sum() * sizes).mean() for p in net.parameters()))
            return {}

        monkeypatch.setattr(loop.method, "step", mean)
        loop.optimise()
    for whole, divided in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, divided)


def test_a_batch_is_divided_whole() -> None:
    images, masks = torch.rand(5, 3, 4, 4), torch.rand(5, 4, 4)
    parts = split(Batch(images, masks, images + 1, masks + 1), 3)
    assert [len(part.source) for part in parts] == [2, 2, 1] and parts[0].degraded is None
    assert torch.equal(torch.cat([part.source for part in parts]), images)
    assert torch.equal(torch.cat([part.target_mask for part in parts]), masks + 1)


HANGS = """
import sys, time
from pathlib import Path
from trainers.watchdog import Watchdog

watchdog = Watchdog(Path(sys.argv[1]), 0.4)
for _ in range(8):
    watchdog.beat()
    time.sleep(0.1)
watchdog.pause()
time.sleep(0.6)
print("alive", flush=True)

def waits_for_ever():
    time.sleep(60)

watchdog.beat()
waits_for_ever()
"""


def test_a_hang_ends_the_process_with_the_stacks_it_hung_in(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "alive\n")
    assert "in waits_for_ever" in (tmp_path / "hang.log").read_text()


def test_by_its_own_pace_a_process_may_take_twenty_times_its_longest_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import watchdog as module

    now = iter([0.0, 10.0, 110.0, 115.0])
    monkeypatch.setattr(module.time, "monotonic", now.__next__)
    monkeypatch.setattr(module.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    watchdog, limits = Watchdog(tmp_path), []
    for _ in range(4):
        watchdog.beat()
        limits.append(watchdog.limit)
    assert limits == [LEAST, LEAST, 2000.0, 2000.0]
    assert limit_of(tmp_path) == (2000.0, (tmp_path / "progress").stat().st_mtime_ns)
    watchdog.pause()
    assert limit_of(tmp_path) is None is limit_of(tmp_path / "missing")
