"""Requests to public servers: timeouts, retries with growing pauses, one line for what is final."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from trainers.errors import InputError

T = TypeVar("T")
CHUNK = 1 << 18
PROGRESS = 1 << 20
"""Bytes that a broken connection must have brought for the count of failures to start again."""
RETRY_STATUS = (408, 425, 429)
"""The 4xx after which a retry may succeed; every other is final."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server, in seconds, and how often to try."""

    connect: float = 15.0
    stall: float = 45.0
    tries: int = 6
    """Failures in a row, without :data:`PROGRESS` between them, that end a download."""
    backoff: float = 1.0
    """Pause after the first failure; it doubles up to :attr:`longest`, unless there is a Retry-After."""
    longest: float = 60.0
    threads: int = 3

    def pause(self, failures: int, requested: float | None) -> float:
        """How long to wait after so many failures in a row; ``requested``: by the server."""
        pause = self.backoff * 2.0 ** (failures - 1) if requested is None else requested
        return min(pause, self.longest)


class TransientError(Exception):
    """A failure after which a retry may succeed; ``wait`` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class WebError(InputError):
    """A server that cannot be reached or does not send what it should."""


class Stopped(Exception):
    """Another thread has failed, or the user has pressed Ctrl-C."""


def fetch_text(url: str, policy: RetryPolicy, limit: int = 1 << 22) -> str:
    """A small page, retried as files are; raises WebError."""
    require_web(url)

    def attempt() -> str:
        with get(url, {}, policy) as response:
            page = b"".join(chunks(response, limit))
        if len(page) > limit:
            raise WebError(f"{shown(url)}: more than {limit} bytes; allowed: a small page")
        return page.decode("utf-8", "replace")

    return retry(url, policy, attempt, Event(), lambda: 0)


def retry(
    url: str, policy: RetryPolicy, attempt: Callable[[], T], stop: Event, position: Callable[[], int]
) -> T:
    """Try until it works; failures are counted from 0 again after :data:`PROGRESS` bytes of ``position``."""
    failures, furthest = 0, position()
    while True:
        try:
            return attempt()
        except TransientError as error:
            failures = 1 if position() - furthest >= PROGRESS else failures + 1
            furthest = max(furthest, position())
            if failures >= policy.tries:
                raise WebError(f"{shown(url)}: {error}; tried {failures} times, try again later") from None
            if stop.wait(policy.pause(failures, error.wait)):
                raise Stopped from None


def get(url: str, headers: dict[str, str], policy: RetryPolicy) -> requests.Response:
    """The opened response (200, 206, 416 to a range); raises TransientError, or WebError for another 4xx."""
    # Identity: the checksum is of the file, not of a compressed transfer.
    headers = {"Accept-Encoding": "identity"} | headers
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(policy.connect, policy.stall))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TransientError(f"cannot be reached ({error.__class__.__name__})") from None
    except requests.RequestException as error:
        raise WebError(f"{shown(url)}: cannot be fetched ({error.__class__.__name__})") from None
    status = response.status_code
    if status in (200, 206) or (status == 416 and "Range" in headers):
        return response
    response.close()
    if status in RETRY_STATUS or status >= 500:
        wait = response.headers.get("Retry-After", "")
        raise TransientError(f"responded {status}", float(wait) if wait.isdigit() else None)
    raise WebError(f"{shown(url)}: responded {status} {response.reason}; allowed: an address that exists")


def chunks(response: requests.Response, limit: int | None) -> Iterator[bytes]:
    """The body, up to the first chunk that goes beyond ``limit``; raises TransientError where it breaks."""
    received = 0
    try:
        # read1 returns what has arrived: a broken connection loses nothing, a slow one does not block.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            received += len(chunk)
            if limit is not None and received > limit:
                return
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(f"stopped sending ({error.__class__.__name__})") from None


def shown(url: str) -> str:
    """A URL as messages may show it: without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_web(url: str) -> None:
    """Raises InputError for a URL that is not http or https."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise InputError(f"{shown(url)}: not a web address; allowed: http://..., https://...")
