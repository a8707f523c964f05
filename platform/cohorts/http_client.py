"""Asking servers of others: timeouts, retries that wait ever longer, one line for what is final."""

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
GROWTH = 1 << 20
"""Bytes that a cut connection must have brought for the count of failures to begin anew."""
BUSY = (408, 425, 429)
"""The 4xx that ask for another try; every other is final."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for (seconds), and how often it is asked."""

    connect: float = 15.0
    stall: float = 45.0
    tries: int = 6
    """Failures in a row, without :data:`GROWTH` between them, that end a download."""
    backoff: float = 1.0
    """Pause after the first failure; it doubles up to :attr:`longest`, a Retry-After comes before it."""
    longest: float = 60.0
    threads: int = 3

    def pause(self, failures: int, asked: float | None) -> float:
        """How long to wait after so many failures in a row."""
        return min(self.backoff * 2.0 ** (failures - 1) if asked is None else asked, self.longest)


class Passing(Exception):
    """A failure that another try may mend; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class WebError(InputError):
    """A server that cannot be reached or does not give what it should."""


class Stopped(Exception):
    """Another thread has failed, or the user has pressed Ctrl-C."""


def fetch_text(url: str, patience: Patience, limit: int = 1 << 22) -> str:
    """A small page, retried as files are; raises WebError."""
    require_web(url)

    def attempt() -> str:
        with answer(url, {}, patience) as response:
            page = b"".join(body(response, limit))
        if len(page) > limit:
            raise WebError(f"{shown(url)}: more than {limit} bytes; allowed: a small page")
        return page.decode("utf-8", "replace")

    return persist(url, patience, attempt, Event(), lambda: 0)


def persist(
    url: str, patience: Patience, attempt: Callable[[], T], stop: Event, position: Callable[[], int]
) -> T:
    """Try until it works; failures count anew after each :data:`GROWTH` bytes that ``position`` advanced."""
    failures, best = 0, position()
    while True:
        try:
            return attempt()
        except Passing as error:
            failures = 1 if position() - best >= GROWTH else failures + 1
            best = max(best, position())
            if failures >= patience.tries:
                raise WebError(f"{shown(url)}: {error}; tried {failures} times, try again later") from None
            if stop.wait(patience.pause(failures, error.wait)):
                raise Stopped from None


def answer(url: str, headers: dict[str, str], patience: Patience) -> requests.Response:
    """The opened response (200, 206, 416 to a range); raises Passing, or WebError at once for a 4xx."""
    # Identity: the sum is of the file, not of what a server makes of it on the way.
    headers = {"Accept-Encoding": "identity"} | headers
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=(patience.connect, patience.stall))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Passing(f"cannot be reached ({error.__class__.__name__})") from None
    except requests.RequestException as error:
        raise WebError(f"{shown(url)}: cannot be fetched ({error.__class__.__name__})") from None
    status = response.status_code
    if status in (200, 206) or (status == 416 and "Range" in headers):
        return response
    response.close()
    if status in BUSY or status >= 500:
        wait = response.headers.get("Retry-After", "")
        raise Passing(f"answered {status}", float(wait) if wait.isdigit() else None)
    raise WebError(f"{shown(url)}: answered {status} {response.reason}; allowed: an address that exists")


def body(response: requests.Response, limit: int | None) -> Iterator[bytes]:
    """The body in chunks, ended at the first that goes beyond ``limit``; raises Passing where it breaks."""
    received = 0
    try:
        # read1 hands over what has come: a cut loses nothing, and a slow line is not waited for.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            received += len(chunk)
            if limit is not None and received > limit:
                return
    except urllib3.exceptions.HTTPError as error:
        raise Passing(f"stopped sending ({error.__class__.__name__})") from None


def shown(url: str) -> str:
    """A URL as messages may show it: without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_web(url: str) -> None:
    """Raises InputError for a URL of another kind."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise InputError(f"{shown(url)}: not a web address; allowed: http://..., https://...")
