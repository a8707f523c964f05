"""Journal events replayed into MLflow, so that replaying them twice changes nothing."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from platform.tracking.journal import Event
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

PARENT = -1
"""The study's own run, where a trial has its number."""

Item: TypeAlias = Any
"""An MLflow ``Metric``, ``Param`` or ``RunTag``; MLflow is imported late, it takes two seconds."""


@dataclass
class Delta:
    """What a stretch of events asks of one run; ``time`` in milliseconds since the epoch."""

    start: int
    end: int = 0
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    artifacts: dict[tuple[str, str], None] = field(default_factory=dict)
    status: str | None = None


def gather(events: Iterable[Event]) -> dict[int, Delta]:
    """The events of each trial as one :class:`Delta`: first parameter and metric, last tag and status win."""
    deltas: dict[int, Delta] = {}
    for event in events:
        time = event["time"]
        delta = deltas.setdefault(event["trial"], Delta(start=time))
        delta.params = {**event.get("params", {}), **delta.params}
        delta.tags.update(event.get("tags", {}))
        for key, value in event.get("metrics", {}).items():
            delta.metrics.setdefault((key, event["step"]), (value, time))
        if "path" in event:
            delta.artifacts[event["path"], event["folder"]] = None
        if "status" in event:
            delta.status, delta.end = event["status"], time
    return deltas


@dataclass
class Known:
    """A run as this process knows it: ``found`` or made, and the metric ``steps`` it holds, by key."""

    run_id: str
    status: str
    found: bool
    steps: dict[str, set[int]] = field(default_factory=dict)


class Replayer:
    """Brings the runs of one study in MLflow up to a stretch of events.

    A run is found by its tags ``study`` and ``trial``, never by a remembered id, so that a lost answer or a
    kill at any moment leads to the same runs; what a found run already holds is asked of MLflow.
    After an error nothing of this is to be trusted: make a new replayer and replay the same stretch again.
    """

    def __init__(self, uri: str, experiment_id: str, study: str) -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._experiment_id, self._study = experiment_id, study
        self._runs: dict[int, Known] | None = None

    def replay(self, events: list[Event]) -> None:
        """Apply the events in order; raises what MLflow raises."""
        for live, group in groupby(events, key=lambda event: event.get("live")):
            if live is not None:
                self._kill_all_but(set(live), max(event["time"] for event in group))
                continue
            for trial, delta in gather(group).items():
                self._apply(self._run(trial, delta.start), delta)

    def find(self, trial: int) -> str | None:
        """The run id of a trial as MLflow has it now."""
        filters = f"{_equals('study', self._study)} and {_equals('trial', str(trial))}"
        runs = self._client.search_runs(
            [self._experiment_id], filters, max_results=1, order_by=["start_time ASC"]
        )
        return str(runs[0].info.run_id) if runs else None

    def _known(self) -> dict[int, Known]:
        if self._runs is None:
            runs: dict[int, Known] = {}
            for run in self._search():
                trial = int(run.data.tags.get("trial", PARENT))
                runs.setdefault(trial, Known(run.info.run_id, run.info.status, found=True))
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

    def _run(self, trial: int, start: int) -> Known:
        runs = self._known()
        if trial not in runs:
            tags, name = {"study": self._study}, self._study
            if trial != PARENT:
                tags |= {"trial": str(trial), "mlflow.parentRunId": self._run(PARENT, start).run_id}
                name = f"trial {trial}"
            run = self._client.create_run(self._experiment_id, start, tags, name)
            runs[trial] = Known(run.info.run_id, "RUNNING", found=False)
        return runs[trial]

    def _apply(self, run: Known, delta: Delta) -> None:
        from mlflow.entities import Metric, Param, RunTag

        held = self._client.get_run(run.run_id).data.params if delta.params else {}
        params = [Param(key, value) for key, value in delta.params.items() if key not in held]
        metrics = [
            Metric(key, value, time, step)
            for (key, step), (value, time) in delta.metrics.items()
            if step not in self._steps(run, key)
        ]
        self._send(run.run_id, [*metrics, *params, *(RunTag(*pair) for pair in delta.tags.items())])
        for metric in metrics:
            run.steps[metric.key].add(metric.step)
        for path, folder in delta.artifacts:
            self._upload(run.run_id, Path(path), folder)
        if delta.status is not None:
            self._set_status(run, delta.status, delta.end)

    def _steps(self, run: Known, key: str) -> set[int]:
        if key not in run.steps:
            history = self._client.get_metric_history(run.run_id, key) if run.found else []
            run.steps[key] = {metric.step for metric in history}
        return run.steps[key]

    def _send(self, run_id: str, items: list[Item]) -> None:
        """One ``log_batch``; if MLflow refuses it as invalid, halve until the one bad item is left out."""
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        metrics, params, tags = (
            [item for item in items if isinstance(item, kind)] for kind in (Metric, Param, RunTag)
        )
        try:
            self._client.log_batch(
                run_id, metrics, params, tags
            )  # splits at 1000 metrics and 100 params itself
        except MlflowException as error:
            if error.get_http_status_code() != 400:
                raise
            if len(items) == 1:
                log.warning("MLflow refuses %s of run %s: %s", items[0].key, run_id, error.message)
                return
            half = len(items) // 2
            self._send(run_id, items[:half])
            self._send(run_id, items[half:])

    def _upload(self, run_id: str, path: Path, folder: str) -> None:
        if not path.is_file():
            log.warning("%s was to be logged to MLflow but is no longer there", path)
            return
        self._client.log_artifact(run_id, str(path), folder or None)

    def _set_status(self, run: Known, status: str, end: int) -> None:
        if status != "RUNNING":
            self._client.set_terminated(run.run_id, status, end)
            run.steps, run.found = {}, True  # a long study must not fill the driver's memory
        elif run.status != "RUNNING":
            self._client.update_run(run.run_id, "RUNNING")
        run.status = status

    def _kill_all_but(self, live: set[int], end: int) -> None:
        for trial, run in self._known().items():
            if run.status == "RUNNING" and trial != PARENT and trial not in live:
                self._set_status(run, "KILLED", end)


def _equals(tag: str, value: str) -> str:
    quote = '"' if "'" in value else "'"
    return f"tags.{tag} = {quote}{value}{quote}"
