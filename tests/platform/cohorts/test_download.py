"""Downloads from a local server that stalls, cuts, fails and lies."""

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
from platform.cohorts.download import Remote, digest, download
from platform.cohorts.http_client import GROWTH, Patience, fetch_text
from threading import Event, Lock, Thread

import pytest
from rich.console import Console

from trainers.errors import InputError

BODY = bytes(range(256)) * 4096  # 1 MiB
TAG = '"tag-1"'
QUICK = Patience(connect=2.0, stall=0.3, tries=4, backoff=0.01, longest=0.05)
QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[3]


@dataclass
class Site:
    """What the server offers, how it misbehaves (one entry a request, then it behaves), what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    tag: str = TAG
    port: int = 0
    over: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def remote(self, name: str = "a.bin", body: bytes = BODY, sized: bool = True) -> Remote:
        self.files.setdefault(name, body)
        return Remote(
            self.url(name), name, "md5", hashlib.md5(body).hexdigest(), len(body) if sized else None
        )

    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.asked]


class Handler(BaseHTTPRequestHandler):
    """One request; the site's script says how."""

    def __init__(self, site: Site, *rest: object) -> None:
        self.site = site
        super().__init__(*rest)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        site = self.site
        with site.lock:
            site.asked.append((self.path, self.headers["Range"]))
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
            self.site.over.wait(0.2)  # another file is under way by then
        if act == "answer" or body is None:
            self.send_response(number or 404)
            self.send_header("Retry-After", "3600")
            return self.end_headers()
        if act == "page":
            body = b"<html>please log in</html>"
        start = self.start(body) if act not in ("ignore", "page") else 0
        if act == "lie":
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


def fails(remote: Remote, folder: Path, patience: Patience = QUICK) -> str:
    with pytest.raises(InputError) as caught:
        download([remote], folder, QUIET, patience)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize(
    ("script", "ranges"),
    [
        ([], [None]),
        (["cut:300000"], [None, "bytes=300000-"]),
        (["cut:300000", "cut:100000", "cut:7"], [None, "bytes=300000-", "bytes=400000-", "bytes=400007-"]),
        (["stall:300000"], [None, "bytes=300000-"]),
        (["cut:300000", "ignore"], [None, "bytes=300000-"]),
        (["answer:500", "answer:503", "answer:502"], [None] * 4),
        (["answer:429"], [None] * 2),
        (["cut:300000", "answer:500"], [None, "bytes=300000-", "bytes=300000-"]),
        (["cut:300000", "shift"], [None, "bytes=300000-", None]),
        (["lie"], [None, None]),
    ],
)
def test_a_bad_server_is_overcome(
    site: Site, tmp_path: Path, script: list[str], ranges: list[str | None], sized: bool
) -> None:
    site.script = list(script)
    [path] = download([site.remote(sized=sized)], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY
    assert site.ranges() == ranges
    assert names(tmp_path) == ["a.bin"]


def test_a_body_without_length_that_ends_early_is_resumed(site: Site, tmp_path: Path) -> None:
    site.script = ["close:5000"]
    [path] = download([site.remote()], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY and site.ranges() == [None, "bytes=5000-"]


def test_an_endless_body_is_left_at_the_size_that_is_known(site: Site, tmp_path: Path) -> None:
    site.script = ["endless"] * 9
    assert "expected" in fails(site.remote(), tmp_path)
    assert len(site.asked) == 2 and names(tmp_path) == []


def test_a_page_of_status_200_does_not_take_the_place_of_a_part(site: Site, tmp_path: Path) -> None:
    site.script = ["cut:300000"] + ["page"] * 4
    assert "offers 26 bytes, expected 1048576" in fails(site.remote(), tmp_path, QUICK)
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:300000]


def test_a_wrong_sum_is_tried_once_more_and_then_told(site: Site, tmp_path: Path) -> None:
    site.script = ["lie"] * 9
    message = fails(site.remote(), tmp_path)
    for told in (site.url("a.bin"), hashlib.md5(BODY).hexdigest(), hashlib.md5(BODY[::-1]).hexdigest()):
        assert told in message
    assert len(site.asked) == 2 and names(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_4xx_is_told_at_once(site: Site, tmp_path: Path, status: int) -> None:
    site.script = [f"answer:{status}"] * 9
    assert str(status) in fails(site.remote(), tmp_path)
    assert len(site.asked) == 1 and names(tmp_path) == []


def test_retries_end(site: Site, tmp_path: Path) -> None:
    site.script = ["answer:503"] * 9
    assert "answered 503; tried 4 times" in fails(site.remote(), tmp_path)
    assert len(site.asked) == 4


def test_a_cut_that_brought_much_begins_the_count_anew(site: Site, tmp_path: Path) -> None:
    site.script = [f"cut:{GROWTH + 1}"] * 5
    [path] = download([site.remote(body=BODY * 6)], tmp_path, QUIET, Patience(tries=2, backoff=0.0))
    assert path.stat().st_size == 6 * len(BODY) and len(site.asked) == 6


def test_what_arrived_stays_and_is_resumed_by_the_next_run(site: Site, tmp_path: Path) -> None:
    site.script = ["cut:300000"] + ["answer:500"] * 4
    fails(site.remote(), tmp_path)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.etag"]
    download([site.remote()], tmp_path, QUIET, QUICK)
    assert site.ranges()[-1] == "bytes=300000-" and names(tmp_path) == ["a.bin"]


def test_a_part_of_a_file_that_has_changed_is_not_continued(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"x" * 5000)
    (tmp_path / "a.bin.part.etag").write_text('"older"')
    [path] = download([site.remote()], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY and site.ranges() == ["bytes=5000-"]


def test_a_part_of_something_else_costs_one_more_round(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"x" * 5000)
    [path] = download([site.remote()], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY and site.ranges() == ["bytes=5000-", None]


@pytest.mark.parametrize("sized", [True, False])
def test_a_whole_part_needs_its_sum_only(site: Site, tmp_path: Path, sized: bool) -> None:
    (tmp_path / "a.bin.part").write_bytes(BODY)
    [path] = download([site.remote(sized=sized)], tmp_path, QUIET, QUICK)
    assert path.read_bytes() == BODY and len(site.asked) == (0 if sized else 1)


def test_a_file_that_is_there_is_not_fetched(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(BODY)
    download([site.remote()], tmp_path, QUIET, QUICK)
    assert site.asked == []


def test_a_file_with_another_sum_is_left_and_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert "delete it" in fails(site.remote(), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"mine" and site.asked == []


def test_files_come_at_the_same_time(site: Site, tmp_path: Path) -> None:
    bodies = {f"{i}.bin": bytes([i]) * 100000 for i in range(5)}
    remotes = [site.remote(name, body) for name, body in bodies.items()]
    site.script = ["stall:1000"] * 3
    paths = download(remotes, tmp_path, QUIET, QUICK)
    assert {path.name: path.read_bytes() for path in paths} == bodies
    assert site.most_at_once >= 2


def test_one_failure_stops_the_others_whose_parts_stay(site: Site, tmp_path: Path) -> None:
    good = site.remote("good.bin")
    missing = Remote(site.url("missing.bin"), "missing.bin", "md5", "0" * 32, 5)
    site.script = ["drip:100"]
    with pytest.raises(InputError, match="404"):
        download([good, missing], tmp_path, QUIET, QUICK)
    assert 100 <= (tmp_path / "good.bin.part").stat().st_size < 100_000


def test_no_server(site: Site, tmp_path: Path) -> None:
    remote = Remote("http://user:secret@127.0.0.1:9/a.bin?token=secret", "a.bin", "md5", "0" * 32, 5)
    message = fails(remote, tmp_path)
    assert "http://127.0.0.1:9/a.bin: cannot be reached" in message and "secret" not in message


def test_a_disk_too_small_is_told_before_anything_is_asked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    message = fails(site.remote(), tmp_path)
    assert str(tmp_path) in message and "1048576" in message and "1000" in message
    assert site.asked == []
    assert "1048576" in fails(site.remote(sized=False), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_is_told_with_path_and_bytes(site: Site, tmp_path: Path) -> None:
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
def test_only_plain_files_of_the_web(changes: dict[str, str]) -> None:
    with pytest.raises(InputError, match="allowed"):
        Remote(**{"url": "http://host/a", "name": "a", "algorithm": "md5", "checksum": "0"} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_sums_are_those_of_hashlib(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "a").write_bytes(BODY)
    assert digest(tmp_path / "a", algorithm) == hashlib.new(algorithm, BODY).hexdigest()


def test_a_page_is_retried_and_its_size_is_capped(site: Site) -> None:
    site.files["page"] = b"x" * 2000
    site.script = ["answer:500", "cut:10"]
    assert fetch_text(site.url("page"), QUICK) == "x" * 2000
    with pytest.raises(InputError, match="more than 1000 bytes"):
        fetch_text(site.url("page"), QUICK, limit=1000)


INTERRUPTED = """
import signal
from pathlib import Path
from platform import cli
from platform.download import Remote, download
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born without
url, folder = {url!r}, Path({folder!r})
cli.run(lambda argv: download([Remote(url, "a.bin", "md5", "0" * 32, 1 << 20)], folder, cli.console))
"""


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)
    assert happened()


def test_ctrl_c_keeps_the_part_and_waits_for_no_stalled_server(site: Site, tmp_path: Path) -> None:
    remote, part = site.remote(), tmp_path / "a.bin.part"
    site.script = ["stall:5000"]
    code = INTERRUPTED.format(url=remote.url, folder=str(tmp_path))
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: part.exists() and len(site.asked) == 1)
    begun = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=10)
    assert (running.returncode, errors.strip()) == (130, b"interrupted")
    assert time.monotonic() - begun < 2
    download([remote], tmp_path, QUIET, QUICK)
    assert site.ranges()[1] in ("bytes=5000-", None)
