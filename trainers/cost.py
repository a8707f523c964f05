"""Cost of a training step: operations, counted on shapes alone, and measured seconds."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from trainers.data.batch import Batch
from trainers.data.store import Cohort
from trainers.loop import Loop, Task
from trainers.methods.base import Context, Method, TrialConfig, find_method
from trainers.metrics.judge import Judge
from trainers.references.config import ReferenceConfig
from trainers.references.store import References, build_part
from trainers.references.teacher import build_teacher

COUNTED_STEPS = 3
"""Steps over which operations are averaged, as they differ at random."""


WARM_UP, TIMED = 2, 6
"""Steps before the clock starts, and steps it measures."""


def seconds_per_step(task: Task) -> float:
    """Mean seconds of one optimiser step of a task on this machine; its folder is not written."""
    cohort, references = Cohort.open(task.cohort), References.open(task.references)
    with tempfile.TemporaryDirectory() as folder:
        scratch_task = replace(task, folder=Path(folder))
        loop = Loop(scratch_task, cohort, references, Judge.of(cohort, references, "val"))
        for _ in range(WARM_UP):
            loop.optimise()
        started = time.perf_counter()
        for _ in range(TIMED):
            loop.optimise()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / TIMED


def step_flops(method: str, config: TrialConfig, references: ReferenceConfig) -> float:
    """Mean floating-point operations of one optimiser step of a method."""
    example_subject = torch.zeros(4, 3, config.crop, config.crop)
    context = Context(
        references, build_teacher(references), build_part("domain", references), example_subject
    )
    built: Method = find_method(method).Method(config, context)
    built.to(torch.device("meta"))
    with torch.device("meta"):
        shape = (config.batch_size, 3, config.crop, config.crop)
        image, mask = torch.zeros(shape), torch.zeros(shape[0], *shape[2:], dtype=torch.bool)
        batch = Batch(image, mask, image, mask, image if config.restores else None)

        def minimise(names: Sequence[str], loss: Tensor) -> None:
            parameters = [p for name in names for p in built.networks[name].parameters()]
            torch.autograd.grad(loss, parameters)

        with FlopCounterMode(display=False) as counter:
            for _ in range(COUNTED_STEPS):
                built.step(batch, config.steps // 2, minimise)
    return float(counter.get_total_flops()) / COUNTED_STEPS * config.accumulate
