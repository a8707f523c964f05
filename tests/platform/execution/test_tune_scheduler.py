"""Tune's scheduler: it does what the source says, and Tune may pickle it."""

import pickle
from platform.execution.tune_adapters import TuneSearcher
from platform.execution.tune_scheduler import TuneScheduler
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler


class Heard:
    """TuneSearcher' place: answers by a trial's name, and remembers."""

    def __init__(self, *going_on: str) -> None:
        self.going_on = going_on
        self.told: list[tuple[str, Any]] = []

    def hear(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.told.append((trial_id, result))
        return trial_id in self.going_on


@pytest.mark.parametrize(
    ("name", "decision"), [("good", TrialScheduler.CONTINUE), ("poor", TrialScheduler.STOP)]
)
def test_a_trial_goes_on_where_the_source_lets_it(name: str, decision: str) -> None:
    heard: Any = Heard("good")
    result = {"report": "{}", "done": False}
    trial = SimpleNamespace(trial_id=name)
    assert TuneScheduler(heard).on_trial_result(None, trial, result) == decision
    assert heard.told == [(name, result)]


def test_nobody_is_ever_paused_in_tune() -> None:
    """Tune's own pauses would count against the trials that may run at a time."""
    heard: Any = Heard("good")
    scheduler = TuneScheduler(heard)
    decisions = {
        scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), {}) for name in ("good", "poor")
    }
    assert decisions == {TrialScheduler.CONTINUE, TrialScheduler.STOP}


def test_a_pickle_of_it_holds_no_source() -> None:
    source: Any = SimpleNamespace(secret="postgresql://me:hunter2@host", thread=lambda: None)
    scheduler = TuneScheduler(TuneSearcher(source))
    copied = pickle.dumps(scheduler)
    assert b"hunter2" not in copied
    assert pickle.loads(copied)._proposals is None and scheduler._proposals is not None
