"""Ray itself: started or joined, and functions of ``trainers`` run on it as tasks."""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from platform.execution import machine
from platform.execution.machine import Machine
from platform.study.settings import Resources
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

from trainers import trial
from trainers.errors import EnvironmentFault, InputError

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
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # table and closing lines show failed trials
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})
    terminate = signal.getsignal(signal.SIGTERM)
    if address:
        import trainers

        shipped = {"py_modules": [str(Path(trainers.__file__).parent)]}
        ray.init(address, runtime_env=shipped, log_to_driver=False)
    else:
        # Ray Train's clean-up after a stopped trial needs the dashboard; a single process does not.
        ray.init(include_dashboard=resources.workers > 1, log_to_driver=False, logging_level=logging.ERROR)
    signal.signal(signal.SIGTERM, terminate)  # Ray has replaced it by one that exits with 15


def ensure_ray(address: str | None, resources: Resources) -> None:
    """As :func:`start_ray`, unless Ray runs already."""
    if not ray.is_initialized():
        start_ray(address, resources)


def concurrency(resources: Resources) -> int:
    """Trials at a time on the running cluster.

    Workers of Ray Train are placed without Tune's knowledge, so the count must be right.
    """
    available = ray.cluster_resources()
    whole = Machine(int(available.get("CPU", 1)), int(available.get("GPU", 0)))
    return machine.concurrency(resources, whole)


def gpu_share(parts: int) -> float:
    """The share of a GPU for each of so many tasks at a time; 0 without a GPU."""
    return float(min(1.0, ray.cluster_resources().get("GPU", 0)) / parts)


def result_of(reference: Any) -> Any:
    """A task's result; an error that is no bug is raised without its worker's traceback."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, InputError | EnvironmentFault):
            raise error.cause from None
        raise


def ray_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    gpus: float = 0,
    on_crash: Callable[[Any, Exception], Any] | None = None,
) -> Iterator[Any]:
    """``map`` over Ray tasks of one core, and a share of a GPU, each; results in order.

    ``on_crash(item, error)`` replaces the result of a task whose worker crashed in every attempt.
    """
    task = ray.remote(num_cpus=1, num_gpus=gpus)(trial.call)
    started = [(item, task.remote(function, item)) for item in items]
    for item, reference in started:
        try:
            yield result_of(reference)
        except (WorkerCrashedError, OutOfMemoryError) as error:
            if on_crash is None:
                raise
            yield on_crash(item, error)


def run_watched(
    function: Callable[[Any], Any], items: Iterable[Any], gpus: float, watch: Callable[[], None]
) -> None:
    """Run Ray tasks at the same time, calling ``watch`` every half second until all have ended."""
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=2)(trial.call)
    running = [task.remote(function, item) for item in items]
    while running:
        ended, running = ray.wait(running, timeout=0.5)
        for reference in ended:
            result_of(reference)
        watch()
