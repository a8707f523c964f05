"""Downloads from a local server that stalls, breaks connections, fails and sends wrong bytes."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from platform.cohorts.download import RemoteFile, digest, download
from platform.cohorts.http_client import PROGRESS, RetryPolicy, fetch_text
from threading import Event, Lock, Thread
from typing import Any

import pytest
from rich.console import Console

from trainers.errors import InputError

BODY = bytes(range(256)) * 4096  # 1 MiB
TAG = '"tag-1"'
QUICK = RetryPolicy(connect=2.0, stall=0.3, tries=4, backoff=0.01, longest=0.05)
QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[3]


@dataclass
class Site:
    """What the server has, how it fails (one entry for each request, then never), its requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    tag: str = TAG
    port: int = 0
    over: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def remote(self, name: str = "a.bin", body: bytes = BODY, sized: bool = True) -> RemoteFile:
        self.files.setdefault(name, body)
        return RemoteFile(
            self.url(name), name, "md5", hashlib.md5(body).hexdigest(), len(body) if sized else None
        )

    def ranges(self) -> list[str | None]:
        return [requested for _, requested in self.requests]


class Handler(BaseHTTPRequestHandler):
    """One request; the site's script says how."""

    def __init__(self, site: Site, *rest: object) -> None:
        self.site = site
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        site = self.site
        with site.lock:
            site.requests.append((self.path, self.headers["Range"]))
            scripted = site.script.pop(0) if site.script and self.path[1:] in site.files else "serve"
            act, _, number = scripted.partition(":")
            site.at_once += 1
            site.most_at_once = max(site.most_at_once, site.at_once)
        with suppress(ConnectionError):
            self.act(act, int(number or 0))
        with site.lock:
            site.at_once -= 1

    def act(self, act: str, number: int) -> None:
        body = self.site.files.get(self.path[1:])
        if body is None:
            self.site.over.wait(0.2)  # another file is being sent by then
        if act == "status" or body is None:
            self.send_response(number or 404)
            self.send_header("Retry-After", "3600")
            return self.end_headers()
        if act == "page":
            body = b"<html>please log in</html>"
        start = self.start(body) if act not in ("ignore", "page") else 0
        if act == "reverse":
            body = body[::-1]
        if act == "shift":
            start -= 10
        if start > len(body) - 1:
            self.send_response(416)
            return self.end_headers()
        self.head(body, start, announced=act not in ("close", "endless"))
        self.send(body[start:], act, number)

    def start(self, body: bytes) -> int:
        same = self.headers["If-Range"] in (None, self.site.tag)
        return int(self.headers["Range"][6:-1]) if self.headers["Range"] and same else 0

    def head(self, body: bytes, start: int, announced: bool) -> None:
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.site.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if announced:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()

    def send(self, body: bytes, act: str, number: int) -> None:
        self.wfile.write(body[:number] if act in ("cut", "stall", "close", "drip") else body)
        while act in ("endless", "drip") and not self.site.over.wait(0.0 if act == "endless" else 0.01):
            self.wfile.write(body[: number or None])
        if act == "stall":
            self.wfile.flush()
            self.site.over.wait(3)


@pytest.fixture
def site() -> Iterator[Site]:
    offered = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, offered))
    offered.port = server.server_address[1]
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield offered
    offered.over.set()
    server.shutdown()
    server.server_close()


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
