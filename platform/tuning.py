"""Ray Tune as the executor: it places trials, restarts them where a node dies, and stops when told there are no more."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from platform.conductor import Conductor
from platform.study import Resources
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from trainers import trial

RETRIES = 3
"""Restarts of a trial whose worker or node died, each from its last checkpoint; a lost connection counts as one."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial has no metrics and must not end the search
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def start_ray(address: str | None, resources: Resources) -> None:
    """Join the cluster at ``address``, or start Ray on this machine; workers are shipped ``trainers`` alone."""
    os.environ.update({key: value for key, value in _ENVIRONMENT.items() if key not in os.environ})
    if address:
        import trainers

        ray.init(address, runtime_env={"py_modules": [str(Path(trainers.__file__).parent)]}, log_to_driver=False)
        return
    # Ray Train's clean-up after a stopped trial asks the dashboard; single-process trials do without (HPO.md 1.4).
    ray.init(include_dashboard=resources.workers > 1, log_to_driver=False, logging_level=logging.ERROR)


class Proposals(Searcher):  # type: ignore[misc]
    """Tune's view of the conductor; Tune pickles its searcher, so the copy it keeps holds nothing."""

    def __init__(self, conductor: Conductor | None) -> None:
        super().__init__()
        self._conductor = conductor
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next task as a Tune configuration."""
        found = self._required.next()
        if found is None:
            return str(Searcher.FINISHED)
        number, task = found
        self._numbers[trial_id] = number
        placement = self._required.study.resources
        share = {"workers": placement.workers, "gpu": placement.gpus > 0, "cpus": placement.cpus / placement.workers}
        return {"task": trial.encode(task), **share}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A rung, or the end of a diverged trial."""
        number = self._numbers[trial_id]
        if "diverged" in result:
            self._required.ended(number, "diverged", result["diverged"])
        elif "report" in result:
            self._required.reported(number, trial.decode_report(result["report"]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The trial has left Tune; if no report ended it, its worker failed beyond the retries."""
        if result:
            self.on_trial_result(trial_id, result)
        reason = f"the worker failed {RETRIES + 1} times; see {self._required.folder / 'tune'}"
        self._required.ended(self._numbers[trial_id], "failed", reason if error else "the trial ended without its last report")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the memory."""
        Path(checkpoint_path).write_text(json.dumps({}))

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the conductor, which holds a database and threads."""
        return {**self.__dict__, "_conductor": None}

    @property
    def _required(self) -> Conductor:
        assert self._conductor is not None
        return self._conductor


def run(conductor: Conductor, callbacks: list[tune.Callback]) -> None:
    """Run the study's trials until the conductor has no more."""
    tuner = tune.Tuner(
        placed(conductor.study.resources),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=Proposals(conductor),
            max_concurrent_trials=concurrency(conductor.study.resources),
            reuse_actors=conductor.study.resources.workers == 1,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(conductor.folder),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=callbacks,
            verbose=0,
        ),
    )
    tuner.fit()


def placed(resources: Resources) -> Any:
    """The trainable with what one trial takes; with several workers Tune holds only the driver's share."""
    if resources.workers == 1:
        return tune.with_resources(trial.Trial, {"cpu": resources.cpus, "gpu": resources.gpus})
    return tune.with_resources(trial.distributed, {"cpu": 0})


def concurrency(resources: Resources) -> int:
    """Trials at a time: as asked for, at most as many as the cluster holds.

    Workers of Ray Train are placed behind Tune's back, so the count must be right or trials starve (HPO.md 1.2).
    """
    cluster = ray.cluster_resources()
    fit = cluster.get("CPU", 1) / resources.cpus
    if resources.gpus:
        fit = min(fit, cluster.get("GPU", 0) / resources.gpus)
    most = max(1, int(fit + 1e-9))
    return min(most, resources.concurrent) if resources.concurrent else most


def ray_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """``map`` over Ray tasks of one core each, results in order."""
    task = ray.remote(num_cpus=1)(trial.call)
    references = [task.remote(function, item) for item in items]
    return (ray.get(reference) for reference in references)
