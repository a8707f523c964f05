"""Ray Tune as the executor: it places trials and restarts them where a node dies."""

import json
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from platform import preflight
from platform.ledger import Status
from platform.preflight import Machine
from platform.study import Resources
from typing import Any, Protocol

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, WorkerCrashedError
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from trainers import trial
from trainers.errors import InputError
from trainers.loop import Report, Task

RETRIES = 3
"""Restarts of a trial whose worker or node died, each from its last checkpoint; a lost connection counts."""

DRIVER_SHARE = {"memory": 1}
"""A byte: Ray refuses to reserve nothing, and a share of a core would keep the workers from fitting."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # it would end an interrupted search as if it were finished
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial has no metrics and must not end the search
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Source(Protocol):
    """Where trials come from and their results go: a search's conductor, a comparison's roster."""

    @property
    def resources(self) -> Resources:
        """What one trial takes."""

    @property
    def folder(self) -> Path:
        """Where everything of the study lies."""

    def next(self) -> tuple[int, Task] | None:
        """The next trial's number and task; None: no more."""

    def reported(self, number: int, report: Report) -> None:
        """A rung of a trial."""

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A trial is over."""


def start_ray(address: str | None, resources: Resources) -> None:
    """Join the cluster at ``address``, or start Ray here; workers are shipped ``trainers`` alone."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # board and closing lines tell of failed trials
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})
    terminate = signal.getsignal(signal.SIGTERM)
    if address:
        import trainers

        shipped = {"py_modules": [str(Path(trainers.__file__).parent)]}
        ray.init(address, runtime_env=shipped, log_to_driver=False)
    else:
        # Ray Train's clean-up after a stopped trial asks the dashboard; a lone process does not (HPO.md 1.4).
        ray.init(include_dashboard=resources.workers > 1, log_to_driver=False, logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, terminate)  # Ray has put its own, which exits with 15


class Proposals(Searcher):  # type: ignore[misc]
    """Tune's view of a source; Tune pickles its searcher, so the copy it keeps holds nothing."""

    def __init__(self, source: Source | None) -> None:
        super().__init__()
        self._source = source
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next task as a Tune configuration."""
        found = self._required.next()
        if found is None:
            return str(Searcher.FINISHED)
        number, task = found
        self._numbers[trial_id] = number
        placement = self._required.resources
        return {
            "task": trial.encode(task),
            "workers": placement.workers,
            "gpu": placement.gpus > 0,
            "cpus": placement.cpus / placement.workers,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A rung, or the end of a diverged trial."""
        number = self._numbers[trial_id]
        if "diverged" in result:
            self._required.ended(number, "diverged", result["diverged"])
        elif "report" in result:
            self._required.reported(number, trial.decode_report(result["report"]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial has left Tune; if no report ended it, its worker failed beyond the retries."""
        if result:
            self.on_trial_result(trial_id, result)
        reason = self._error(trial_id) if error else "it ended without its last report"
        self._required.ended(self._numbers[trial_id], "failed", reason)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the memory."""
        Path(checkpoint_path).write_text(json.dumps({}))

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, which holds a database and threads."""
        return {**self.__dict__, "_source": None}

    def _error(self, trial_id: str) -> str:
        """The last line of the traceback that Tune kept, and where the whole of it is."""
        for file in self._required.folder.glob(f"tune/*{trial_id}*/error.txt"):
            return f"{file.read_text().strip().splitlines()[-1]} ({file})"
        return f"its worker died {RETRIES + 1} times"

    @property
    def _required(self) -> Source:
        assert self._source is not None
        return self._source


def run(source: Source, callbacks: list[tune.Callback]) -> None:
    """Run the source's trials until it has no more; an InputError of ours is raised plainly."""
    tuner = tune.Tuner(
        placed(source.resources),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=Proposals(source),
            max_concurrent_trials=concurrency(source.resources),
            reuse_actors=source.resources.workers == 1,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(source.folder),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=callbacks,
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except TuneError as error:
        wrong = input_error(error)
        if wrong is None:
            raise
        raise wrong from None


def input_error(error: BaseException | None) -> InputError | None:
    """The InputError that an error was raised from: Tune wraps what its searcher raises."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def placed(resources: Resources) -> Any:
    """The trainable with what one trial takes; with several workers Tune holds the driver's share alone."""
    if resources.workers == 1:
        return tune.with_resources(trial.Trial, {"cpu": resources.cpus, "gpu": resources.gpus})
    return tune.with_resources(trial.distributed, DRIVER_SHARE)


def concurrency(resources: Resources) -> int:
    """Trials at a time: as asked for, at most as many as the cluster holds.

    Workers of Ray Train are placed behind Tune's back, so the count must be right (HPO.md 1.2).
    """
    there = ray.cluster_resources()
    machine = Machine(int(there.get("CPU", 1)), int(there.get("GPU", 0)))
    return preflight.concurrency(resources, machine)


def ray_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    gpus: float = 0,
    lost: Callable[[Any, Exception], Any] | None = None,
) -> Iterator[Any]:
    """``map`` over Ray tasks of one core, and a share of a GPU, each; results in order.

    ``lost(item, error)`` stands in for the result of a task whose worker died in every try.
    """
    task = ray.remote(num_cpus=1, num_gpus=gpus)(trial.call)
    started = [(item, task.remote(function, item)) for item in items]
    for item, reference in started:
        try:
            yield ray.get(reference)
        except (WorkerCrashedError, OutOfMemoryError) as error:
            if lost is None:
                raise
            yield lost(item, error)
