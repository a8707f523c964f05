"""Journal events replayed into MLflow, so that replaying them twice changes nothing."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from platform.storage import movable
from platform.tracking.journal import Event
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

PARENT = -1
"""The study's own run, where a trial has its number."""

Item: TypeAlias = Any
"""An MLflow ``Metric``, ``Param`` or ``RunTag``; MLflow is imported late, it takes two seconds."""


@dataclass
class RunChanges:
    """What a batch of events changes in one run."""

    start: int
    """Of the run, in milliseconds since the epoch, as :attr:`end`."""
    end: int = 0
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    """Value and time by key and step."""
    artifacts: dict[tuple[str, str], None] = field(default_factory=dict)
    """An ordered set of paths with the folders that they go to."""
    status: str | None = None


def gather(events: Iterable[Event]) -> dict[int, RunChanges]:
    """Each trial's events merged: the first value of a parameter or metric, the last tag and status."""
    runs: dict[int, RunChanges] = {}
    for event in events:
        time = event["time"]
        changes = runs.setdefault(event["trial"], RunChanges(start=time))
        changes.params = {**event.get("params", {}), **changes.params}
        changes.tags.update(event.get("tags", {}))
        for key, value in event.get("metrics", {}).items():
            changes.metrics.setdefault((key, event["step"]), (value, time))
        if "path" in event:
            changes.artifacts[event["path"], event["folder"]] = None
        if "status" in event:
            changes.status, changes.end = event["status"], time
    return runs


@dataclass
class RunState:
    """What is known of a run."""

    run_id: str
    status: str
    existed: bool
    """Before this process: it may have metrics that this process has not logged."""
    steps: dict[str, set[int]] = field(default_factory=dict)
    """Logged steps by metric."""


class Replayer:
    """Applies events to the runs of one study in MLflow.

    A run is found by its tags ``study`` and ``trial``, never by a saved id, so that a lost response or a kill
    at any moment leads to the same runs; what an existing run has is read from MLflow.
    After an error the state is unknown: make a new replayer and replay the same events.
    """

    def __init__(self, uri: str, experiment_id: str, study: str, folder: Path = Path()) -> None:
        """``folder``: where the events' files are."""
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._experiment_id, self._study, self._folder = experiment_id, study, folder
        self._runs: dict[int, RunState] | None = None

    def replay(self, events: list[Event]) -> None:
        """Apply the events in order; raises what MLflow raises."""
        for live, group in groupby(events, key=lambda event: event.get("live")):
            if live is not None:
                self._kill_all_but(set(live), max(event["time"] for event in group))
                continue
            for trial, changes in gather(group).items():
                self._apply(self._run(trial, changes.start), changes)

    def find(self, trial: int) -> str | None:
        """The id of a trial's run; None: MLflow has none."""
        filters = f"{_equals('study', self._study)} and {_equals('trial', str(trial))}"
        runs = self._client.search_runs(
            [self._experiment_id], filters, max_results=1, order_by=["start_time ASC"]
        )
        return str(runs[0].info.run_id) if runs else None

    def _states(self) -> dict[int, RunState]:
        if self._runs is None:
            runs: dict[int, RunState] = {}
            for run in self._search():
                trial = int(run.data.tags.get("trial", PARENT))
                runs.setdefault(trial, RunState(run.info.run_id, run.info.status, existed=True))
            self._runs = runs
        return self._runs

    def _search(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                _equals("study", self._study),
                order_by=["start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _run(self, trial: int, start: int) -> RunState:
        runs = self._states()
        if trial not in runs:
            tags, name = {"study": self._study}, self._study
            if trial != PARENT:
                tags |= {"trial": str(trial), "mlflow.parentRunId": self._run(PARENT, start).run_id}
                name = f"trial {trial}"
            run = self._client.create_run(self._experiment_id, start, tags, name)
            runs[trial] = RunState(run.info.run_id, "RUNNING", existed=False)
        return runs[trial]

    def _apply(self, run: RunState, changes: RunChanges) -> None:
        from mlflow.entities import Metric, Param, RunTag

        logged = self._client.get_run(run.run_id).data.params if changes.params else {}
        params = [Param(key, value) for key, value in changes.params.items() if key not in logged]
        metrics = [
            Metric(key, value, time, step)
            for (key, step), (value, time) in changes.metrics.items()
            if step not in self._steps(run, key)
        ]
        self._send(run.run_id, [*metrics, *params, *(RunTag(*pair) for pair in changes.tags.items())])
        for metric in metrics:
            run.steps[metric.key].add(metric.step)
        for path, folder in changes.artifacts:
            self._upload(run.run_id, movable.found(self._folder, path), folder)
        if changes.status is not None:
            self._set_status(run, changes.status, changes.end)

    def _steps(self, run: RunState, key: str) -> set[int]:
        if key not in run.steps:
            history = self._client.get_metric_history(run.run_id, key) if run.existed else []
            run.steps[key] = {metric.step for metric in history}
        return run.steps[key]

    def _send(self, run_id: str, items: list[Item]) -> None:
        """One ``log_batch``; if MLflow rejects it as invalid, halve it until only the bad item is missing."""
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        metrics, params, tags = (
            [item for item in items if isinstance(item, kind)] for kind in (Metric, Param, RunTag)
        )
        try:
            # It splits at 1000 metrics and 100 parameters by itself.
            self._client.log_batch(run_id, metrics, params, tags)
        except MlflowException as error:
            if error.get_http_status_code() != 400:
                raise
            if len(items) == 1:
                log.warning("MLflow rejects %s of run %s: %s", items[0].key, run_id, error.message)
                return
            half = len(items) // 2
            self._send(run_id, items[:half])
            self._send(run_id, items[half:])

    def _upload(self, run_id: str, path: Path, folder: str) -> None:
        if not path.is_file():
            log.warning("%s cannot be logged to MLflow: it no longer exists", path)
            return
        self._client.log_artifact(run_id, str(path), folder or None)

    def _set_status(self, run: RunState, status: str, end: int) -> None:
        if status != "RUNNING":
            self._client.set_terminated(run.run_id, status, end)
            run.steps, run.existed = {}, True  # steps of ended runs would fill the driver's memory
        elif run.status != "RUNNING":
            self._client.update_run(run.run_id, "RUNNING")
        run.status = status

    def _kill_all_but(self, live: set[int], end: int) -> None:
        for trial, run in self._states().items():
            if run.status == "RUNNING" and trial != PARENT and trial not in live:
                self._set_status(run, "KILLED", end)


def _equals(tag: str, value: str) -> str:
    quote = '"' if "'" in value else "'"
    return f"tags.{tag} = {quote}{value}{quote}"
