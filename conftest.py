"""Bare ``pytest`` binds Python's own ``platform`` before the root is on its path: ours takes its place.

S3 servers, started where a test asks for them.
"""

import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests import servers

if not hasattr(sys.modules["platform"], "__path__"):
    del sys.modules["platform"]
    importlib.import_module("platform")


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[servers.Server]":
    """An S3 server with the bucket ``bucket``, which sees to no conditions."""
    from tests import servers

    folder = tmp_path_factory.mktemp("buckets")
    (folder / "bucket").mkdir()
    server = servers.rclone(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def moto() -> "Iterator[servers.Server]":
    """An S3 server with the bucket ``bucket``, which sees to the conditions of a put."""
    from tests import servers

    server = servers.moto()
    server.start()
    servers.make_bucket(server, "bucket")
    yield server
    server.kill()


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the servers; each test names an endpoint."""
    from tests import servers

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.SECRET)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
