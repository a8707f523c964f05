"""A study recorded in MLflow, without ever waiting for it: one parent run, one child run for each trial.

Calls only append to a journal in the study's folder; a thread replays it into MLflow. What MLflow does not
accept stays in the journal until later, or until the next start.
"""

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from platform.storage import movable
from platform.tracking.journal import Journal
from platform.tracking.replay import PARENT, Replayer
from platform.tracking.store import EXPERIMENT, find_experiment, reason, redact, set_environment
from typing import Any, Literal

from trainers.errors import EnvironmentFault

log = logging.getLogger(__name__)

RunStatus = Literal["FINISHED", "FAILED", "KILLED", "SCHEDULED"]

_BATCH = 500
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


class Recorder:
    """Records one study in MLflow from the driver; no call waits for MLflow or raises because of it.

    What MLflow has not accepted waits in ``folder``; the next :class:`Recorder` on that folder sends it. An
    empty ``experiment_id`` is looked up once MLflow answers.
    No run (found by its tags) and no metric (key, step) is logged twice, whatever is killed at any moment.
    Only on a full disk a call waits, ``patience`` seconds at most; it then raises an EnvironmentFault.
    """

    def __init__(self, uri: str, experiment_id: str, study: str, folder: Path, patience: float = 0.0) -> None:
        set_environment()
        self._target, self._folder = (uri, experiment_id, study), folder.resolve()
        self._journal = Journal(folder, patience)
        self._changed = threading.Condition()
        self._deadline = math.inf
        self._down = False
        self._thread = threading.Thread(target=self._deliver, name="mlflow-recorder", daemon=True)
        self._thread.start()

    def study(self, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """The study starts, or is resumed."""
        self._append(PARENT, params=_texts(params), tags=_texts(tags), status="RUNNING")

    def study_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Values of the whole study, such as its hypervolume after ``step`` trials."""
        self.metrics(PARENT, metrics, step)

    def study_artifact(self, path: Path, folder: str = "") -> None:
        """A file of the whole study, under ``folder`` of its artifacts."""
        self.artifact(PARENT, path, folder)

    def trial(self, number: int, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """A trial starts, or is resumed; the parameters of its first start stay."""
        self._append(number, params=_texts(params), tags=_texts(tags), status="RUNNING")

    def metrics(self, number: int, metrics: Mapping[str, float], step: int) -> None:
        """Values at an optimiser step; NaN and infinity become ``nonfinite.<key>`` tags.

        MLflow would store infinity as 1.797e308.
        """
        values = {_name(key): float(value) for key, value in metrics.items()}
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        tags = {
            f"nonfinite.{key}": f"{value} at step {step}"
            for key, value in values.items()
            if key not in finite
        }
        self._append(number, metrics=finite, step=step, tags=tags)

    def artifact(self, number: int, path: Path, folder: str = "") -> None:
        """A file; it is read when it is sent and must exist until then."""
        self._append(number, path=movable.kept(self._folder, path.resolve()), folder=folder)

    def finish(self, number: int, status: RunStatus, tags: Mapping[str, object]) -> None:
        """A trial has ended."""
        self._append(number, tags=_texts(tags), status=status)

    def reconcile(self, live: Iterable[int]) -> None:
        """Mark child runs that are RUNNING in MLflow, but are not among the live trials, as KILLED."""
        self._append(PARENT, live=sorted(live))

    def close(self, status: RunStatus | None, timeout: float) -> int:
        """End the study's run and send what is left; returns how many events remain after ``timeout`` s.

        Without a status the run keeps its own: something was added to a study that has ended.
        """
        self._journal.hurry()
        if status:
            with contextlib.suppress(EnvironmentFault):  # the disk is full: the next start ends the run
                self._append(PARENT, status=status)
        with self._changed:
            self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
        self._thread.join(timeout)
        self._journal.close()
        return self._journal.unsent()

    def _append(self, trial: int, **event: Any) -> None:
        content = {key: value for key, value in event.items() if value != {}}
        self._journal.append({"time": int(time.time() * 1000), "trial": trial, **content})
        with self._changed:
            self._changed.notify_all()

    def _deliver(self) -> None:
        """The thread: replay what is pending, wait longer after each failure, end at the deadline."""
        replayer, wait = None, _FIRST_WAIT
        while self._await_work():
            batch = self._journal.pending(_BATCH)
            try:
                replayer = replayer or self._replayer()
                replayer.replay(batch.events)
                self._journal.acknowledge(batch.end)
            except Exception as error:  # training continues whatever MLflow does
                replayer = None  # how much MLflow has accepted is unknown: a new one reads it from MLflow
                self._warn(error)
                self._pause(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            self._delivered()
            wait = _FIRST_WAIT

    def _replayer(self) -> Replayer:
        uri, experiment, study = self._target
        return Replayer(uri, experiment or find_experiment(uri, EXPERIMENT), study, self._folder)

    def _await_work(self) -> bool:
        """Block until there is something to send; False when closed and done, or out of time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._journal.delivered < self._journal.end or self._deadline < math.inf
            )
            return self._journal.delivered < self._journal.end and time.monotonic() < self._deadline

    def _pause(self, seconds: float) -> None:
        with self._changed:
            closing = self._deadline < math.inf
            if not closing:
                self._changed.wait_for(lambda: self._deadline < math.inf, seconds)
        if closing:
            time.sleep(min(seconds, 0.5))

    def _delivered(self) -> None:
        with self._changed:
            if self._down:
                log.info("MLflow at %s is back", redact(self._target[0]))
            self._down = False
            self._changed.notify_all()

    def _warn(self, error: Exception) -> None:
        with self._changed:
            if not self._down:
                log.warning(
                    "MLflow at %s accepts no records (%s); they wait in %s",
                    redact(self._target[0]),
                    reason(error),
                    self._journal.path,
                )
            self._down = True


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {_name(key): str(value) for key, value in values.items()}


def _name(key: str) -> str:
    """The key, with ``_`` for each character that MLflow does not allow."""
    return re.sub(r"[^/\w.\- :]", "_", key)
