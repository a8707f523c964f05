"""Ray Tune as the executor: it places trials and restarts them where a node dies."""

import time
from platform.execution import cluster
from platform.execution.trial_source import TrialSource
from platform.execution.tune_adapters import (
    HangCallback,
    TuneScheduler,
    TuneSearcher,
    lost_workers_are_actor_deaths,
)
from platform.study.settings import Resources
from typing import Any

from ray import tune
from ray.tune.error import TuneError

from trainers import trial
from trainers.errors import EnvironmentFault, InputError
from trainers.faults import of_environment

EVERY = 5.0
"""Seconds between two requests to an autoscaler."""
MOST = 1000
"""Trials at a time for which places are requested, where the space sets no limit: the cluster has its own."""
DRIVER_SHARE = {"memory": 1}
"""A byte: Ray refuses to reserve nothing, and a share of a core would keep the workers from fitting."""


def run(source: TrialSource, callbacks: list[tune.Callback]) -> None:
    """Run the source's trials until it has no more.

    An InputError or EnvironmentFault inside Tune's error is raised by itself.
    """
    lost_workers_are_actor_deaths()
    searcher = TuneSearcher(source)
    tuner = tune.Tuner(
        trainable_with_resources(source.resources),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=searcher,
            scheduler=TuneScheduler(searcher),
            reuse_actors=source.resources.workers == 1,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(source.folder),
            failure_config=tune.FailureConfig(max_failures=0),  # the source tells faults apart
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[*callbacks, HangCallback(searcher.on_stalled), DemandCallback(source)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except TuneError as error:
        cause = expected_error(error)
        if cause is None:
            raise
        raise cause from None
    finally:
        cluster.request_places(source.resources, 0)


class DemandCallback(tune.Callback):  # type: ignore[misc]
    """Tells an autoscaler what the source's trials need, from Tune's event loop."""

    def __init__(self, source: TrialSource | None) -> None:
        self._source, self._told, self._requested = source, 0.0, 0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune at every step of its event loop."""
        if self._source is None or time.monotonic() - self._told < EVERY:
            return
        self._told = time.monotonic()
        resources = self._source.resources
        wanted = min(self._source.wanted, resources.concurrent or MOST)
        if wanted != self._requested:
            self._requested = wanted
            cluster.request_places(resources, wanted)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; the copy tells nothing."""
        return {**self.__dict__, "_source": None}


def expected_error(error: BaseException | None) -> InputError | EnvironmentFault | None:
    """The error that is no bug from which another was raised: Tune wraps what its searcher raises."""
    while error is not None and not isinstance(error, InputError | EnvironmentFault):
        if (fault := of_environment(error)) is not None:
            return fault
        error = error.__cause__ or error.__context__
    return error


def trainable_with_resources(resources: Resources) -> Any:
    """The trainable with what one trial takes; with several workers Tune reserves the driver's share only."""
    if resources.workers == 1:
        return tune.with_resources(trial.Trial, {"cpu": resources.cpus, "gpu": resources.gpus})
    return tune.with_resources(trial.distributed, DRIVER_SHARE)
