"""Cost of a training step: operations, counted on shapes alone, and measured seconds."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from trainers.bounds import training
from trainers.bounds.config import BoundConfig
from trainers.data.batch import Batch
from trainers.data.store import Cohort
from trainers.loop import Loop, Task
from trainers.losses.regression import brain_error
from trainers.methods.base import Context, Method, TrialConfig, find_method
from trainers.metrics.judge import Judge
from trainers.references.config import ReferenceConfig
from trainers.references.store import References, build_part
from trainers.references.teacher import build_teacher

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
    """Mean floating-point operations of one optimiser step of a method: the same on every machine."""
    built = _without_values(method, config, references)
    forms = built.step_forms()

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        parameters = [p for name in names for p in built.networks[name].parameters()]
        torch.autograd.grad(loss, parameters)

    with torch.device("meta"), Counter() as counter:
        for form in forms:
            form(_shapes(config), config.steps // 2, minimise)
    return float(counter.flops) / len(forms) * config.accumulate


def step_bytes(method: str, config: TrialConfig, references: ReferenceConfig) -> int:
    """Bytes that training a method needs, about: what float32 networks, their averages, gradients and two
    moments take, and the most that the backward pass of a step keeps of its forward passes.
    """
    built = _without_values(method, config, references)
    networks = [p for network in built.networks.values() for p in network.parameters()]
    averages = [p for network in built.averaged.values() for p in network.parameters()]
    known = {p.untyped_storage()._cdata for p in (*networks, *averages)}
    kept: dict[int, torch.UntypedStorage] = {}
    most = 0

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage
        return tensor

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        nonlocal most
        most = max(most, sum(storage.nbytes() for storage in kept.values()))
        parameters = [p for name in names for p in built.networks[name].parameters()]
        torch.autograd.grad(loss, parameters)
        kept.clear()

    with torch.device("meta"), saved_tensors_hooks(keep, lambda tensor: tensor):
        for form in built.step_forms():
            form(_shapes(config), config.steps // 2, minimise)
            kept.clear()
    return most + 4 * (4 * sum(p.numel() for p in networks) + sum(p.numel() for p in averages))


def _without_values(method: str, config: TrialConfig, references: ReferenceConfig) -> Method:
    """A method whose tensors have shapes alone."""
    example_subject = torch.zeros(4, 3, config.crop, config.crop)
    context = Context(
        references, build_teacher(references), build_part("domain", references), example_subject
    )
    built: Method = find_method(method).Method(config, context)
    built.to(torch.device("meta"))
    return built


def bound_of(method: str, config: TrialConfig, references: ReferenceConfig) -> BoundConfig | None:
    """The supervised bound of a trial, whose steps have ``references.bound`` of the trial's operations.

    None where it is switched off, or the method has no generator of its kind.
    """
    plain = BoundConfig.of(config, references)
    if plain is None:
        return None
    with torch.device("meta"), Counter() as counter:
        batch = _shapes(config)
        output = training.build_network(plain)(batch.source)
        brain_error(output, batch.target, batch.source_mask).backward()  # type: ignore[no-untyped-call]
    # Rounded, as it is part of the bound's hash: another version of PyTorch may count a little otherwise.
    ratio = round(step_flops(method, config, references) / counter.flops, 1)
    return BoundConfig.of(config, references, ratio)


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations by torch's own formulas.

    :class:`torch.utils.flop_counter.FlopCounterMode` also follows modules: twice the time, and an error where
    a loss is a gradient.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operation of torch."""
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def _shapes(config: TrialConfig) -> Batch:
    """A batch without values."""
    shape = (config.batch_size, 3, config.crop, config.crop)
    image, mask = torch.zeros(shape), torch.zeros(shape[0], *shape[2:], dtype=torch.bool)
    return Batch(image, mask, image, mask, image if config.restores else None)
