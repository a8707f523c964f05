"""Ray Tune as the executor: it places trials and restarts them where a node dies."""

from platform.execution import cluster
from platform.execution.trial_source import TrialSource
from platform.execution.tune_adapters import HangCallback, TuneScheduler, TuneSearcher
from platform.study.settings import Resources
from typing import Any

from ray import tune
from ray.tune.error import TuneError

from trainers import trial
from trainers.errors import EnvironmentFault, InputError

DRIVER_SHARE = {"memory": 1}
"""A byte: Ray refuses to reserve nothing, and a share of a core would keep the workers from fitting."""


def run(source: TrialSource, callbacks: list[tune.Callback]) -> None:
    """Run the source's trials until it has no more.

    An InputError or EnvironmentFault inside Tune's error is raised by itself.
    """
    searcher = TuneSearcher(source)
    tuner = tune.Tuner(
        trainable_with_resources(source.resources),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=searcher,
            scheduler=TuneScheduler(searcher),
            max_concurrent_trials=cluster.concurrency(source.resources),
            reuse_actors=source.resources.workers == 1,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(source.folder),
            failure_config=tune.FailureConfig(max_failures=0),  # the source tells faults apart
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[*callbacks, HangCallback(searcher.on_stalled)],
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


def expected_error(error: BaseException | None) -> InputError | EnvironmentFault | None:
    """The error that is no bug from which another was raised: Tune wraps what its searcher raises."""
    while error is not None and not isinstance(error, InputError | EnvironmentFault):
        error = error.__cause__ or error.__context__
    return error


def trainable_with_resources(resources: Resources) -> Any:
    """The trainable with what one trial takes; with several workers Tune reserves the driver's share only."""
    if resources.workers == 1:
        return tune.with_resources(trial.Trial, {"cpu": resources.cpus, "gpu": resources.gpus})
    return tune.with_resources(trial.distributed, DRIVER_SHARE)
