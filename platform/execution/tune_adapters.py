"""Tune's searcher, scheduler and callback: thin views of a trial source.

A trial that waits leaves Tune: its worker takes the next one. When the scheduler lets it continue, it is
started again from its own last checkpoint. So Tune holds no paused trials, which would count against those
that may run at a time, and the next driver finds them in the ledger.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from platform.execution import cluster
from platform.execution.trial_source import TrialSource
from typing import Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from trainers import trial, watchdog
from trainers.errors import EnvironmentFault
from trainers.faults import of_environment

OF_TASK = re.compile(r"(\x1b\[\d+m)?ray::")
"""How Ray's text starts where a trial's own exception was raised, and not where its worker is lost."""
PASSED_ON = re.compile(r"(?:[\w.]*EnvironmentFault: (.+))|(?:\w*Error: \[Errno (\d+)\] (.+))")
"""The last line of an exception that is the environment's after all."""
EVERY = 2.0
"""Seconds between two looks."""
GRACE = 10.0
"""Seconds beyond a process's own limit, within which it ends itself and says where it hung."""


class TuneSearcher(Searcher):  # type: ignore[misc]
    """Tune's view of a source; Tune pickles its searcher, so the copy it keeps holds nothing."""

    def __init__(self, source: TrialSource | None) -> None:
        super().__init__()
        self._source = source
        self._numbers: dict[str, int] = {}
        self._hangs: dict[str, tuple[Path, int]] = {}
        """Each trial's log of hangs, and its size at the start."""
        self._errors: dict[str, Path] = {}
        """Where Tune has written why a trial failed."""
        self._places, self._counted = 0, -EVERY
        self._broken: Exception | None = None
        self._stalled: set[str] = set()
        """Trials whose workers were killed because they were stopped altogether."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next task as a Tune configuration; None: Tune calls again soon."""
        if not self._has_place():
            return None
        following = self._call(self._required.next)
        if following is None:
            return str(Searcher.FINISHED) if self._required.over else None
        number, task = following
        self._numbers[trial_id] = number
        hangs = task.folder / watchdog.LOG
        self._hangs[trial_id] = hangs, _size(hangs)
        (task.folder / watchdog.PROGRESS).unlink(missing_ok=True)  # of an earlier start
        resources = self._required.resources
        return {
            "task": trial.encode(task),
            "workers": resources.workers,
            "gpu": resources.gpus > 0,
            "cpus": resources.cpus / resources.workers,
        }

    def on_result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A rung, a note, or the end of a trial that has diverged; returns whether the trial trains on."""
        number = self._numbers[trial_id]
        if "diverged" in result:
            self._call(self._required.ended, number, "diverged", result["diverged"])
        elif "note" in result:
            self._call(self._required.noted, number, result["note"])
            return True
        elif "report" in result:
            report = trial.decode_report(result["report"])
            return bool(self._call(self._required.reported, number, report))
        return False

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial has left Tune; if no report ended or paused it, a fault has stopped it."""
        number, result = self._numbers[trial_id], result or {}
        if error:
            self._failed(trial_id)
        elif "fault" in result:
            self._call(self._required.interrupted, number, trial.decode_fault(result["fault"]))
        else:
            self.on_result(trial_id, result)
            self._call(self._required.raised, number, "it ended without its last report")

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the source; what it has raised once is raised again: Tune takes some of it for a worker's."""
        if self._broken is not None:
            raise self._broken
        try:
            return method(*arguments)
        except Exception as error:
            self._broken = error
            raise

    def _has_place(self) -> bool:
        """Whether another trial fits on the cluster, which may have grown or shrunk."""
        if time.monotonic() - self._counted >= EVERY:
            self._counted, self._places = time.monotonic(), cluster.concurrency(self._required.resources)
        return len(self._required.running) < self._places

    def on_stalled(self, trial_id: str) -> None:
        """A trial's worker is killed because it makes no progress; :meth:`on_trial_complete` follows."""
        self._stalled.add(trial_id)

    def on_trial_error(self, trial_id: str, file: Path) -> None:
        """Tune has written to a file why the trial failed; :meth:`on_trial_complete` follows."""
        self._errors[trial_id] = file

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the memory."""
        Path(checkpoint_path).write_text(json.dumps({}))

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, which holds a database and threads."""
        return {**self.__dict__, "_source": None}

    def _failed(self, trial_id: str) -> None:
        """A worker has raised or died: the last line of the traceback that Tune kept, and its file."""
        number, folder = self._numbers[trial_id], self._required.folder
        hangs, before = self._hangs[trial_id]
        if trial_id in self._stalled:
            fault = EnvironmentFault("its process was stopped and was ended")
            self._call(self._required.interrupted, number, fault)
            return
        if _size(hangs) > before:
            fault = EnvironmentFault(f"it made no progress and was ended (stacks of its threads: {hangs})")
            self._call(self._required.interrupted, number, fault)
            return
        file = self._errors.pop(trial_id, None)
        lines = file.read_text().strip().splitlines()[1:] if file else []  # the first counts failures
        if not file or not lines or not OF_TASK.match(lines[0]):
            self._call(self._required.interrupted, number, EnvironmentFault("its worker died"))
        elif passed_on := fault_of(lines[-1]):
            self._call(self._required.interrupted, number, passed_on)
        else:
            kept = folder / "tune" / file.parent.name / file.name  # where Tune moves it to
            self._call(self._required.raised, number, f"{lines[-1]} ({kept})")

    @property
    def _required(self) -> TrialSource:
        assert self._source is not None
        return self._source


class TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    """First come, first served; stops a trial at a rung where the source does not let it train on."""

    def __init__(self, searcher: TuneSearcher | None) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass a rung to the source, and its decision to Tune."""
        assert self._searcher is not None
        trains_on = self._searcher.on_result(trial.trial_id, result)
        return str(self.CONTINUE if trains_on else self.STOP)

    def on_trial_error(self, controller: Any, trial: Any) -> None:
        """Pass on where Tune has written why the trial failed."""
        assert self._searcher is not None
        if trial.error_file:
            self._searcher.on_trial_error(trial.trial_id, Path(trial.error_file))

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, should Tune pickle it."""
        return {**self.__dict__, "_searcher": None}


class Stalled:
    """Which trials say nothing new for longer than they may."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def is_stalled(self, folder: Path) -> bool:
        """Whether a trial's process has made no progress for too long, by the driver's own clock."""
        found, now = watchdog.limit_of(folder), time.monotonic()
        if found is None:
            self._seen.pop(folder, None)
            return False
        limit, written = found
        if self._seen.get(folder, (0, 0.0))[0] != written:
            self._seen[folder] = written, now
        return now - self._seen[folder][1] > limit + GRACE


class HangCallback(tune.Callback):  # type: ignore[misc]
    """Kills the workers of stalled trials, from Tune's event loop."""

    def __init__(self, killed: Callable[[str], None] | None) -> None:
        """``killed`` is called with Tune's name of the trial, before Tune sees that its worker died."""
        self._killed, self._stalled, self._looked = killed, Stalled(), 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune at every step of its event loop."""
        if time.monotonic() - self._looked < EVERY or self._killed is None:
            return
        self._looked = time.monotonic()
        for each in trials:
            actor = each.temporary_state.ray_actor
            if each.status == "RUNNING" and actor and self._stalled.is_stalled(trial.folder_of(each.config)):
                self._killed(each.trial_id)
                ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; the copy kills nothing."""
        return {**self.__dict__, "_killed": None}


def fault_of(line: str) -> EnvironmentFault | None:
    """The environment's fault that an exception's last line tells of; None for a trial's own."""
    found = PASSED_ON.match(line)
    if not found or found[1]:
        return EnvironmentFault(found[1]) if found else None
    return of_environment(OSError(int(found[2]), found[3]))


def lost_workers_are_actor_deaths() -> None:
    """Let Tune treat every way in which Ray says that a worker is lost as it treats a dead actor.

    A worker that Ray's memory monitor has ended would end Tune itself, with a RuntimeError.
    """
    original = RayActorManager._actor_task_failed
    if getattr(original, "of_search", False):
        return

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task=tracked_actor_task, exception=exception)

    failed.of_search = True  # type: ignore[attr-defined]
    RayActorManager._actor_task_failed = failed


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
