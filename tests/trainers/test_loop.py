"""The loop's schedules, accumulation and divergence; its several-process form against one process."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.small import SMALL, loop_of, task_of
from trainers.data.batch import Batch
from trainers.loop import (
    Diverged,
    Loop,
    RunningMeans,
    learning_rate,
    next_rung,
    require_finite,
    resolve_precision,
)
from trainers.methods.unsb import Config


def assert_same_weights(one: Loop, other: Loop) -> None:
    for first, second in zip(one.method.networks.values(), other.method.networks.values(), strict=True):
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)


def test_rungs_are_equally_spaced_and_milestones_are_added() -> None:
    def rungs(count: int, *milestones: int) -> list[int]:
        config, found, step = Config(steps=10, rungs=count), [], 0
        while step < config.steps:
            step = next_rung(step, config, milestones)
            found.append(step)
        return found

    assert rungs(3) == [4, 7, 10] and rungs(2) == [5, 10]
    assert rungs(2, 1, 3, 9) == [1, 3, 5, 9, 10]
    assert rungs(2, 5, 10) == [5, 10], "a rung that is also a milestone is reported once"
    assert rungs(2, 9, 3) == [3, 5, 9, 10] and rungs(2, 11, 64) == [5, 10], (
        "milestones after the end do not count"
    )
    assert next_rung(3, Config(steps=10, rungs=2), (3,)) == 5


def test_milestones_change_no_weight_and_a_resumed_trial_continues_as_if_uninterrupted(
    tiny: Any, tmp_path: Path
) -> None:
    """It stopped at a milestone; another worker repeats that report and ends with the same weights."""
    plain = loop_of(tiny, task_of(tiny, tmp_path / "plain", refinement_steps=1))
    assert [report.step for report in plain.reports()] == [2, 4]
    whole = loop_of(tiny, task_of(tiny, tmp_path / "whole", 1, 3, refinement_steps=1))
    reports, published = [], []
    for report in whole.reports():
        reports.append(report)
        published.append((report.step, Path(report.checkpoint).is_dir()))
    assert published == [(1, True), (2, True), (3, True), (4, True)]
    assert_same_weights(plain, whole)
    task = task_of(tiny, tmp_path / "interrupted", 1, 3, refinement_steps=1)
    first = next(loop_of(tiny, task).reports())
    resumed = loop_of(tiny, task)
    repeated = list(resumed.reports())
    assert repeated[0] == first and [report.step for report in repeated] == [1, 2, 3, 4]
    for ours, theirs in zip(reports, repeated, strict=True):
        assert {n: s["fid"] for n, s in ours.scores.items()} == {
            n: s["fid"] for n, s in theirs.scores.items()
        }
    assert_same_weights(whole, resumed)
    assert all(0 < report.training_seconds < report.seconds for report in reports)


def test_learning_rate_schedules_are_their_closed_forms() -> None:
    late = Config(steps=100, constant_part=0.75)
    assert [learning_rate(s, late) for s in (0, 75, 90, 100)] == pytest.approx([1, 1, 0.4, 0])
    cosine, constant = Config(steps=100, schedule="cosine"), Config(steps=100, schedule="constant")
    expected = [(1 + math.cos(math.pi * s / 100)) / 2 for s in (0, 25, 50, 100)]
    assert [learning_rate(s, cosine) for s in (0, 25, 50, 100)] == pytest.approx(expected)
    assert [learning_rate(s, constant) for s in (0, 99)] == [1, 1]
    half = Config(steps=100)
    assert [learning_rate(s, half) for s in (0, 50, 75, 100)] == pytest.approx([1, 1, 0.5, 0])


def test_every_micro_batch_and_every_step_has_its_own_draws_and_each_network_its_own_rate(
    tiny: Any, tmp_path: Path
) -> None:
    loop = loop_of(tiny, task_of(tiny, tmp_path, accumulate=2, lr=0.02, critic_lr=0.005))
    batches, numbers = [], []

    def step(batch: Batch, step: int, minimise: Any) -> dict[str, Tensor]:
        batches.append(batch.source)
        numbers.append(float(torch.rand(())))
        return {}

    loop.method.step = step  # type: ignore[method-assign]
    for _ in range(4):
        loop.optimise()
    assert len({batch.numpy().tobytes() for batch in batches}) == len(set(numbers)) == 8
    rates = {name: o.param_groups[0]["lr"] for name, o in loop.method.optimizers.items()}
    assert rates.pop("C") == pytest.approx(0.005 / 2)  # of four steps, half of the last two is left
    assert [*rates.values()] == pytest.approx([0.01] * 4)


def test_the_averaged_weights_are_validated(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(tiny, task_of(tiny, tmp_path, refinement_steps=1))

    def samples(networks: dict[str, torch.nn.Module], value: float) -> dict[str, Tensor]:
        with torch.no_grad():
            for parameter in networks["G"].parameters():
                parameter.fill_(value)
        return loop.validate()[1]

    averaged = samples(loop.method.averaged, 0.01)
    trained, changed = samples(loop.method.networks, 0.5), samples(loop.method.averaged, 0.5)
    assert all(torch.equal(averaged[name], trained[name]) for name in averaged)
    assert any(not torch.equal(averaged[name], changed[name]) for name in averaged)


def test_an_updated_network_is_used_at_once_under_autocast(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(tiny, task_of(tiny, tmp_path, precision="bf16"))
    loop.last_micro, network = True, loop.method.networks["D"]
    image, k = torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    with loop.accelerator.autocast():
        before = network(image, k)
        loop._minimise(("D",), before.float().square().mean())
        after = network(image, k)
    assert not torch.equal(before, after)
    with loop.accelerator.autocast():
        assert torch.equal(network(image, k), after)


def test_each_scalar_is_averaged_over_the_steps_that_logged_it() -> None:
    scalars = RunningMeans()
    for step in range(4):
        scalars.add({"D": torch.tensor(float(step))} | ({"share": torch.tensor(0.25)} if step == 2 else {}))
    assert scalars.means() == {"D": 1.5, "share": 0.25}


def test_a_loss_that_is_not_finite_is_named_with_its_step_and_ends_the_trial(
    tiny: Any, tmp_path: Path
) -> None:
    scalars = RunningMeans()
    scalars.add({"D": torch.tensor(1.0), "G_DMD": torch.tensor(math.nan)})
    with pytest.raises(Diverged, match="diverged at step 7: G_DMD is nan"):
        require_finite(scalars, 7)
    extreme = {"lr": 0.1, "critic_lr": 0.01, "lambda_GAN": 1000.0, "lambda_SB": 1000.0}
    loop = loop_of(tiny, task_of(tiny, tmp_path, steps=60, rungs=1, **extreme))
    for optimizer in loop.method.optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = 1e30
    with pytest.raises(Diverged, match="diverged at step"):
        list(loop.reports())
    if not torch.cuda.is_available():
        assert resolve_precision("auto") == "no"
    assert resolve_precision("bf16") == "bf16"


def test_gradients_of_two_micro_batches_are_the_mean_of_each(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(tiny, task_of(tiny, tmp_path, accumulate=2))
    weight = loop.method.networks["D"].head.bias
    applied: list[Tensor] = []
    loop.method.optimizers["D"].step = lambda: applied.append(weight.grad.clone())  # type: ignore[method-assign,union-attr]
    for micro, scale in enumerate((1.0, 3.0)):
        loop.last_micro = micro == 1
        everything = sum(p.sum() for p in loop.method.networks["D"].parameters())
        loop._minimise(("D",), scale * everything)
    assert len(applied) == 1
    assert torch.equal(applied[0], torch.full_like(applied[0], 2.0))


WORKER = """
import sys, hashlib
from pathlib import Path
from trainers.data.store import Cohort
from trainers.loop import Loop, Task
from trainers.methods.unsb import Config
from trainers.metrics.judge import Judge
from trainers.references.store import References
import torch
torch.set_num_threads(1)
cohort, folder, trial = map(Path, sys.argv[1:4])
store, frozen = Cohort.open(cohort), References.open(folder)
config = Config(**SETTINGS)
loop = Loop(Task("unsb", config, cohort, folder, trial), store, frozen, Judge.of(store, frozen, "val"))
reports = list(loop.reports())
state = [p.detach().numpy().tobytes() for n in loop.method.networks.values() for p in n.parameters()]
digest = hashlib.sha256(b"".join(state)).hexdigest()
accelerator = loop.accelerator
result = f"{digest} {accelerator.num_processes} {len(reports[-1].scores)}"
Path(trial.parent, f"rank{accelerator.process_index}").write_text(result)
"""


def test_two_processes_keep_equal_weights_and_one_of_them_validates(tiny: Any, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.replace("SETTINGS", repr(SMALL)))
    processes = []
    for rank in range(2):
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONPATH": str(Path.cwd()), "ACCELERATE_USE_CPU": "true"}
        folders = (str(folder) for folder in (tiny.cohort.path, tiny.folder, tmp_path / "trial"))
        command = [sys.executable, str(script), *folders]
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
    assert [p.wait(timeout=200) for p in processes] == [0, 0]
    first, second = ((tmp_path / f"rank{rank}").read_text().split() for rank in range(2))
    assert first[:2] == [second[0], "2"] and second[1] == "2"
    assert (int(first[2]), int(second[2])) == (5, 0)
