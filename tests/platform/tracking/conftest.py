"""For tests of tracking: a sqlite store, and servers that do not respond."""

import socket
from collections.abc import Iterator
from pathlib import Path
from platform.tracking import store

import pytest

from tests import servers


@pytest.fixture(scope="package")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite store."""
    folder = tmp_path_factory.mktemp("store")
    store.prepare(f"sqlite:///{folder}/mlflow.db", "first", folder / "artifacts")
    return folder / "mlflow.db"


@pytest.fixture(scope="package")
def uri(database: Path) -> str:
    """Of the sqlite store."""
    return f"sqlite:///{database}"


@pytest.fixture
def port() -> int:
    """A free port, on which nothing listens."""
    return servers.free_port()


@pytest.fixture
def dead(port: int) -> str:
    """A server that does not run."""
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://someone:hunter2@127.0.0.1:{server.getsockname()[1]}"
