"""A trial as Ray Tune runs it: receives a task and returns reports, both as JSON text.

Up to one GPU the loop runs inside the Tune actor, which is reused for the next trial; with several workers
the trial starts Ray Train and the same loop runs in each of them. Nothing is checkpointed through Ray: a
restarted trial finds its own last intact checkpoint.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from ray import train, tune
from ray.tune.integration.ray_train import TuneReportCallback

from trainers import termination
from trainers.config import canonical, rebuild
from trainers.data.store import Cohort
from trainers.loop import Diverged, Loop, Task
from trainers.methods.base import find_method
from trainers.metrics.judge import Judge
from trainers.references.store import References
from trainers.report import Report

Result = dict[str, Any]
"""``{"report": text, "done": bool}`` at a rung, ``{"diverged": reason, "done": True}`` after divergence."""


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
    """One of the processes that :func:`distributed` starts."""
    for result in results(decode(config["task"])):
        train.report(result)


def results(task: Task) -> Iterator[Result]:
    """Every result of a task, starting from its last checkpoint."""
    cohort, references, judge = _opened(task.cohort, task.references, task.measures, task.extended)
    try:
        for report in Loop(task, cohort, references, judge).reports():
            yield {"report": json.dumps(report.to_json()), "done": report.done}
    except Diverged as reason:
        yield {"diverged": str(reason), "done": True}


def call(function: Callable[[Any], Any], item: Any) -> Any:
    """``function(item)`` as a Ray task; ``function`` must live in ``trainers``."""
    return function(item)


def encode(task: Task) -> str:
    """A task as JSON text."""
    paths = {"cohort": str(task.cohort), "references": str(task.references), "folder": str(task.folder)}
    values = {"method": task.method, "config": json.loads(canonical(task.config)), **paths}
    scoring = {"measures": task.measures, "extended": task.extended}
    rhythm = {"milestones": task.milestones, "save_seconds": task.save_seconds}
    return json.dumps({**values, **rhythm, **scoring})


def decode(text: str) -> Task:
    """The task that :func:`encode` wrote."""
    values = json.loads(text)
    config = rebuild(find_method(values["method"]).Config, values["config"])
    cohort, references, folder = (Path(values[name]) for name in ("cohort", "references", "folder"))
    milestones, scoring = tuple(values["milestones"]), (values["measures"], values["extended"])
    rest = milestones, *scoring, values["save_seconds"]
    return Task(values["method"], config, cohort, references, folder, *rest)


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
