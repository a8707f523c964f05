"""Faults of trials, and a long study of tiny ones, through real Ray and Tune without training."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from platform.execution import cluster, tuner
from platform.storage.layout import Storage
from platform.storage.ledger import read_trials
from platform.study.budget import Budget
from platform.study.study import Study
from typing import Any

import psutil
import ray

from tests.chaos.row import Outcome, Row
from tests.platform.conftest import TOY
from tests.platform.execution import costless
from tests.platform.world import World
from trainers.watchdog import Watchdog

KINDS = ("not finite", "exception", "host out of memory", "hang")
STATUS = {"not finite": "diverged", "exception": "failed"}
"""How a trial ends; one that its environment has stopped completes in the end."""
STOPS = {"exception": 2, "host out of memory": 1, "hang": 1}
STEPS = 8
HANG = 2.0


@contextlib.contextmanager
def local_ray() -> Iterator[None]:
    """Ray with two cores."""
    os.environ |= cluster._ENVIRONMENT
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def trainable(kinds: dict[str, str], hang: float, pause: float = 0.0) -> type:
    """A trial of ``pause`` seconds that meets its fault in its first attempt; an exception in each."""

    def opened(folder: Path, config: dict[str, Any]) -> costless.Steps:
        def following() -> costless.Rung | dict[str, Any]:
            kind, met = kinds.get(folder.name, ""), folder / "met"
            if kind and (kind in STATUS or not met.exists()):
                folder.mkdir(parents=True, exist_ok=True)
                met.touch()
                if kind == "not finite":
                    return {"diverged": "loss G is nan at step 3", "done": True}
                if kind == "exception":
                    raise KeyError("a bug")
                if kind == "host out of memory":
                    os.kill(os.getpid(), signal.SIGKILL)
                Watchdog(folder, hang).beat()
                time.sleep(3600)
            time.sleep(pause)
            return STEPS, STEPS, config["weight"]

        return following

    return costless.trainable(opened)


def run(root: Path, study: Study, fake: type) -> World:
    """The study through Tune."""
    world = World(study, Storage.open(root), rungs=(STEPS,))
    original, tuner.trial.Trial = tuner.trial.Trial, fake  # type: ignore[misc]
    try:
        orchestrator = world.open()
        tuner.run(orchestrator, [])
        orchestrator.close()
        orchestrator.ledger.close()
    finally:
        tuner.trial.Trial = original  # type: ignore[misc]
    return world


def faults_of_trials(root: Path, count: int) -> Outcome:
    """Of each kind so many among as many sound trials; the study goes on and says why."""
    kinds = {f"{2 * n:05d}": KINDS[n % len(KINDS)] for n in range(count)}
    study = replace(TOY, fixed={"steps": STEPS, "limit": 2.0}, budget=Budget(trials=2 * count))
    with local_ray():
        world = run(root, study, trainable(kinds, HANG))
    trials, stood = read_trials(world.folder), 0
    for number, trial in trials.items():
        kind = kinds.get(f"{number:05d}", "")
        expected = STATUS.get(kind, "completed"), STOPS.get(kind, 0)
        stood += (trial.status, trial.interruptions) == expected and bool(trial.reason) == (kind in STATUS)
    return Outcome(stood, 2 * count, f"{count // len(KINDS)} of each: {', '.join(KINDS)}; as many sound")


def soak(root: Path, count: int) -> Outcome:
    """So many tiny trials: memory, files and time of the driver."""
    study = replace(TOY, fixed={"steps": STEPS, "limit": 2.0}, budget=Budget(trials=count))
    driver = psutil.Process()
    with local_ray():
        run(root / "warm", replace(study, budget=Budget(trials=20)), trainable({}, HANG))
        memory, files, started = driver.memory_info().rss, driver.num_fds(), time.monotonic()
        world = run(root / "soak", study, trainable({}, HANG))
        seconds = time.monotonic() - started
        grown, left = driver.memory_info().rss - memory, driver.num_fds() - files
    done = sum(trial.status == "completed" for trial in read_trials(world.folder).values())
    note = f"driver grew by {grown / 2**20:.0f} MB, {left} files more; {1e3 * seconds / count:.0f} ms a trial"
    return Outcome(done, count, note)


ROWS = (
    Row("17", "a loss that is not finite, an exception, a killed worker, a hang", 100, 8, faults_of_trials),
    Row("18", "2,000 tiny trials through Tune", 2000, 60, soak),
)
