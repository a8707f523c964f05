"""A table on the terminal that follows a running study."""

import time
from typing import Any, Protocol

from ray import tune
from rich.console import Console, Group
from rich.live import Live


class View(Protocol):
    """What a live table shows."""

    def ended(self) -> int:
        """How many trials have ended."""

    def table(self) -> Group:
        """The trials, and a status line."""

    def line(self) -> str:
        """The status line."""


class LiveTable(tune.Callback):  # type: ignore[misc]
    """Redraws at most once a second, from Tune's event loop; without a terminal, a line for each end."""

    def __init__(self, view: View | None, console: Console | None) -> None:
        self._view, self._console = view, console
        self._live: Live | None = None
        self._drawn = 0.0
        self._printed = 0
        if console is not None and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
            self._live.start()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune at every step of its event loop."""
        if time.monotonic() - self._drawn < 1 or self._view is None:
            return
        self._drawn = time.monotonic()
        if self._live is not None:
            self._live.update(self._view.table(), refresh=True)
        elif self._printed != self._view.ended():
            self._printed = self._view.ended()
            assert self._console is not None
            self._console.print(self._view.line())

    def stop(self) -> None:
        """Leave the last table on the screen."""
        live, self._live = self._live, None
        if live is not None and self._view is not None:
            live.update(self._view.table(), refresh=True)
            live.stop()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; the copy draws nothing."""
        return {**self.__dict__, "_view": None, "_console": None, "_live": None}
