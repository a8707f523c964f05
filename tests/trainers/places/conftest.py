"""Two machines with copies of one store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server
from trainers.places import mounts
from trainers.places.mounts import Mount

Machine = Callable[..., Path]


@pytest.fixture(params=["file", "rclone"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, s3_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """``machine(name, limit)``: the root of another machine's copy of the same store."""
    url = f"file://{tmp_path}/store"
    if request.param == "rclone":
        server: Server = request.getfixturevalue("rclone")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        url = f"s3://bucket/{tmp_path.name}"
    monkeypatch.setattr(mounts, "_mounts", {})

    def made(name: str, limit: int = 0) -> Path:
        return mounts.add(Mount(tmp_path / name, url, limit)).root

    return made
