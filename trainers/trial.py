"""The one door to Ray: a trial as Tune runs it. Tasks come in and reports go out as JSON text.

Up to one GPU the loop runs inside the Tune actor, which is reused for the next trial; with several workers
the trial starts Ray Train and the same loop runs in each of them. Nothing is checkpointed through Ray: a
trial finds its own last intact checkpoint, whoever restarts it.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from ray import train, tune
from ray.tune.integration.ray_train import TuneReportCallback

from trainers.config import build, canonical
from trainers.data.store import Cohort
from trainers.loop import Diverged, Loop, Task
from trainers.methods.base import find_method
from trainers.metrics.judge import Judge
from trainers.references.store import References
from trainers.report import Report

Result = dict[str, Any]
"""``{"report": text, "done": bool}`` at a rung, ``{"diverged": reason, "done": True}`` at a bad end."""


class Trial(tune.Trainable):  # type: ignore[misc]
    """A trial of one process; each ``step`` is one rung."""

    def setup(self, config: dict[str, Any]) -> None:
        """Open the task of ``config["task"]``."""
        self.results = results(decode(config["task"]))

    def step(self) -> Result:
        """Train to the next rung."""
        return next(self.results)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another task without paying for a new process."""
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the loop has published its own checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: ``setup`` has found the last one."""


def distributed(config: dict[str, Any]) -> None:
    """A trial of several ``workers`` with ``cpus`` cores each, as a Tune function that drives Ray Train."""
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
    """Every result of a task, from its last checkpoint on."""
    cohort, references, judge = _opened(task.cohort, task.references)
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
    plain = {"method": task.method, "config": json.loads(canonical(task.config)), **paths}
    return json.dumps({**plain, "milestones": task.milestones})


def decode(text: str) -> Task:
    """The task that :func:`encode` wrote."""
    plain = json.loads(text)
    config = build(find_method(plain["method"]).Config, plain["config"])
    cohort, references, folder = (Path(plain[name]) for name in ("cohort", "references", "folder"))
    return Task(plain["method"], config, cohort, references, folder, tuple(plain["milestones"]))


def decode_report(text: str) -> Report:
    """The report of a result."""
    return Report.from_json(json.loads(text))


@functools.lru_cache(maxsize=1)
def _opened(cohort: Path, references: Path) -> tuple[Cohort, References, Judge]:
    """Opened once per process: the trials that reuse an actor share them."""
    store, frozen = Cohort.open(cohort), References.open(references)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for encoder in (frozen.domain, frozen.radiology):
        encoder.to(device)
    return store, frozen, Judge.of(store, frozen, "val")
