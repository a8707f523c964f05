"""The training loop of one trial under Accelerate: step, average, validate, save, resume bit for bit."""

import math
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from trainers import checkpoint, termination, weights
from trainers.config import canonical, digest
from trainers.data.batch import Batch
from trainers.data.sampling import Slices, example_subject
from trainers.data.store import Cohort
from trainers.methods.base import Context, Method, TrialConfig, find_method, translate_rows
from trainers.metrics.judge import Judge, clamp_and_mask
from trainers.metrics.names import VERSION
from trainers.references.store import References
from trainers.report import Report
from trainers.watchdog import Watchdog

CHECK_EVERY = 25
"""Steps between checks that the losses are finite (each check waits for the GPU)."""


class Stopped(SystemExit):
    """The process has received SIGTERM; the trial has saved its state."""


class Diverged(RuntimeError):
    """A loss is not finite; the message names the loss and the step."""


@dataclass(frozen=True)
class Task:
    """Everything that one trial needs; it is sent to the worker as JSON."""

    method: str
    config: TrialConfig
    cohort: Path
    references: Path
    folder: Path
    """Where the trial's checkpoints are published."""
    milestones: tuple[int, ...] = ()
    """Steps at which it reports, in addition to its rungs."""
    measures: int = VERSION
    """Version of the measures by which it is scored."""
    extended: bool = False
    """Whether its scores include the extended measures."""
    save_seconds: float = 600.0
    """How often it saves its state between rungs."""
    hang_seconds: float = 0.0
    """Without progress for so long, its process ends; 0: by its own pace."""


@dataclass
class RunningMeans:
    """Running means of the logged scalars, kept on the device; each over the steps that logged it."""

    total: dict[str, Tensor] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Add one step's scalars."""
        for name, value in scalars.items():
            self.total[name] = self.total.get(name, torch.zeros_like(value)) + value
        self.count.update(scalars.keys())

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: float(value) / self.count[name] for name, value in self.total.items()}


class Loop:
    """One trial, resumed from its last intact checkpoint; :meth:`reports` trains and reports at each rung.

    No other process may train the same trial meanwhile.
    """

    trains = False
    """Whether it is within an optimiser step."""

    def __init__(
        self, task: Task, cohort: Cohort, references: References, judge: Judge, parts: int = 1
    ) -> None:
        """``parts``: that each micro-batch is divided into, where it does not fit in the GPU's memory."""
        self.task, self.config, self.parts = task, task.config, parts
        AcceleratorState._reset_state(True)
        self.accelerator = Accelerator(mixed_precision=resolve_precision(task.config.precision))
        self.key = trial_key(task, cohort, references)
        degradation = references.required_degradation() if task.config.restores else None
        self.slices = Slices.of(cohort, references.config.channels, task.config.crop, degradation)
        self.judge, self.step = judge, 0
        self.origin = {"cohort": cohort.hash, "references": references.hash}
        torch.manual_seed(task.config.seed)
        slices = example_subject(cohort, references.config.channels)
        frozen = references.teacher, references.domain, slices, references.restorers
        context = Context(references.config, *frozen)
        self.method: Method = find_method(task.method).Method(task.config, context)
        self.method.to(self.accelerator.device)
        self.watchdog = Watchdog(task.folder, task.hang_seconds)
        if self.accelerator.is_main_process:
            checkpoint.sweep(task.folder)
        self.saver = checkpoint.Saver()
        self.last: Mapping[str, Any] | None = None
        """The newest report, as JSON."""
        self.resumed = checkpoint.latest(task.folder, self.key)
        if self.resumed:
            checkpoint.load(self.method, self.resumed)
            self.step = self.resumed.step
        self.accumulated: dict[str, list[Tensor]] = {}
        self.weight, self.last_micro = 1 / task.config.accumulate, True

    def reports(self) -> Iterator[Report]:
        """Train to the end; raises :class:`Diverged` where a loss is not finite, :class:`Stopped` on SIGTERM.

        A resumed trial first repeats its last report, which may have been lost.
        """
        try:
            yield from self._trained()
        finally:
            self.watchdog.pause()

    def _trained(self) -> Iterator[Report]:
        scalars, spent = self._since_last_report()
        if self.last:
            report = Report.from_json(self.last)
            place = checkpoint.folder_of(self.task.folder, report.step)  # the study may have moved
            yield replace(report, checkpoint=str(place))
        while self.step < self.config.steps:
            started = time.perf_counter() - spent
            target = next_rung(self.step, self.config, self.task.milestones)
            self._due = time.monotonic() + self.task.save_seconds
            while self.step < target:
                self.watchdog.beat()
                self.trains = True
                scalars.add(self.optimise())
                self.trains = False
                if self.step % CHECK_EVERY == 0 or self.step == target:
                    require_finite(scalars, self.step)
                if self.step < target:
                    self._save_if_due(scalars, time.perf_counter() - started)
            report = self._report(scalars, started)
            self.watchdog.pause()
            yield report
            scalars, spent = RunningMeans(), 0.0

    def validate(self) -> tuple[dict[int, dict[str, float]], dict[str, Tensor]]:
        """Scores of the validation split per refinement step count, and a few sample slices."""
        started, judge = time.perf_counter(), self.judge
        method, source = self.method, judge.source.to(self.accelerator.device)
        outputs = translate_rows(
            method,
            method.averaged,
            self.config,
            source,
            self.config.seed,
            subjects=judge.subjects,
            progress=self.watchdog.beat,
        )
        pace = (time.perf_counter() - started) / len(judge.subjects) / len(outputs)
        scores = {}
        for count, output in enumerate(outputs, 1):
            self.watchdog.beat()
            finished = clamp_and_mask(output, judge.mask)
            scores[count] = judge.score(finished) | {"seconds_per_volume": count * pace}
        return scores, judge.samples(finished)

    def _report(self, scalars: RunningMeans, started: float) -> Report:
        folder = checkpoint.folder_of(self.task.folder, self.step)
        trained = time.perf_counter() - started
        empty = Report(self.step, self.config.steps, {}, scalars.means(), trained, str(folder), trained)
        report = replace(empty, measures=self.judge.version)
        if self.accelerator.is_main_process:
            scores, samples = self.validate()
            report = replace(report, scores=scores, seconds=time.perf_counter() - started)
            self.last = report.to_json() | {"checkpoint": folder.name}
            self.saver.wait()
            groups = checkpoint.groups_of(self.method, {"samples": samples}, report.done)
            checkpoint.save(groups, folder, self._facts())
        self.watchdog.pause()  # of the others, while the first validates
        self.accelerator.wait_for_everyone()
        return report

    def _save_if_due(self, scalars: RunningMeans, seconds: float) -> None:
        stopped = termination.requested()
        if not self.accelerator.is_main_process or not (stopped or time.monotonic() >= self._due):
            return
        require_finite(scalars, self.step)
        groups = checkpoint.groups_of(self.method, {"logged": scalars.total}, finished=False)
        since = {"count": dict(scalars.count), "seconds": seconds}
        folder = checkpoint.folder_of(self.task.folder, self.step)
        self.saver.start(groups, folder, {**self._facts(), "since": since})
        self._due = time.monotonic() + self.task.save_seconds
        if stopped:
            self.saver.wait()
            raise Stopped(128 + signal.SIGTERM)

    def _facts(self) -> dict[str, Any]:
        """What a checkpoint's manifest says, now."""
        of_trial = {"key": self.key, "method": self.task.method, "config": asdict(self.config)}
        return {**of_trial, "step": self.step, "report": self.last, **self.origin}

    def _since_last_report(self) -> tuple[RunningMeans, float]:
        """What a resumed trial has logged, and the seconds it has trained, since its last report."""
        if self.resumed is None:
            return RunningMeans(), 0.0
        self.last, since = self.resumed.facts["report"], self.resumed.facts.get("since")
        if since is None:
            return RunningMeans(), 0.0
        logged = weights.read_tensors(self.resumed.folder, "logged")
        total = {name: value.to(self.accelerator.device) for name, value in logged.items()}
        return RunningMeans(total, Counter(since["count"])), float(since["seconds"])

    def optimise(self) -> dict[str, Tensor]:
        """One optimiser step of ``accumulate`` micro-batches."""
        rank, config = self.accelerator.process_index, self.config
        torch.manual_seed(int(digest(str(config.seed), str(self.step))[:15], 16) + rank)
        rate = learning_rate(self.step, config)
        for optimizer in self.method.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["initial_lr"]
        scalars: dict[str, Tensor] = {}
        for micro in range(config.accumulate):
            counter = config.seed, self.step, rank, micro
            drawn = self.slices.batch(config.batch_size, *counter, pairing=self.method.pairing)
            batches = split(drawn, self.parts)
            for number, part in enumerate(batches, 1):
                batch = self.method.prepared(on_device(part, self.accelerator.device))
                self.last_micro = (micro, number) == (config.accumulate - 1, len(batches))
                self.weight = len(part.source) / len(drawn.source) / config.accumulate
                with self.accelerator.autocast():
                    scalars = self.method.step(batch, self.step, self._minimise)
        self.step += 1
        self.method.average(min(config.ema_decay, (1 + self.step) / (10 + self.step)))
        return scalars

    def _minimise(self, names: Sequence[str], loss: Tensor) -> None:
        """Apply gradients of ``names`` alone, summed over micro-batches and averaged over processes.

        ``autograd.grad`` leaves the other networks' gradients untouched and fails where a parameter has none.
        """
        optimizers = [self.method.optimizers[name] for name in names]
        parameters = [p for o in optimizers for g in o.param_groups for p in g["params"]]
        gradients = list(torch.autograd.grad(loss * self.weight, parameters))
        slot = "+".join(names)
        if slot in self.accumulated:
            gradients = [a + b for a, b in zip(self.accumulated[slot], gradients, strict=True)]
        self.accumulated[slot] = gradients
        if not self.last_micro:
            return
        for parameter, gradient in zip(parameters, self._reduced(self.accumulated.pop(slot)), strict=True):
            parameter.grad = gradient
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch.clear_autocast_cache()  # else the rest of the step uses bf16 copies of the old weights

    def _reduced(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.accelerator.num_processes == 1:
            return gradients
        mean: Tensor = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        parts = torch.split_with_sizes(mean, [g.numel() for g in gradients])
        return [part.view_as(g) for part, g in zip(parts, gradients, strict=True)]


def trial_key(task: Task, cohort: Cohort, references: References) -> str:
    """Content hash of the trial: method, settings, cohort, references and code version."""
    return digest(task.method, canonical(task.config), cohort.hash, references.hash)


def next_rung(step: int, config: TrialConfig, milestones: Sequence[int] = ()) -> int:
    """The first rung after ``step``; rungs are equally spaced, the last at the end; milestones are added."""
    rungs = {math.ceil(i * config.steps / config.rungs) for i in range(1, config.rungs + 1)}
    return min(rung for rung in {*rungs, *milestones} if step < rung <= config.steps)


def learning_rate(step: int, config: TrialConfig) -> float:
    """Factor of the learning rates at a step, by ``config.schedule``."""
    left = 1 - step / config.steps
    match config.schedule:
        case "linear":
            return min(1.0, left / (1 - config.constant_part))
        case "cosine":
            return 0.5 * (1 - math.cos(math.pi * left))
        case _:
            return 1.0


def resolve_precision(precision: str) -> str:
    """``auto``: bf16 where the GPU has it, else full precision."""
    if precision != "auto":
        return precision
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in so many parts, as equal as possible; at most as many as it has slices."""
    if parts == 1:
        return [batch]
    tensors = {name: tensor for name, tensor in vars(batch).items() if tensor is not None}
    divided = {name: torch.tensor_split(tensor, min(parts, len(tensor))) for name, tensor in tensors.items()}
    return [Batch(**dict(zip(divided, part, strict=True))) for part in zip(*divided.values(), strict=True)]


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    tensors = {name: tensor for name, tensor in vars(batch).items() if tensor is not None}
    return Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def require_finite(scalars: RunningMeans, step: int) -> None:
    """Raises :class:`Diverged` for the first scalar that is not finite."""
    for name, value in scalars.means().items():
        if not math.isfinite(value):
            raise Diverged(f"diverged at step {step}: {name} is {value}")
