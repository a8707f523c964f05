"""What Tune's searcher and scheduler pass on, and that they hold no source when pickled."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from platform.execution import tune_adapters
from platform.execution.tune_adapters import TuneScheduler, TuneSearcher, lost_workers_are_actor_deaths
from platform.study.study import Study
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from trainers import trial
from trainers.errors import EnvironmentFault
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
        self.running: set[int] = set()
        self.secret = lambda: "postgresql://me:hunter2@host"  # cannot be pickled, must not be tried

    def next(self) -> tuple[int, Task] | None:
        return self.tasks.pop() if self.tasks else None

    def reported(self, *arguments: Any) -> bool:
        self.calls.append(("reported", *arguments))
        return self.trains_on

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def source(smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tune_adapters.cluster, "concurrency", lambda resources: 2)
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


def test_no_more_trials_are_started_than_the_cluster_has_places(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = TuneSearcher(source)
    source.running = {1, 2}
    assert searcher.suggest("tune-1") is None and source.tasks
    monkeypatch.setattr(tune_adapters.cluster, "concurrency", lambda resources: 3)
    assert searcher.suggest("tune-1") is None, "it looks every few seconds"
    monkeypatch.setattr(tune_adapters, "EVERY", 0.0)
    assert isinstance(searcher.suggest("tune-1"), dict), "a node has joined"


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
        ("raised", 7, "it ended without its last report"),  # ignored: the trial has ended
    ]


RAISED = "Failure # 1\n\x1b[36mray::Trial.train()\x1b[39m (pid=1)\n  File ...\nKeyError: 'a bug'\n"
LOST = "Failure # 1\nThe actor died unexpectedly before finishing this task.\n\tpid: 1\nThe actor is dead.\n"


FULL = "OSError: [Errno 28] No space left on device: '/a/b'"
PASSED = "trainers.errors.EnvironmentFault: /a: no room for 8 bytes"


@pytest.mark.parametrize(
    ("error", "call", "reason"),
    [
        (RAISED, "raised", "KeyError: 'a bug' ({folder}/tune/Trial_x/error.txt)"),
        (LOST, "interrupted", "its worker died"),
        (f"{LOST}Top memory users\nray::Trial.train 3 GB\n", "interrupted", "its worker died"),
        (RAISED.replace("KeyError: 'a bug'", FULL), "interrupted", FULL[9:]),
        (RAISED.replace("KeyError: 'a bug'", PASSED), "interrupted", "/a: no room for 8 bytes"),
        (None, "interrupted", "its worker died"),
    ],
)
def test_an_exception_is_the_trials_own_and_a_lost_worker_its_environments(
    source: Any, tmp_path: Path, error: str | None, call: str, reason: str
) -> None:
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    (staged := tmp_path / "staged" / "Trial_x").mkdir(parents=True)
    (staged / "error.txt").write_text(error or "")
    tune_trial = SimpleNamespace(trial_id="tune-1", error_file=str(staged / "error.txt") if error else None)
    TuneScheduler(searcher).on_trial_error(None, tune_trial)
    searcher.on_trial_complete("tune-1", error=True)
    ((name, number, given),) = source.calls
    assert (name, number, str(given)) == (call, 7, reason.format(folder=source.folder))


def test_a_hang_is_told_from_a_dead_worker_and_a_fault_is_passed_on(source: Any) -> None:
    source.tasks *= 3
    searcher, log = TuneSearcher(source), source.folder / "hang.log"
    log.write_text("of an earlier start")
    (source.folder / "progress").write_text("600.0")
    searcher.suggest("tune-1")
    assert not (source.folder / "progress").exists()
    searcher.on_trial_complete("tune-1", error=True)
    searcher.suggest("tune-2")
    log.write_text("of an earlier start and this one")
    searcher.on_trial_complete("tune-2", error=True)
    searcher.suggest("tune-3")
    assert searcher.on_result("tune-3", {"note": "out of GPU memory", "done": False}), "it trains on"
    fault = json.dumps({"reason": "no room", "folder": "/a", "size": 9})
    searcher.on_trial_complete("tune-3", {"fault": fault, "done": True})
    died, hung, noted, full = source.calls
    assert str(died[2]) == "its worker died" and noted == ("noted", 7, "out of GPU memory")
    assert str(hung[2]) == f"it made no progress and was ended (stacks of its threads: {log})"
    assert (full[0], str(full[2]), full[2].folder, full[2].size) == ("interrupted", "no room", "/a", 9)


def test_what_the_source_raises_is_raised_again_and_not_taken_for_a_worker(source: Any) -> None:
    """Tune takes what is raised at a trial's end for an error of the trial."""
    fault = EnvironmentFault("given up")
    source.interrupted = lambda *_: (_ for _ in ()).throw(fault)
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    with pytest.raises(EnvironmentFault):
        searcher.on_trial_complete(
            "tune-1", {"fault": '{"reason": "", "folder": "", "size": 0}', "done": True}
        )
    for again in (
        lambda: searcher.on_trial_complete("tune-1", error=True),
        lambda: searcher.suggest("tune-2"),
    ):
        with pytest.raises(EnvironmentFault) as raised:
            again()
        assert raised.value is fault
    assert source.calls == []


def test_a_worker_that_rays_memory_monitor_ends_is_a_dead_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Exception] = []
    monkeypatch.setattr(
        tune_adapters.RayActorManager,
        "_actor_task_failed",
        lambda self, tracked_actor_task, exception: seen.append(exception),
    )
    for _ in range(2):
        lost_workers_are_actor_deaths()
    failed: Any = tune_adapters.RayActorManager._actor_task_failed
    for error in (OutOfMemoryError("no memory"), RayActorError(error_msg="died")):
        failed(None, tracked_actor_task=None, exception=error)
    assert [type(error) for error in seen] == [RayActorError] * 2 and "no memory" in str(seen[0])


def test_what_tune_pickles_holds_no_source(source: Any) -> None:
    searcher = TuneSearcher(source)
    searcher.suggest("tune-1")
    assert b"hunter2" not in pickle.dumps(searcher)
    assert b"hunter2" not in pickle.dumps(TuneScheduler(searcher))
