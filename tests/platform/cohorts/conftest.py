"""For tests of downloads: a local server that fails as its script says."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from platform.cohorts.download import RemoteFile
from threading import Event, Lock, Thread

import pytest

BODY = bytes(range(256)) * 4096  # 1 MiB
TAG = '"tag-1"'


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
