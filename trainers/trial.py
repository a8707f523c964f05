"""A trial as Ray Tune runs it: receives a task and returns reports, both as JSON text.

Up to one GPU the loop runs inside the Tune actor, which is reused for the next trial; with several workers
the trial starts Ray Train and the same loop runs in each of them. Nothing is checkpointed through Ray: a
restarted trial finds its own last intact checkpoint.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from ray import train, tune
from ray.tune.integration.ray_train import TuneReportCallback

from trainers import termination
from trainers.config import canonical, rebuild
from trainers.data.store import Cohort
from trainers.errors import EnvironmentFault
from trainers.faults import of_environment
from trainers.loop import Diverged, Loop, Task
from trainers.methods.base import find_method
from trainers.metrics.judge import Judge
from trainers.places import mounts
from trainers.references.store import References
from trainers.report import Report
from trainers.watchdog import LEAST, Watchdog

Result = dict[str, Any]
"""``{"report": text, "done": bool}`` at a rung, ``{"diverged": reason, "done": True}`` after divergence.

``{"fault": text, "done": True}`` where the environment has stopped it, ``{"note": text, "done": False}`` for
what a person should know.
"""


class Trial(tune.Trainable):  # type: ignore[misc]
    """A trial of one process; each ``step`` is one rung."""

    def setup(self, config: dict[str, Any]) -> None:
        """Open the task of ``config["task"]``."""
        self.results = results(decode(config["task"]))

    def step(self) -> Result:
        """Train to the next rung."""
        with termination.deferred():
            return next(self.results)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another task in the same process."""
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Does nothing: the loop publishes its own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Does nothing: ``setup`` finds the last checkpoint."""


def distributed(config: dict[str, Any]) -> None:
    """A trial of several ``workers`` with ``cpus`` cores each, as a Tune function that starts Ray Train."""
    task, share = decode(config["task"]), {"CPU": config["cpus"]}
    if config["gpu"]:
        share["GPU"] = 1
    scaling = train.ScalingConfig(
        num_workers=config["workers"], use_gpu=config["gpu"], resources_per_worker=share
    )
    run = train.RunConfig(
        name=task.folder.name,
        storage_path=str(task.folder.parent / ".train"),
        callbacks=[TuneReportCallback()],
        failure_config=train.FailureConfig(max_failures=2),
    )
    from ray.train.torch import TorchTrainer

    TorchTrainer(train_worker, train_loop_config=config, scaling_config=scaling, run_config=run).fit()


def train_worker(config: dict[str, Any]) -> None:
    """One of the processes that :func:`distributed` starts; a fault of one of them ends them all."""
    for result in results(decode(config["task"]), divides=False):
        if "fault" in result:
            raise decode_fault(result["fault"])
        train.report(result)


def results(task: Task, divides: bool = True) -> Iterator[Result]:
    """Every result of a task, starting from its last checkpoint.

    Where a micro-batch does not fit in the GPU's memory and it ``divides``, which several processes cannot
    agree on, the batch is divided in two, as often as needed.
    """
    parts = 1
    try:
        while True:
            try:
                yield from _reports(task, parts)
                return
            except _TooLarge as error:
                parts *= 2
                if parts > task.config.batch_size or not divides:
                    assert error.__cause__ is not None
                    raise error.__cause__ from None
            torch.cuda.empty_cache()
            size = -(-task.config.batch_size // parts)
            yield {"note": f"out of GPU memory: trains by {size} slices at a time", "done": False}
    except Diverged as reason:
        yield {"diverged": str(reason), "done": True}
    except Exception as error:
        fault = of_environment(error)
        if fault is None:
            raise
        folder = fault.folder or (str(task.folder) if fault.size else "")
        values = {"reason": str(fault), "folder": folder, "size": fault.size}
        yield {"fault": json.dumps(values), "done": True}


class _TooLarge(RuntimeError):
    """A training step does not fit in the GPU's memory."""


def _reports(task: Task, parts: int) -> Iterator[Result]:
    watchdog = Watchdog(task.folder, max(LEAST, task.hang_seconds))  # opening may take longer than a step
    watchdog.beat()
    try:
        cohort, references, judge = _opened(task.cohort, task.references, task.measures, task.extended)
        loop = Loop(task, cohort, references, judge, parts)
    finally:
        watchdog.pause()
    try:
        for report in loop.reports():
            yield {"report": json.dumps(report.to_json()), "done": report.done}
    except torch.OutOfMemoryError as error:
        if not loop.trains:
            raise
        raise _TooLarge from error


def call(function: Callable[[Any], Any], item: Any, mounted: Sequence[Sequence[Any]] = ()) -> Any:
    """``function(item)`` as a Ray task, with the driver's mounts; ``function`` must live in ``trainers``."""
    mounts.restore(mounted)
    return function(item)


def encode(task: Task) -> str:
    """A task as JSON text."""
    paths = {"cohort": str(task.cohort), "references": str(task.references), "folder": str(task.folder)}
    values = {"method": task.method, "config": json.loads(canonical(task.config)), **paths}
    scoring = {"measures": task.measures, "extended": task.extended}
    times = {"save_seconds": task.save_seconds, "hang_seconds": task.hang_seconds}
    return json.dumps(
        {**values, "milestones": task.milestones, "mounts": mounts.described(), **times, **scoring}
    )


def decode(text: str) -> Task:
    """The task that :func:`encode` wrote; its mounts are added."""
    values = json.loads(text)
    mounts.restore(values["mounts"])
    config = rebuild(find_method(values["method"]).Config, values["config"])
    cohort, references, folder = (Path(values[name]) for name in ("cohort", "references", "folder"))
    milestones, scoring = tuple(values["milestones"]), (values["measures"], values["extended"])
    rest = milestones, *scoring, values["save_seconds"], values["hang_seconds"]
    return Task(values["method"], config, cohort, references, folder, *rest)


def folder_of(config: dict[str, Any]) -> Path:
    """The folder of the trial that a Tune configuration has."""
    return Path(json.loads(config["task"])["folder"])


def decode_fault(text: str) -> EnvironmentFault:
    """The fault of a result."""
    values = json.loads(text)
    return EnvironmentFault(values["reason"], values["folder"], values["size"])


def decode_report(text: str) -> Report:
    """The report of a result."""
    return Report.from_json(json.loads(text))


@functools.lru_cache(maxsize=1)
def _opened(
    cohort: Path, references: Path, measures: int, extended: bool
) -> tuple[Cohort, References, Judge]:
    """Opened once per process and shared by the trials of an actor."""
    store, frozen = Cohort.open(cohort), References.open(references)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for encoder in frozen.encoders.values():
        encoder.to(device)
    return store, frozen, Judge.of(store, frozen, "val", measures, extended)
