"""Downloads from a local server that stalls, breaks connections, fails and sends wrong bytes."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from platform.cohorts.download import RemoteFile, digest, download
from platform.cohorts.http_client import PROGRESS, RetryPolicy, fetch_text
from typing import Any

import pytest
from rich.console import Console

from tests.platform.cohorts.conftest import BODY, Site
from trainers.errors import InputError

QUICK = RetryPolicy(connect=2.0, stall=0.3, tries=4, backoff=0.01, longest=0.05)
QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[3]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fails(remote: RemoteFile, folder: Path, policy: RetryPolicy = QUICK) -> str:
    with pytest.raises(InputError) as error:
        download([remote], folder, QUIET, policy)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        ([], [None]),
        (["cut:300000"], [None, "bytes=300000-"]),
        (["cut:300000", "cut:100000", "cut:7"], [None, "bytes=300000-", "bytes=400000-", "bytes=400007-"]),
        (["stall:300000"], [None, "bytes=300000-"]),
        (["close:5000"], [None, "bytes=5000-"]),
        (["cut:300000", "ignore"], [None, "bytes=300000-"]),
        (["status:500", "status:503", "status:502"], [None] * 4),
        (["status:429"], [None] * 2),
        (["cut:300000", "status:500"], [None, "bytes=300000-", "bytes=300000-"]),
        (["cut:300000", "shift"], [None, "bytes=300000-", None]),
        (["reverse"], [None, None]),
    ],
)
def test_downloads_succeed_in_spite_of_failures(
    site: Site, tmp_path: Path, script: list[str], ranges: list[str | None], sized: bool
) -> None:
    site.script = list(script)
    [path] = download([site.remote(sized=sized)], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY
    unknown_end = script == ["close:5000"] and not sized  # the checksum alone shows that it is not whole
    assert site.ranges() == ([None, None] if unknown_end else ranges)
    assert names(tmp_path) == ["a.bin"]


def test_a_body_longer_than_its_known_size_is_not_read_to_its_end(site: Site, tmp_path: Path) -> None:
    site.script = ["endless"] * 9
    assert "expected" in fails(site.remote(), tmp_path)
    assert len(site.requests) == 2 and names(tmp_path) == []


def test_a_page_of_status_200_does_not_replace_a_part(site: Site, tmp_path: Path) -> None:
    site.script = ["cut:300000"] + ["page"] * 4
    assert "offers 26 bytes, expected 1048576" in fails(site.remote(), tmp_path)
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:300000]


def test_a_wrong_checksum_is_tried_once_more_and_then_reported(site: Site, tmp_path: Path) -> None:
    site.script = ["reverse"] * 9
    message = fails(site.remote(), tmp_path)
    for part in (site.url("a.bin"), hashlib.md5(BODY).hexdigest(), hashlib.md5(BODY[::-1]).hexdigest()):
        assert part in message
    assert len(site.requests) == 2 and names(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_4xx_is_final(site: Site, tmp_path: Path, status: int) -> None:
    site.script = [f"status:{status}"] * 9
    assert str(status) in fails(site.remote(), tmp_path)
    assert len(site.requests) == 1 and names(tmp_path) == []


def test_retries_end(site: Site, tmp_path: Path) -> None:
    site.script = ["status:503"] * 9
    assert "responded 503; tried 4 times" in fails(site.remote(), tmp_path)
    assert len(site.requests) == 4


def test_failures_are_counted_again_after_progress(site: Site, tmp_path: Path) -> None:
    site.script = [f"cut:{PROGRESS + 1}"] * 5
    [path] = download([site.remote(body=BODY * 6)], tmp_path, QUIET, RetryPolicy(tries=2, backoff=0.0))
    assert path.stat().st_size == 6 * len(BODY) and len(site.requests) == 6


def test_a_part_stays_and_is_resumed_by_the_next_run(site: Site, tmp_path: Path) -> None:
    site.script = ["cut:300000"] + ["status:500"] * 4
    fails(site.remote(), tmp_path)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.etag"]
    download([site.remote()], tmp_path, QUIET, QUICK)
    assert site.ranges()[-1] == "bytes=300000-" and names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("name", "content", "tag", "sized", "ranges"),
    [
        ("a.bin.part", b"x" * 5000, '"older"', True, ["bytes=5000-"]),  # of a file that has changed
        ("a.bin.part", b"x" * 5000, None, True, ["bytes=5000-", None]),  # of something else
        ("a.bin.part", BODY, None, True, []),  # complete: only its checksum is needed
        ("a.bin.part", BODY, None, False, ["bytes=1048576-"]),
        ("a.bin", BODY, None, True, []),
    ],
)
def test_existing_files_save_requests(
    site: Site, tmp_path: Path, name: str, content: bytes, tag: str | None, sized: bool, ranges: list[Any]
) -> None:
    (tmp_path / name).write_bytes(content)
    if tag:
        (tmp_path / f"{name}.etag").write_text(tag)
    [path] = download([site.remote(sized=sized)], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY and site.ranges() == ranges


def test_an_existing_file_with_another_checksum_is_kept_and_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert "delete it" in fails(site.remote(), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"mine" and site.requests == []


def test_files_are_fetched_at_the_same_time(site: Site, tmp_path: Path) -> None:
    bodies = {f"{i}.bin": bytes([i]) * 100000 for i in range(5)}
    remotes = [site.remote(name, body) for name, body in bodies.items()]
    site.script = ["stall:1000"] * 3
    paths = download(remotes, tmp_path, QUIET, QUICK)
    assert {path.name: path.read_bytes() for path in paths} == bodies
    assert site.most_at_once >= 2


def test_one_failure_stops_the_others_and_their_parts_stay(site: Site, tmp_path: Path) -> None:
    good = site.remote("good.bin")
    missing = RemoteFile(site.url("missing.bin"), "missing.bin", "md5", "0" * 32, 5)
    site.script = ["drip:100"]
    with pytest.raises(InputError, match="404"):
        download([good, missing], tmp_path, QUIET, QUICK)
    assert 100 <= (tmp_path / "good.bin.part").stat().st_size < 100_000


def test_a_server_that_cannot_be_reached_is_one_line_without_secrets(site: Site, tmp_path: Path) -> None:
    remote = RemoteFile("http://user:secret@127.0.0.1:9/a.bin?token=secret", "a.bin", "md5", "0" * 32, 5)
    message = fails(remote, tmp_path)
    assert "http://127.0.0.1:9/a.bin: cannot be reached" in message and "secret" not in message


def test_a_disk_that_is_too_small_is_refused_before_any_request(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    message = fails(site.remote(), tmp_path)
    assert str(tmp_path) in message and "1048576" in message and "1000" in message
    assert site.requests == []
    assert "1048576" in fails(site.remote(sized=False), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_reported_with_path_and_bytes(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").symlink_to("/dev/full")
    message = fails(site.remote(), tmp_path)
    assert "a.bin.part: cannot be written after 0 bytes (No space left on device)" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "file:///etc/passwd"},
        {"url": "ftp://host/a"},
        {"url": "http:///a"},
        {"name": "../a"},
        {"name": "a/b"},
        {"name": "a\\b"},
        {"name": ".hidden"},
        {"name": "a\nb"},
        {"name": ""},
        {"algorithm": "crc32"},
    ],
)
def test_only_plain_file_names_and_web_addresses_are_allowed(changes: dict[str, str]) -> None:
    with pytest.raises(InputError, match="allowed"):
        RemoteFile(**{"url": "http://host/a", "name": "a", "algorithm": "md5", "checksum": "0"} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_checksums_are_those_of_hashlib(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "a").write_bytes(BODY)
    assert digest(tmp_path / "a", algorithm) == hashlib.new(algorithm, BODY).hexdigest()


def test_a_page_is_retried_and_its_size_is_limited(site: Site) -> None:
    site.files["page"] = b"x" * 2000
    site.script = ["status:500", "cut:10"]
    assert fetch_text(site.url("page"), QUICK) == "x" * 2000
    with pytest.raises(InputError, match="more than 1000 bytes"):
        fetch_text(site.url("page"), QUICK, limit=1000)


INTERRUPTED = """
import signal
from pathlib import Path
from platform import cli
from platform.cohorts.download import RemoteFile, download
from platform.reporting.console import console
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have none
url, folder = {url!r}, Path({folder!r})
cli.run(lambda argv: download([RemoteFile(url, "a.bin", "md5", "0" * 32, 1 << 20)], folder, console))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_ctrl_c_keeps_the_part_and_does_not_wait_for_a_stalled_server(site: Site, tmp_path: Path) -> None:
    remote, part = site.remote(), tmp_path / "a.bin.part"
    site.script = ["stall:5000"]
    code = INTERRUPTED.format(url=remote.url, folder=str(tmp_path))
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: part.exists() and len(site.requests) == 1)
    started = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=10)
    assert (running.returncode, errors.strip()) == (130, b"interrupted")
    assert time.monotonic() - started < 2
    download([remote], tmp_path, QUIET, QUICK)
    assert site.ranges()[1] in ("bytes=5000-", None)
