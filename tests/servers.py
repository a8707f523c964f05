"""Real S3 servers on this machine, and a proxy that answers some requests with faults."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

KEY, SECRET = "access-key-7f3a", "secret-of-tests-91c2"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until_listening(port: int, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen")


@dataclass
class Server:
    """A server that can be ended and started again at the same address."""

    command: list[str]
    port: int
    seconds: float = 60
    """Within which it listens."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            self.command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        wait_until_listening(self.port, self.process, self.seconds)

    def kill(self) -> None:
        """With all the processes that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def rclone(folder: Path) -> Server:
    """Every folder of ``folder`` is a bucket; it checks keys and signatures, and no conditions of a put."""
    port, program = free_port(), str(Path(sys.executable).with_name("rclone"))
    words = ["serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    return Server([program, *words, "--config", "/dev/null", "--vfs-cache-mode", "off"], port)


def moto() -> Server:
    """In memory; it takes any key, and sees to the conditions of a put."""
    port = free_port()
    return Server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)


def mlflow(database: str, artifacts: Path, port: int) -> Server:
    """MLflow's, on a database, with artifacts in a folder; at first it makes the database's tables."""
    words = ["server", "--backend-store-uri", database, "--artifacts-destination", str(artifacts)]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return Server([sys.executable, "-m", "mlflow", *words], port, seconds=300)


def make_bucket(server: Server, name: str) -> None:
    request = urllib.request.Request(f"{server.url}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


Fault = Callable[[socket.socket, bytes], bool]
"""Answers a request on its connection; False: passes it on."""


@dataclass
class FaultProxy:
    """Passes connections on to a server; each new one meets the next fault of :attr:`faults`, if any."""

    target: int
    faults: list[Fault] = field(default_factory=list)
    met: int = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The proxy's URL, for the block."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            first = client.recv(1 << 16)
            fault = self.faults.pop(0) if self.faults and first else None
            if fault is not None:
                self.met += 1
                if fault(client, first):
                    return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                server.sendall(first)
                threading.Thread(target=_copy, args=(client, server), daemon=True).start()
                _copy(server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(1 << 16):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def answers(status: str, code: str) -> Fault:
    """An S3 error in the place of the answer."""

    def fault(client: socket.socket, request: bytes) -> bool:
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        client.settimeout(0.2)
        with suppress(TimeoutError):
            while client.recv(1 << 16):
                pass
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode() + body)
        return True

    return fault


def resets(client: socket.socket, request: bytes) -> bool:
    """The connection is reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()
    return True


def breaks_off(client: socket.socket, request: bytes) -> bool:
    """The answer ends in its body."""
    client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "x"\r\n\r\nonly this')
    client.close()
    return True


def stalls(seconds: float) -> Fault:
    """Nothing is answered for a time, then the connection closes."""

    def fault(client: socket.socket, request: bytes) -> bool:
        time.sleep(seconds)
        return True

    return fault
