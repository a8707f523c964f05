"""The Tune side of the driver: signals, wrapped errors, what a searcher passes on; one study through Ray."""

import json
import pickle
import signal
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from platform.execution import tuner
from platform.execution.tune_adapters import TuneSearcher
from platform.storage.layout import Storage
from platform.storage.ledger import read_trials
from platform.study.budget import Budget
from platform.study.dimensions import Log, Uniform
from platform.study.settings import Resources, Scheduler
from platform.study.study import Study
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from tests.platform.world import World, proposals_at_once
from trainers import trial
from trainers.config import FieldError, build
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.loop import Task
from trainers.references.config import ReferenceConfig
from trainers.report import Report

REPORT = Report(5, 10, {1: {"fid": 2.0}, 2: {"fid": 1.0}}, {"gan": 0.5}, 1.5, "/c/5")


class Orchestrator:
    """Hands out one task and remembers what it is told."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.folder, self.resources = study, folder, study.resources
        self.tasks = [(7, Task("unsb", study.point(study.start[0]), Path("c"), Path("r"), folder))]
        self.told: list[tuple[Any, ...]] = []
        self.over, self.goes_on = True, True

    def next(self) -> tuple[int, Task] | None:
        return self.tasks.pop() if self.tasks else None

    def reported(self, *arguments: Any) -> bool:
        self.told.append(("reported", *arguments))
        return self.goes_on

    def ended(self, *arguments: Any) -> None:
        self.told.append(("ended", *arguments))


@pytest.fixture
def orchestrator(smoke: Study, tmp_path: Path) -> Any:
    return Orchestrator(smoke, tmp_path)


@pytest.fixture
def handler() -> Iterator[Any]:
    """Ours for SIGTERM, for a while."""
    before = signal.getsignal(signal.SIGTERM)
    ours = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGTERM, ours)
    yield ours
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("address", [None, "ray://head:10001"])
def test_ray_does_not_keep_our_signal_handler(
    monkeypatch: pytest.MonkeyPatch, handler: Any, address: str | None
) -> None:
    def init(*arguments: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)

    monkeypatch.setattr(tuner.ray, "init", init)
    monkeypatch.setattr(tuner, "_ENVIRONMENT", {})
    tuner.start_ray(address, Resources())
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_suggestion_is_the_task_with_its_share(orchestrator: Any) -> None:
    task = orchestrator.tasks[0][1]
    searcher = TuneSearcher(orchestrator)
    suggestion = searcher.suggest("tune-1")
    assert isinstance(suggestion, dict)
    assert trial.decode(suggestion["task"]) == task
    assert {key: suggestion[key] for key in ("workers", "gpu", "cpus")} == {
        "workers": 1,
        "gpu": False,
        "cpus": 1,
    }
    assert searcher.suggest("tune-2") == Searcher.FINISHED
    orchestrator.over = False  # what runs may let a paused trial go on
    assert searcher.suggest("tune-2") is None


def test_results_reach_the_source_under_its_own_number(orchestrator: Any) -> None:
    searcher = TuneSearcher(orchestrator)
    searcher.suggest("tune-1")
    heard = {"report": json.dumps(asdict(REPORT)), "done": False}
    assert searcher.hear("tune-1", heard)
    orchestrator.goes_on = False
    assert not searcher.hear("tune-1", heard)
    assert not searcher.hear("tune-1", {"done": True}), "Tune's own word of an end"
    searcher.on_trial_complete("tune-1", {"diverged": "loss is nan", "done": True})
    assert orchestrator.told == [
        ("reported", 7, REPORT),
        ("reported", 7, REPORT),
        ("ended", 7, "diverged", "loss is nan"),
        ("ended", 7, "failed", "it ended without its last report"),  # ignored: the trial is over
    ]


def test_a_dead_worker_is_told_with_the_last_line_of_its_traceback(orchestrator: Any) -> None:
    for name, content in (("tune-1", "Traceback\n  ...\nMemoryError: 3 GB\n"), ("tune-2", None)):
        orchestrator.tasks, orchestrator.told = (
            [(7, Orchestrator(orchestrator.study, orchestrator.folder).tasks[0][1])],
            [],
        )
        searcher = TuneSearcher(orchestrator)
        searcher.suggest(name)
        if content:
            (orchestrator.folder / "tune" / f"trial_{name}_x").mkdir(parents=True)
            (orchestrator.folder / "tune" / f"trial_{name}_x" / "error.txt").write_text(content)
        searcher.on_trial_complete(name, error=True)
        ((_, number, status, reason),) = orchestrator.told
        assert (number, status) == (7, "failed")
        assert reason.startswith("MemoryError: 3 GB (" if content else "its worker died 4 times")


def test_what_tune_pickles_holds_no_source(orchestrator: Any) -> None:
    orchestrator.secret = lambda: "postgresql://me:hunter2@host"  # cannot be pickled, must not be tried
    searcher = TuneSearcher(orchestrator)
    searcher.suggest("tune-1")
    assert b"hunter2" not in pickle.dumps(searcher)


class FakeTuner:
    """Fails as Tune does: what its searcher raises is wrapped with its traceback as text."""

    error: Exception

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def fit(self) -> None:
        try:
            raise self.error
        except Exception as error:
            raise TuneError("Traceback (most recent call last): ...") from (
                None if error.args == () else error
            )


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (InputError("ledger.jsonl: cannot append 8 bytes"), InputError),
        (InputError(), InputError),  # only its context is left
        (KeyError("a bug"), TuneError),
    ],
)
def test_a_wrong_input_comes_plain_and_a_bug_keeps_its_traceback(
    orchestrator: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    monkeypatch.setattr(FakeTuner, "error", error, raising=False)
    monkeypatch.setattr(tuner.tune, "Tuner", FakeTuner)
    monkeypatch.setattr(tuner.ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(raised) as told:
        tuner.run(orchestrator, [])
    assert (told.value is error) == (raised is InputError)


def test_trials_at_a_time_follow_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = SimpleNamespace(found={"CPU": 16.0, "GPU": 4.0})
    monkeypatch.setattr(tuner.ray, "cluster_resources", lambda: cluster.found)
    assert tuner.concurrency(Resources(cpus=2)) == 8
    assert tuner.concurrency(Resources(cpus=2, gpus=2, workers=2)) == 2
    cluster.found = {}
    assert tuner.concurrency(Resources()) == 1


def fake_trainable(published: Path, steps: tuple[int, ...]) -> type:
    """A trial that costs nothing and repeats first what it published; made here, Ray ships it by value."""

    class Fake(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            task = json.loads(config["task"])
            self.name, self.weight = Path(task["folder"]).name, task["config"]["weight"]
            kept = sorted(int(path.name.split("-")[1]) for path in published.glob(f"{self.name}-*"))
            self.left = kept[-1:] + [step for step in steps if not kept or step > kept[-1]]

        def step(self) -> dict[str, Any]:
            step = self.left.pop(0)
            with (published / f"{self.name}-{step}").open("a") as file:
                file.write("x")
            scores = {"1": {"fid": self.weight / step, "ms_ssim": 0.5}}
            report = {"step": step, "steps": steps[-1], "scores": scores, "losses": {}, "seconds": 0.1}
            return {"report": json.dumps({**report, "checkpoint": "/c"}), "done": step == steps[-1]}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

        def load_checkpoint(self, checkpoint: Any) -> None:
            pass

    return Fake


@pytest.fixture
def local_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray with two cores, as a search starts it."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_a_pause_and_a_resumption_through_tune(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    proposals_at_once(monkeypatch)
    for key, value in tuner._ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    published = tmp_path / "published"
    published.mkdir()
    monkeypatch.setattr(tuner.trial, "Trial", fake_trainable(published, (3, 9, 24)))
    study = toy(
        search=(Log("weight", 0.1, 100.0), Uniform("edge", 0.0, 1.0)),
        fixed={"steps": 24, "limit": 2.0},
        scheduler=Scheduler(name="asha", grace=3, min_results=2),
        budget=Budget(trials=10),
    )
    world = World(study, Storage.open(tmp_path))
    orchestrator = world.open()
    tuner.run(orchestrator, [])
    orchestrator.ledger.close()
    trials = read_trials(world.folder)
    assert len(trials) == 10 and {t.status for t in trials.values()} == {"completed", "paused"}
    assert orchestrator.over and not orchestrator.running
    reported = [(e["trial"], e["report"]["step"]) for e in world.entries if e["event"] == "reported"]
    repeated = {pair for pair in reported if reported.count(pair) == 2}
    assert repeated, "no paused trial went on"
    for number, trial_ in trials.items():
        written = {path.name: len(path.read_text()) for path in published.glob(f"{number:05d}-*")}
        assert set(written) == {f"{number:05d}-{step}" for step in trial_.reports}
        assert all(
            count == 1 + ((number, int(name.split("-")[1])) in repeated) for name, count in written.items()
        )


def test_what_a_task_refuses_is_one_line_and_its_bug_keeps_the_traceback(
    tmp_path: Path, local_ray: None
) -> None:
    missing = tmp_path / "cohort"
    with pytest.raises(InputError) as told:
        list(tuner.ray_map(Cohort.open, [missing]))
    assert str(missing) in str(told.value) and "\n" not in str(told.value)
    with pytest.raises(FieldError) as field:
        list(tuner.ray_map(partial(build, ReferenceConfig), [{"crop": "wide"}]))
    assert (field.value.key, field.value.value) == ("crop", "wide")
    with pytest.raises(ZeroDivisionError, match="ray::call"):
        list(tuner.ray_map(partial(divmod, 1), [0]))
