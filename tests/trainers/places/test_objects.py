"""One contract for every object store, on real servers; what a server's faults become."""

import multiprocessing
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests import servers
from tests.servers import FaultProxy, Server
from trainers.errors import EnvironmentFault, InputError
from trainers.places import s3_objects
from trainers.places.objects import Objects, Refused, address, open_objects

CONDITIONS = {"file": True, "rclone": False, "moto": True}


@pytest.fixture(params=CONDITIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Objects:
    """An empty prefix, with a space and a sign of URLs in its name."""
    if kind == "file":
        return open_objects(f"file://{tmp_path}/a store%25")
    server: Server = request.getfixturevalue(kind)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return open_objects(f"s3://bucket/{tmp_path.name}/a store%25")


def test_objects_are_stored_replaced_listed_and_removed(objects: Objects, tmp_path: Path) -> None:
    assert objects.get("a/b") is None and list(objects.listed("a")) == [] and objects.names("") == []
    assert not objects.download("a/b", tmp_path / "none", 1) and not (tmp_path / "none").exists()
    before = time.time()
    objects.put("a/b c/x.json", b"old")
    objects.put("a/b c/x.json", b"new")
    (tmp_path / "file").write_bytes(bytes(range(256)))
    objects.put("a/y", tmp_path / "file")
    objects.put("ab", b"")
    assert objects.get("a/b c/x.json") == b"new" and objects.get("ab") == b""
    assert objects.download("a/y", tmp_path / "copy", 256)
    assert (tmp_path / "copy").read_bytes() == bytes(range(256))
    listed = list(objects.listed("a"))
    assert [(each.key, each.size) for each in listed] == [("a/b c/x.json", 3), ("a/y", 256)]
    assert all(abs(each.modified - before) < 60 for each in listed)
    assert objects.names("") == ["a", "ab"] and objects.names("a") == ["b c", "y"]
    for _ in range(2):
        objects.delete("a/b c/x.json")
    assert objects.get("a/b c/x.json") is None and objects.names("a") == ["y"]


def test_of_several_that_create_one_object_one_succeeds_where_that_is_promised(
    objects: Objects, kind: str
) -> None:
    assert objects.creates_once() == CONDITIONS[kind] and objects.names("") == []
    if not CONDITIONS[kind]:
        return
    won: list[int] = []

    def create(number: int) -> None:
        if objects.create("one", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and objects.get("one") == str(won[0]).encode()


def put_large(url: str, path: Path) -> None:
    s3_objects.PART = 5 << 20
    open_objects(url).put("large", path)


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_killed_upload_leaves_what_was_there_and_is_swept(
    objects: Objects, kind: str, tmp_path: Path, after: float
) -> None:
    old, new = os.urandom(1000), os.urandom(22 << 20)
    objects.put("large", old)
    (tmp_path / "new").write_bytes(new)
    process = multiprocessing.get_context("fork").Process(
        target=put_large, args=(objects.url, tmp_path / "new")
    )
    process.start()
    time.sleep(after)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    size = next(objects.listed("")).size
    assert size in (len(old), len(new)) and [each.key for each in objects.listed("")] == ["large"]
    assert objects.get("large") == (old if size == len(old) else new)
    if kind != "moto":  # which says of every upload that it was begun in 2010
        assert objects.sweep("", 3600) == 0
    objects.sweep("", 0)
    assert objects.sweep("", 0) == 0


def test_only_an_upload_of_the_age_is_swept_by_the_servers_clock() -> None:
    now = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)  # of the server: this machine's does not count
    uploads = [
        {"Key": f"x/{minutes}", "UploadId": "u", "Initiated": now - timedelta(minutes=minutes)}
        for minutes in (59, 60, 61)
    ]
    headers = {"HTTPHeaders": {"date": "Tue, 01 Dec 2026 12:00:00 GMT"}}
    client = Mock()
    client.get_paginator.return_value.paginate.return_value = [
        {"Uploads": uploads, "ResponseMetadata": headers}
    ]
    objects = s3_objects.S3Objects("s3://bucket/x", "bucket", "x")
    objects.__dict__["_client"] = client
    assert objects.sweep("", 3600) == 2
    aborted = [call.kwargs["Key"] for call in client.abort_multipart_upload.call_args_list]
    assert aborted == ["x/60", "x/61"]


def test_a_large_file_arrives_in_parts(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "PART", 5 << 20)
    (tmp_path / "large").write_bytes(os.urandom(12 << 20))
    objects.put("large", tmp_path / "large")
    assert objects.download("large", tmp_path / "copy", 12 << 20)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "large").read_bytes()


FAULTS = {
    "500": servers.answers("500 Internal Server Error", "InternalError"),
    "503": servers.answers("503 Slow Down", "SlowDown"),
    "reset": servers.resets,
    "broken off": servers.breaks_off,
    "stalled": servers.stalls(0.5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_server_is_tried_again(
    rclone: Server, fault: str, s3_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy, content = FaultProxy(rclone.port), os.urandom(100_000)
    (tmp_path / "file").write_bytes(content)
    with proxy.serving() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)

        def objects() -> Objects:
            """With a connection of its own, which meets the fault."""
            proxy.faults.append(FAULTS[fault])
            return open_objects(f"s3://bucket/{tmp_path.name}")

        objects().put("x", content)
        assert objects().get("x") == content
        objects().put("y", tmp_path / "file")
        assert objects().download("y", tmp_path / "copy", len(content))
        assert (tmp_path / "copy").read_bytes() == content
        assert [each.key for each in objects().listed("")] == ["x", "y"]
        assert proxy.met == 5


def test_without_a_server_without_rights_and_without_a_bucket_it_is_one_line(
    rclone: Server, moto: Server, s3_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers.free_port()}")
    with pytest.raises(EnvironmentFault, match=r"^s3://bucket/x: Could not connect") as away:
        open_objects("s3://bucket/x").put("a", b"")
    assert not isinstance(away.value, Refused) and "\n" not in str(away.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    with pytest.raises(Refused, match="NoSuchBucket"):
        open_objects("s3://another/x").put("a", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", rclone.url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Refused, match="SignatureDoesNotMatch"):
        open_objects("s3://bucket/x").get("a")


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/x",
        "s3://",
        "s3://Big_Bucket/x",
        "s3://bucket/a/../b",
        "s3://bucket/x?y=1",
        "file://host/x",
        "file:///",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="allowed: a folder, s3://bucket/prefix or file:///folder"):
        open_objects(url)
    assert address("s3://bucket/a%20b/") == ("s3", "bucket", "a b")
