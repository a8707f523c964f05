"""What Tune's searcher and scheduler pass on, and that they hold no source when pickled."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from platform.execution.tune_adapters import TuneScheduler, TuneSearcher
from platform.study.study import Study
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from trainers import trial
from trainers.loop import Task
from trainers.report import Report

REPORT = Report(5, 10, {1: {"fid": 2.0}, 2: {"fid": 1.0}}, {"gan": 0.5}, 1.5, "/c/5")
RESULT = {"report": json.dumps(asdict(REPORT)), "done": False}


class Source:
    """Has one task and remembers its calls."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.folder, self.resources = folder, study.resources
        self.tasks = [(7, Task("unsb", study.point(study.start[0]), Path("c"), Path("r"), folder))]
        self.calls: list[tuple[Any, ...]] = []
        self.over, self.trains_on = True, True
        self.secret = lambda: "postgresql://me:hunter2@host"  # cannot be pickled, must not be tried

    def next(self) -> tuple[int, Task] | None:
        return self.tasks.pop() if self.tasks else None

    def reported(self, *arguments: Any) -> bool:
        self.calls.append(("reported", *arguments))
        return self.trains_on

    def ended(self, *arguments: Any) -> None:
        self.calls.append(("ended", *arguments))


@pytest.fixture
def source(smoke: Study, tmp_path: Path) -> Any:
    return Source(smoke, tmp_path)


def test_a_suggestion_is_the_task_with_its_resources(source: Any) -> None:
    task, searcher = source.tasks[0][1], TuneSearcher(source)
    suggestion = searcher.suggest("tune-1")
    assert isinstance(suggestion, dict)
    assert trial.decode(suggestion.pop("task")) == task
    assert suggestion == {"workers": 1, "gpu": False, "cpus": 1}
    assert searcher.suggest("tune-2") == Searcher.FINISHED
    source.over = False  # a running trial may still let a paused one resume
    assert searcher.suggest("tune-2") is None


def test_results_reach_the_source_and_its_decision_tune(source: Any) -> None:
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    scheduler, tune_trial = TuneScheduler(searcher), SimpleNamespace(trial_id="tune-1")
    assert scheduler.on_trial_result(None, tune_trial, RESULT) == TrialScheduler.CONTINUE
    source.trains_on = False
    # Never PAUSE: Tune's own pauses would count against the trials that may run at a time.
    assert scheduler.on_trial_result(None, tune_trial, RESULT) == TrialScheduler.STOP
    assert not searcher.on_result("tune-1", {"done": True}), "Tune's own message of an end"
    searcher.on_trial_complete("tune-1", {"diverged": "loss is nan", "done": True})
    assert source.calls == [
        ("reported", 7, REPORT),
        ("reported", 7, REPORT),
        ("ended", 7, "diverged", "loss is nan"),
        ("ended", 7, "failed", "it ended without its last report"),  # ignored: the trial has ended
    ]


@pytest.mark.parametrize("error", ["Traceback\n  ...\nMemoryError: 3 GB\n", None])
def test_a_dead_worker_is_reported_with_the_last_line_of_its_traceback(
    source: Any, error: str | None
) -> None:
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    if error:
        (source.folder / "tune/trial_tune-1_x").mkdir(parents=True)
        (source.folder / "tune/trial_tune-1_x/error.txt").write_text(error)
    searcher.on_trial_complete("tune-1", error=True)
    ((_, number, status, reason),) = source.calls
    assert (number, status) == (7, "failed")
    assert reason.startswith("MemoryError: 3 GB (" if error else "its worker died 4 times")


def test_what_tune_pickles_holds_no_source(source: Any) -> None:
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    assert b"hunter2" not in pickle.dumps(searcher)
    assert b"hunter2" not in pickle.dumps(TuneScheduler(searcher))
