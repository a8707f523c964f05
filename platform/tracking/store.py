"""MLflow's database or server: opened, or created, by the driver before anything else opens it."""

import fcntl
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform.storage.layout import require_writable_folder
from platform.tracking.moved import relocate
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from trainers.errors import InputError

EXPERIMENT = "64mT-to-3T"
"""All studies share one experiment, so that MLflow's UI can compare their runs."""

RESPONSE_SECONDS = 5
"""How long a server may take to respond before it counts as unreachable."""

log = logging.getLogger(__name__)

_AWAY = ("no connection", "no response in time")
_ALLOWED = "sqlite:////absolute/path/mlflow.db or http(s)://host:port"
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

    The driver calls it before anything else opens the store: two processes that create one schema at the
    same time break it. Artifacts of a sqlite store lie in ``artifact_root/experiment``,
    those of a server where it keeps them. Raises :class:`InputError` for an unknown scheme, a folder that
    cannot be written, a server that does not respond in about 5 s.
    """
    set_environment()
    if require_known(uri) == "sqlite":
        return _prepare_sqlite(uri, experiment, artifact_root.resolve())
    with _short_timeouts():
        return _open_experiment(uri, experiment, None)


class Unreachable(InputError):
    """A server that does not answer; it may later."""


def prepare_or_wait(uri: str, experiment: str, artifact_root: Path) -> str:
    """As :func:`prepare`; empty, with a warning, where the server does not answer: records wait for it."""
    try:
        return prepare(uri, experiment, artifact_root)
    except Unreachable as error:
        log.warning("%s; records wait in the study's folder", str(error).partition("; allowed")[0])
        return ""


def find_experiment(uri: str, experiment: str) -> str:
    """The id of an experiment on a server, which is made where it is missing."""
    return _open_experiment(uri, experiment, None)


def require_known(uri: str) -> str:
    """The scheme of a store's URI; raises InputError for one that cannot be opened."""
    scheme = uri.partition(":")[0].lower()
    if scheme == "file":
        raise _rejected(uri, "MLflow's file store is switched off since 3.17, use sqlite:///")
    if scheme not in ("sqlite", "http", "https"):
        raise _rejected(uri, f"unknown scheme {redact(scheme)!r}")
    return scheme


def without_credentials(uri: str) -> str:
    """The URI without ``user:password@``, which MLflow then reads from the environment.

    So they are in no file, message or hint of ours.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return uri
    credentials, _, host = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    for name, value in (("USERNAME", user), ("PASSWORD", password)):
        if value:
            os.environ[f"MLFLOW_TRACKING_{name}"] = unquote(value)
    return urlunsplit(parts._replace(netloc=host))


def differing(uri: str, started: str) -> str | None:
    """The ``--tracking`` to give again; None: the study was started with it."""
    return uri if uri != started else None


def redact(text: str) -> str:
    """The text with ``***`` for every ``user:password@`` of a URL and every secret in a query."""
    text = re.sub(r"://[^\s'\"]+@", "://***@", text)
    return re.sub(r"(?i)([?&](?:password|passwd|token|secret|key)=)[^&\s'\"]+", r"\1***", text)


def set_environment() -> None:
    """Set what MLflow reads from the environment, and quiet its loggers."""
    os.environ.update(_ENVIRONMENT)
    for name in ("mlflow.store.db.utils", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)  # our own warning says more


@contextmanager
def _short_timeouts() -> Iterator[None]:
    short = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(RESPONSE_SECONDS)}
    os.environ.update(short)
    try:
        yield
    finally:
        set_environment()


def _prepare_sqlite(uri: str, experiment: str, artifact_root: Path) -> str:
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    if not uri.startswith("sqlite:///") or not name:
        raise _rejected(uri, "it names no file")
    database = Path(unquote(name)).resolve()
    for folder in (database.parent, artifact_root):
        _require_writable(uri, folder)
    if database.exists() and not _is_sqlite(uri, database):
        raise _rejected(uri, f"{database} is not a sqlite database")
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two studies may start at the same moment
        try:
            moved = relocate(database, artifact_root)
        except sqlite3.Error as error:
            raise _rejected(uri, f"{database}: {error}") from error
        if moved:
            log.warning("%s has moved: the artifacts of its runs are in %s now", database, artifact_root)
        return _open_experiment(uri, experiment, (artifact_root / experiment).as_uri())


def _is_sqlite(uri: str, database: Path) -> bool:
    try:
        with database.open("rb+") as file:
            return file.read(16) in (b"", b"SQLite format 3\x00")
    except OSError as error:
        raise _rejected(uri, f"cannot write {database}: {error.strerror}") from error


def _require_writable(uri: str, folder: Path) -> None:
    try:
        require_writable_folder(folder)
    except OSError as error:
        raise _rejected(uri, f"cannot write in {folder}: {error.strerror}") from error


def _open_experiment(uri: str, experiment: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        if known is None:
            return _create_experiment(client, experiment, location)
    except MlflowException as error:
        refused = _rejected(uri, found := reason(error))
        raise (Unreachable(str(refused)) if found.startswith(_AWAY) else refused) from error
    if known.lifecycle_stage != "active":
        raise _rejected(uri, f"its experiment {experiment!r} is deleted: restore it or choose another name")
    return str(known.experiment_id)


def _create_experiment(client: Any, experiment: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(experiment, location))
    except MlflowException:
        known = client.get_experiment_by_name(experiment)  # another driver may have created it
        if known is None:
            raise
        return str(known.experiment_id)


def _rejected(uri: str, reason: str) -> InputError:
    return InputError(f"tracking uri {redact(uri)!r}: {reason}; allowed: {_ALLOWED}")


def reason(error: Exception) -> str:
    """The error in one short line without secrets; for a failed connection only its cause."""
    line = " ".join(redact(str(error)).split()) or type(error).__name__
    if refusal := re.search(r"\[Errno -?\d+\] ([\w ,]+)", line):
        return f"{_AWAY[0]}: {refusal[1]}"
    line = line.partition(" Response body")[0]  # the page of a server that is not MLflow
    if re.search(r"Read ?timed? ?out|TimeoutError", line, re.IGNORECASE):
        return _AWAY[1]
    return line if len(line) <= 300 else line[:300] + "…"
