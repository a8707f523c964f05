"""The loop's schedules, accumulation and divergence; its several-process form against one process."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.loop import (
    Diverged,
    Loop,
    RunningMeans,
    Task,
    learning_rate,
    next_rung,
    require_finite,
    resolve_precision,
)
from trainers.methods.unsb import Config

SMALL: dict[str, Any] = {
    "steps": 4,
    "rungs": 2,
    "batch_size": 2,
    "crop": 32,
    "generator_width": 4,
    "generator_blocks": 1,
    "discriminator_width": 4,
    "latent": 8,
    "nce_patches": 16,
}


def loop_of(tiny: Any, folder: Path, **changes: Any) -> Loop:
    task = Task("unsb", Config(**SMALL | changes), tiny.cohort.path, tiny.folder, folder)
    return Loop(task, tiny.cohort, tiny.references, tiny.judge)


def test_rungs_stand_at_equal_distances_and_at_the_end() -> None:
    config = Config(steps=10, rungs=3)
    rungs, step = [], 0
    while step < config.steps:
        step = next_rung(step, config)
        rungs.append(step)
    assert rungs == [4, 7, 10]


def test_milestones_stand_among_the_rungs() -> None:
    config = Config(steps=10, rungs=2)

    def rungs(*milestones: int) -> list[int]:
        found, step = [], 0
        while step < config.steps:
            step = next_rung(step, config, milestones)
            found.append(step)
        return found

    assert rungs() == [5, 10]
    assert rungs(1, 3, 9) == [1, 3, 5, 9, 10]
    assert rungs(5, 10) == [5, 10], "a rung is one report, whoever asks for it"
    assert rungs(9, 3) == [3, 5, 9, 10] and rungs(11, 64) == [5, 10], "those beyond the end are not its own"
    assert next_rung(3, config, (3,)) == 5


def test_a_milestone_changes_no_weight_and_is_published(tiny: Any, tmp_path: Path) -> None:
    plain = loop_of(tiny, tmp_path / "plain", refinement_steps=1)
    task = replace(plain.task, milestones=(1, 3), folder=tmp_path / "asked")
    asked = Loop(task, tiny.cohort, tiny.references, tiny.judge)
    ends = [report.step for report in plain.reports()]
    told = [(report.step, Path(report.checkpoint).is_dir()) for report in asked.reports()]
    assert ends == [2, 4] and told == [(1, True), (2, True), (3, True), (4, True)]
    for one, other in zip(plain.method.networks.values(), asked.method.networks.values(), strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_trial_that_waited_goes_on_as_if_it_had_not(tiny: Any, tmp_path: Path) -> None:
    """It left at a milestone; another worker repeats that report and ends with the same weights."""
    whole = loop_of(tiny, tmp_path / "whole", refinement_steps=1)
    through = Loop(replace(whole.task, milestones=(1,)), tiny.cohort, tiny.references, tiny.judge)
    reports = list(through.reports())
    task = replace(whole.task, milestones=(1,), folder=tmp_path / "torn")
    first = next(Loop(task, tiny.cohort, tiny.references, tiny.judge).reports())
    again = Loop(task, tiny.cohort, tiny.references, tiny.judge)
    told = list(again.reports())
    assert told[0] == first and [report.step for report in told] == [1, 2, 4]
    pairs = [(one.scores, other.scores) for one, other in zip(reports, told, strict=True)]
    for ours, theirs in pairs:
        for count in ours:
            assert ours[count]["fid"] == theirs[count]["fid"]
    for one, other in zip(through.method.networks.values(), again.method.networks.values(), strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_learning_rate_is_constant_for_half_then_linear_to_zero() -> None:
    config = Config(steps=100)
    assert [learning_rate(s, config) for s in (0, 50, 75, 100)] == pytest.approx([1, 1, 0.5, 0])


def test_schedules_are_their_closed_forms() -> None:
    late = Config(steps=100, constant_part=0.75)
    assert [learning_rate(s, late) for s in (0, 75, 90, 100)] == pytest.approx([1, 1, 0.4, 0])
    cosine, constant = Config(steps=100, schedule="cosine"), Config(steps=100, schedule="constant")
    expected = [(1 + math.cos(math.pi * s / 100)) / 2 for s in (0, 25, 50, 100)]
    assert [learning_rate(s, cosine) for s in (0, 25, 50, 100)] == pytest.approx(expected)
    assert [learning_rate(s, constant) for s in (0, 99)] == [1, 1]


def test_an_updated_network_is_seen_at_once_under_autocast(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(tiny, tmp_path, precision="bf16")
    loop.last_micro, network = True, loop.method.networks["D"]
    image, k = torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    with loop.accelerator.autocast():
        before = network(image, k)
        loop._minimise(("D",), before.float().square().mean())
        after = network(image, k)
    assert not torch.equal(before, after)
    with loop.accelerator.autocast():
        assert torch.equal(network(image, k), after)


def test_training_time_is_part_of_the_whole(tiny: Any, tmp_path: Path) -> None:
    report = next(loop_of(tiny, tmp_path).reports())
    assert 0 < report.training_seconds < report.seconds


def test_precision_is_full_without_a_gpu() -> None:
    if not torch.cuda.is_available():
        assert resolve_precision("auto") == "no"
    assert resolve_precision("bf16") == "bf16"


def test_a_loss_that_is_not_finite_is_named_with_its_step() -> None:
    scalars = RunningMeans()
    scalars.add({"D": torch.tensor(1.0), "G_DMD": torch.tensor(math.nan)})
    with pytest.raises(Diverged, match="diverged at step 7: G_DMD is nan"):
        require_finite(scalars, 7)


def test_a_trial_with_an_absurd_rate_ends_as_diverged(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(
        tiny, tmp_path, lr=0.1, critic_lr=0.01, lambda_GAN=1000.0, lambda_SB=1000.0, steps=60, rungs=1
    )
    for optimizer in loop.method.optimizers.values():
        for group in optimizer.param_groups:
            group["initial_lr"] = 1e30
    with pytest.raises(Diverged, match="diverged at step"):
        list(loop.reports())


def test_gradients_of_two_micro_batches_are_the_mean_of_each(tiny: Any, tmp_path: Path) -> None:
    loop = loop_of(tiny, tmp_path, accumulate=2)
    weight = loop.method.networks["D"].head.bias
    seen: list[Tensor] = []
    loop.method.optimizers["D"].step = lambda: seen.append(weight.grad.clone())  # type: ignore[method-assign,union-attr]
    for micro, scale in enumerate((1.0, 3.0)):
        loop.last_micro = micro == 1
        everything = sum(p.sum() for p in loop.method.networks["D"].parameters())
        loop._minimise(("D",), scale * everything)
    assert len(seen) == 1
    assert torch.equal(seen[0], torch.full_like(seen[0], 2.0))


WORKER = """
import sys, hashlib
from pathlib import Path
from trainers.cohorts.store import Cohort
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
told = f"{digest} {accelerator.num_processes} {len(reports[-1].scores)}"
Path(trial.parent, f"rank{accelerator.process_index}").write_text(told)
"""


def test_two_processes_stay_in_step_and_one_of_them_validates(tiny: Any, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.replace("SETTINGS", repr(SMALL)))
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
        }
        environment |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "29511",
            "PYTHONPATH": str(Path.cwd()),
            "ACCELERATE_USE_CPU": "true",
        }
        command = [
            sys.executable,
            str(script),
            str(tiny.cohort.path),
            str(tiny.folder),
            str(tmp_path / "trial"),
        ]
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path))
    assert [p.wait(timeout=200) for p in processes] == [0, 0]
    first, second = ((tmp_path / f"rank{rank}").read_text().split() for rank in range(2))
    assert first[0] == second[0]
    assert first[1] == second[1] == "2"
    assert (int(first[2]), int(second[2])) == (5, 0)
