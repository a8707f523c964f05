"""A comparison's memory: nothing finished is trained again, nothing open is lost."""

from collections.abc import Callable
from pathlib import Path
from platform.comparison.systems import find_entrants
from platform.execution.fixed_trials import Entry, FixedTrials, RosterView
from platform.orchestration.cost_estimate import Machine
from platform.storage.ledger import Ledger
from typing import Any

import pytest

from trainers.report import Report

SCORES = {1: {"fid": 2.0, "psnr": 20.0}}


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.told.append((name, *arguments))


Open = Callable[..., FixedTrials]


@pytest.fixture
def open_roster(tmp_path: Path) -> Any:
    """Opens the roster of the systems as a new process would."""
    ledgers: list[Ledger] = []

    def start(*systems: str, seeds: int = 1, steps: int = 4) -> FixedTrials:
        for ledger in ledgers:
            ledger.close()
        ledgers[:] = [Ledger(tmp_path)]
        found = find_entrants(systems, "smoke", None, Machine(2, 0), None)
        entries = [Entry(e, seed, e.config(seed, steps)) for seed in range(seeds) for e in found]
        recorder: Any = Recorder()
        return FixedTrials(entries, tmp_path, Path("c"), Path("r"), recorder, ledgers[0])

    yield start
    for ledger in ledgers:
        ledger.close()


def report(step: int = 4, **scores: float) -> Report:
    return Report(step, 4, {1: SCORES[1] | scores}, {"D": 0.5}, 2.0, f"/c/{step}", 1.5)


def drain(roster: FixedTrials) -> list[int]:
    numbers = []
    while (found := roster.next()) is not None:
        numbers.append(found[0])
    return numbers


def test_every_system_and_seed_is_handed_out_once_with_its_own_folder(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb", seeds=2)
    tasks = [found[1] for _ in range(4) if (found := roster.next())]
    assert roster.next() is None
    assert [(task.method, task.config.seed) for task in tasks] == [
        ("cut", 0),
        ("unsb", 0),
        ("cut", 1),
        ("unsb", 1),
    ]
    assert len({task.folder for task in tasks}) == 4


def test_what_is_over_is_not_handed_out_again(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb", "cyclegan")
    first, second, third = drain(roster)
    roster.reported(first, report())
    roster.ended(second, "diverged", "diverged at step 2: D is nan")
    again = open_roster("cut", "unsb", "cyclegan")
    assert drain(again) == [third]
    assert [trial.status for _, trial in again.trials()] == ["completed", "diverged", "open"]
    assert again.trials()[0][1].scores == SCORES


def test_another_system_or_seed_extends_it(open_roster: Open) -> None:
    roster = open_roster("cut")
    roster.reported(drain(roster)[0], report())
    extended = open_roster("cut", "unsb", seeds=2)
    assert len(drain(extended)) == 3 and extended.count_ended() == 1


def test_other_settings_are_another_training(open_roster: Open) -> None:
    roster = open_roster("cut")
    roster.reported(drain(roster)[0], report())
    assert len(drain(open_roster("cut", steps=8))) == 1


def test_a_failure_is_tried_again_and_a_divergence_is_not(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb")
    first, second = drain(roster)
    roster.ended(first, "failed", "its worker died 4 times")
    roster.ended(second, "diverged", "diverged at step 1")
    again = open_roster("cut", "unsb")
    assert len(drain(again)) == 1
    assert {entry.entrant.name: trial.status for entry, trial in again.trials()} == {
        "cut": "open",
        "unsb": "diverged",
    }


def test_a_last_rung_that_was_heard_ends_the_training_after_a_kill(open_roster: Open, tmp_path: Path) -> None:
    roster = open_roster("cut")
    number = drain(roster)[0]
    plain = {**vars(report()), "scores": {"1": SCORES[1]}}
    roster.ledger.reported(number, plain)
    again = open_roster("cut")
    assert drain(again) == [] and again.trials()[0][1].status == "completed"
    recorder: Any = again.recorder
    assert [entry[0] for entry in recorder.told] == ["metrics", "finish"]


def test_a_score_that_is_not_finite_is_a_divergence(open_roster: Open) -> None:
    roster = open_roster("cut")
    number = drain(roster)[0]
    roster.reported(number, report(fid=float("nan")))
    trial = roster.trials()[0][1]
    assert (
        trial.status == "diverged" and trial.reason == "diverged at step 4: fid at 1 refinement steps is nan"
    )
    roster.reported(number, report())
    assert roster.trials()[0][1].status == "diverged"


def test_an_earlier_rung_ends_nothing(open_roster: Open) -> None:
    roster = open_roster("cut")
    number = drain(roster)[0]
    assert roster.reported(number, report(step=2)), "it trains on"
    assert roster.count_ended() == 0 and drain(open_roster("cut")) == [number]


def test_a_training_that_is_over_does_not_train_on(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb")
    first, second = drain(roster)
    assert not roster.reported(first, report()) and not roster.reported(first, report(step=2))
    assert not roster.reported(second, report(fid=float("nan")))
    assert [trial.status for _, trial in roster.trials()] == ["completed", "diverged"]


def test_it_is_over_when_all_are_handed_out(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb")
    assert not roster.over and roster.next() is not None
    assert not roster.over and roster.next() is not None
    assert roster.over and roster.next() is None


def test_mlflow_hears_of_begin_metrics_and_end(open_roster: Open) -> None:
    roster = open_roster("cut")
    number = drain(roster)[0]
    roster.reported(number, report())
    recorder: Any = roster.recorder
    assert [entry[0] for entry in recorder.told] == ["trial", "metrics", "finish"]
    assert recorder.told[0][3]["mlflow.runName"] == "cut, seed 0"
    assert recorder.told[1][2]["fid"] == 2.0 and recorder.told[2][2] == "FINISHED"


def test_the_view_counts_and_lists(open_roster: Open) -> None:
    roster = open_roster("cut", "unsb")
    roster.reported(drain(roster)[0], report())
    view = RosterView(roster)
    assert view.ended() == 1 and "1/2 trainings ended" in view.line()
