"""Ray Tune as the executor: it places trials and restarts them where a node dies."""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from platform.execution.tune_adapters import RETRIES, Proposals, Source
from platform.execution.tune_scheduler import RungScheduler
from platform.orchestration import cost_estimate
from platform.orchestration.cost_estimate import Machine
from platform.study.study import Resources
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError
from ray.tune.error import TuneError

from trainers import trial
from trainers.errors import InputError

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


def run(source: Source, callbacks: list[tune.Callback]) -> None:
    """Run the source's trials until it has no more; an InputError of ours is raised plainly."""
    proposals = Proposals(source)
    tuner = tune.Tuner(
        placed(source.resources),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=proposals,
            scheduler=RungScheduler(proposals),
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
    return cost_estimate.concurrency(resources, machine)


def fetched(reference: Any) -> Any:
    """A task's result; an InputError that it has raised is raised plainly, without its worker's traceback."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


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
            yield fetched(reference)
        except (WorkerCrashedError, OutOfMemoryError) as error:
            if lost is None:
                raise
            yield lost(item, error)
