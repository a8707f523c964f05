"""SIGTERM while a trial trains: it is obeyed after the current step, once the trial has saved its state."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_requested = threading.Event()


def requested() -> bool:
    """Whether the process has received SIGTERM."""
    return _requested.is_set()


@contextmanager
def deferred() -> Iterator[None]:
    """Within the block SIGTERM only sets :func:`requested`; after it, it is obeyed.

    Only a main thread can receive signals: in another one the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requested.clear()
    before = signal.signal(signal.SIGTERM, lambda number, frame: _requested.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if requested():
            _requested.clear()
            os.kill(os.getpid(), signal.SIGTERM)
