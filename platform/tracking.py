"""MLflow, seen from the driver: prepare the store, then record a study without ever waiting for it.

One parent run a study, one child run a trial. Calls only append to a journal in the study's folder; a
thread replays it into MLflow and keeps what MLflow cannot take for later, or for the next start
(RELIABILITY.md, row 5).
"""

import fcntl
import logging
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from platform.journal import Journal
from platform.replay import PARENT, Replayer
from typing import Any, Literal

from trainers.errors import InputError

log = logging.getLogger(__name__)

EXPERIMENT = "64mT-to-3T"
"""All studies share one experiment, so that MLflow's UI can compare their runs."""

Status = Literal["FINISHED", "FAILED", "KILLED", "SCHEDULED"]

ANSWER_SECONDS = 5
"""How long a server may take to answer before it counts as unreachable."""

_ALLOWED = "sqlite:////absolute/path/mlflow.db or http(s)://host:port"
_CHUNK = 500
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default of 7 blocks for 246 s; the journal retries
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # CVE-2026-116692: remote code through scorers
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it prints the password with the URL
}


def prepare(uri: str, experiment: str, artifact_root: Path) -> str:
    """Open or create the store and the experiment; returns the experiment's id.

    To be called by the driver before anything else opens the store: two processes that initialise one schema
    at once leave it broken (HPO.md section 3). Artifacts of a sqlite store lie in
    ``artifact_root/experiment``; a server places its own. Raises :class:`InputError` for an unknown scheme,
    an unwritable folder, a server that does not answer in about 5 s.
    """
    _set_environment()
    scheme = uri.partition(":")[0].lower()
    if scheme == "file":
        raise _refused(uri, "MLflow's file store is switched off since 3.17, use sqlite:///")
    if scheme == "sqlite":
        return _prepare_sqlite(uri, experiment, artifact_root.resolve())
    if scheme in ("http", "https"):
        with _quick_answers():
            return _open_experiment(uri, experiment, None)
    raise _refused(uri, f"unknown scheme {redact(scheme)!r}")


def given(uri: str, begun: str) -> str | None:
    """The ``--tracking`` that goes on with ``uri``; None: the study was begun with it, or it is secret."""
    return uri if uri != begun and redact(uri) == uri else None


def redact(text: str) -> str:
    """The text with every ``user:password@`` of a URL, and every secret in a query, starred out."""
    text = re.sub(r"://[^\s'\"]+@", "://***@", text)
    return re.sub(r"(?i)([?&](?:password|passwd|token|secret|key)=)[^&\s'\"]+", r"\1***", text)


class Recorder:
    """Records one study in MLflow from the driver; no call waits for MLflow or raises because of it.

    What MLflow has not taken waits in ``folder``; the next :class:`Recorder` on that folder sends it.
    Nothing is logged twice: neither a run (found by its tags) nor a metric (key, step), whatever was killed
    at which moment. Only a full disk is not borne in silence: then each call raises :class:`InputError`.
    """

    def __init__(self, uri: str, experiment_id: str, study: str, folder: Path) -> None:
        _set_environment()
        self._target = uri, experiment_id, study
        self._journal = Journal(folder)
        self._changed = threading.Condition()
        self._deadline = math.inf
        self._down = self._hurry = False
        self._failures = 0
        self._thread = threading.Thread(target=self._deliver, name="mlflow-recorder", daemon=True)
        self._thread.start()

    def study(self, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """The study begins, or goes on."""
        self._append(PARENT, params=_texts(params), tags=_texts(tags), status="RUNNING")

    def study_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Values of the whole study, such as its hypervolume after ``step`` trials."""
        self.metrics(PARENT, metrics, step)

    def study_artifact(self, path: Path, folder: str = "") -> None:
        """A file of the whole study, under ``folder`` of its artifacts."""
        self.artifact(PARENT, path, folder)

    def trial(self, number: int, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """A trial begins, or goes on; the parameters of its first beginning stand."""
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
        """A file, read when it is sent: it must still be there then."""
        self._append(number, path=str(path.resolve()), folder=folder)

    def finish(self, number: int, status: Status, tags: Mapping[str, object]) -> None:
        """A trial has ended."""
        self._append(number, tags=_texts(tags), status=status)

    def reconcile(self, live: Iterable[int]) -> None:
        """Child runs that MLflow believes RUNNING, but are not among the live trials, are KILLED."""
        self._append(PARENT, live=sorted(live))

    def run_id(self, number: int) -> str | None:
        """The run of a trial; waits up to 10 s for its events to be sent, None if MLflow has no such run."""
        self._flush(10.0)
        try:
            return Replayer(*self._target).find(number)
        except Exception as error:
            log.warning("the MLflow run of trial %d cannot be looked up: %s", number, _reason(error))
            return None

    def close(self, status: Status | None, timeout: float) -> int:
        """End the study's run and send what is left; returns how many events remain after ``timeout`` s.

        Without a status the run stays as it is: something was added to a study that has ended.
        """
        if status:
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

    def _flush(self, timeout: float) -> None:
        """Wait until everything appended so far is delivered, or fails to be, at most ``timeout`` seconds."""
        end, failures = self._journal.end, self._failures
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._journal.delivered >= end or self._failures > failures, timeout
            )

    def _deliver(self) -> None:
        """The thread: replay what is pending, wait longer after each failure, end at the deadline."""
        replayer, wait = None, _FIRST_WAIT
        while self._await_work():
            stretch = self._journal.pending(_CHUNK)
            try:
                replayer = replayer or Replayer(*self._target)
                replayer.replay(stretch.events)
                self._journal.acknowledge(stretch.end)
            except Exception as error:  # whatever MLflow does, training goes on
                replayer = None  # what MLflow took of the stretch is unknown: ask it anew
                self._warn(error)
                self._pause(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            self._delivered()
            wait = _FIRST_WAIT

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
                self._changed.wait_for(lambda: self._deadline < math.inf or self._hurry, seconds)
                self._hurry = False
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
                    "MLflow at %s takes no records (%s); they wait in %s",
                    redact(self._target[0]),
                    _reason(error),
                    self._journal.path,
                )
            self._down = True
            self._failures += 1
            self._changed.notify_all()


def _set_environment() -> None:
    os.environ.update(_ENVIRONMENT)
    for name in ("mlflow.store.db.utils", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)  # our own one warning tells more than theirs


@contextmanager
def _quick_answers() -> Iterator[None]:
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(ANSWER_SECONDS)}
    os.environ.update(quick)
    try:
        yield
    finally:
        _set_environment()


def _prepare_sqlite(uri: str, experiment: str, artifact_root: Path) -> str:
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    if not uri.startswith("sqlite:///") or not name:
        raise _refused(uri, "it names no file")
    database = Path(name).resolve()
    for folder in (database.parent, artifact_root):
        _require_writable(uri, folder)
    if database.exists() and not _is_sqlite(uri, database):
        raise _refused(uri, f"{database} is not a sqlite database")
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two studies may start at the same moment
        return _open_experiment(uri, experiment, (artifact_root / experiment).as_uri())


def _is_sqlite(uri: str, database: Path) -> bool:
    try:
        with database.open("rb+") as file:
            return file.read(16) in (b"", b"SQLite format 3\x00")
    except OSError as error:
        raise _refused(uri, f"cannot write {database}: {error.strerror}") from error


def _require_writable(uri: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _refused(uri, f"cannot write in {folder}: {error.strerror}") from error


def _open_experiment(uri: str, experiment: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        if known is None:
            return _create_experiment(client, experiment, location)
    except MlflowException as error:
        raise _refused(uri, _reason(error)) from error
    if known.lifecycle_stage != "active":
        raise _refused(uri, f"its experiment {experiment!r} is deleted: restore it or choose another name")
    return str(known.experiment_id)


def _create_experiment(client: Any, experiment: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(experiment, location))
    except MlflowException:
        known = client.get_experiment_by_name(experiment)  # another driver may have been quicker
        if known is None:
            raise
        return str(known.experiment_id)


def _refused(uri: str, reason: str) -> InputError:
    return InputError(f"tracking uri {redact(uri)!r}: {reason}; allowed: {_ALLOWED}")


def _reason(error: Exception) -> str:
    """The error in one short line without secrets; of a failed connection only why it failed."""
    line = " ".join(redact(str(error)).split()) or type(error).__name__
    if refusal := re.search(r"\[Errno -?\d+\] ([\w ,]+)", line):
        return f"no connection: {refusal[1]}"
    line = line.partition(" Response body")[0]  # the page of a server that is not MLflow
    if re.search(r"Read ?timed? ?out|TimeoutError", line, re.IGNORECASE):
        return "no answer in time"
    return line if len(line) <= 300 else line[:300] + "…"


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {_name(key): str(value) for key, value in values.items()}


def _name(key: str) -> str:
    """The key with what MLflow refuses in a name replaced."""
    return re.sub(r"[^/\w.\- :]", "_", key)
