"""The ledger of fixed trials: nothing finished is trained again, nothing open is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from platform.comparison.systems import find_systems
from platform.execution.fixed_trials import FixedTrials, TrainingsView
from platform.execution.machine import Machine
from platform.execution.trial_source import TrialPaths
from platform.storage.ledger import Ledger
from typing import Any

import pytest

from trainers.loop import Task
from trainers.report import Report

Open = Callable[..., FixedTrials]


@pytest.fixture(scope="module")
def systems() -> dict[str, Any]:
    """Three systems by name."""
    names = ("cut", "unsb", "cyclegan")
    return {system.name: system for system in find_systems(names, "smoke", None, Machine(2, 0), None)}


@pytest.fixture
def open_trials(tmp_path: Path, systems: dict[str, Any], calls: Any) -> Iterator[Open]:
    """``open_trials("cut", seeds=2)``: their trainings as a new process would open them."""
    ledgers: list[Ledger] = []

    def start(*names: str, seeds: int = 1, steps: int = 4) -> FixedTrials:
        for ledger in ledgers:
            ledger.close()
        ledgers[:] = [Ledger(tmp_path)]
        trainings = [systems[name].training(seed, steps) for seed in range(seeds) for name in names]
        paths = TrialPaths(tmp_path, Path("c"), Path("r"))
        return FixedTrials(trainings, systems["cut"].study.resources, paths, calls, ledgers[0])

    yield start
    for ledger in ledgers:
        ledger.close()


def report(step: int = 4) -> Report:
    return Report(step, 4, {1: {"fid": 2.0, "psnr": 20.0}}, {"D": 0.5}, 2.0, f"/c/{step}", 1.5)


def start_all(trials: FixedTrials) -> dict[int, Task]:
    """Number and task of every training that waits."""
    tasks = {}
    while (started := trials.next()) is not None:
        tasks.setdefault(*started)
    return tasks


def statuses(trials: FixedTrials) -> list[tuple[str, str]]:
    return [(training.system, trial.status) for training, trial in trials.trials()]


def test_every_system_and_seed_is_trained_once_in_its_own_folder(open_trials: Open) -> None:
    trials = open_trials("cut", "unsb", seeds=2)
    assert not trials.over and trials.waiting == 4
    started = start_all(trials)
    tasks = list(started.values())
    assert not trials.over and not trials.waiting, "one that runs may be interrupted and start again"
    for number in started:
        trials.reported(number, report())
    assert trials.over
    assert [(task.method, task.config.seed) for task in tasks] == [
        *[("cut", 0), ("unsb", 0), ("cut", 1), ("unsb", 1)],
    ]
    assert len({task.folder for task in tasks}) == 4


def test_only_what_is_open_or_has_failed_is_trained_again(open_trials: Open) -> None:
    trials = open_trials("cut", "unsb", "cyclegan", seeds=2)
    first, second, third, fourth, *others = start_all(trials)
    trials.reported(first, report())
    trials.reported(second, report(step=2))
    trials.ended(third, "diverged", "diverged at step 2: D is nan")
    trials.ended(fourth, "failed", "its worker died 4 times")
    resumed = open_trials("cut", "unsb", "cyclegan", seeds=2)
    again = start_all(resumed)
    assert next(iter(again)) == second and set(others) < set(again) and len(again) == 4
    assert again[max(again)].config.seed == 1 and fourth not in again  # a new number for what failed
    assert [status for _, status in statuses(resumed)] == [
        *["completed", "open", "diverged", "open", "open", "open"]
    ]
    assert resumed.trials()[0][1].scores == report().scores


def test_other_systems_seeds_or_settings_add_to_it(open_trials: Open) -> None:
    trials = open_trials("cut")
    trials.reported(*start_all(trials), report())
    extended = open_trials("cut", "unsb", seeds=2)
    assert len(start_all(extended)) == 3 and extended.count_ended() == 1
    assert len(start_all(open_trials("cut", steps=8))) == 1


def test_a_last_report_that_only_the_ledger_has_ends_its_training(open_trials: Open, calls: Any) -> None:
    trials = open_trials("cut")
    (number,) = start_all(trials)
    trials.ledger.reported(number, report())
    calls.calls.clear()
    resumed = open_trials("cut")
    assert not start_all(resumed) and statuses(resumed) == [("cut", "completed")]
    assert [name for name, *_ in calls.calls] == ["metrics", "finish"]


def test_start_metrics_and_end_are_recorded_and_shown(open_trials: Open, calls: Any) -> None:
    trials = open_trials("cut", "unsb")
    trials.reported(next(iter(start_all(trials))), report())
    started, _, metrics, end = calls.calls
    assert [name for name, *_ in calls.calls] == ["trial", "trial", "metrics", "finish"]
    assert started[3]["mlflow.runName"] == "cut, seed 0"
    assert metrics[2]["fid"] == 2.0 and end[2] == "FINISHED"
    view = TrainingsView(trials)
    assert view.ended() == 1 and "1/2 trainings ended" in view.line()
