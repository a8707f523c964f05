"""How long trials have held their places: from proposal to pause or end, start-up and failures too.

What no driver was there for is not counted: a place is held to the last that its driver wrote, and again from
the next driver's start.
"""

from collections.abc import Mapping
from typing import Any


class Held:
    """Seconds of all trials together, from the ledger's entries in their order."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._over = 0.0
        self._session, self._newest = "", 0.0

    def begin(self, session: str) -> None:
        """Another driver goes on, from the time of its session on, with what the one before left open."""
        self._over += sum(self._newest - since for since in self._since.values())
        self._since = dict.fromkeys(self._since, float(session))
        self._session, self._newest = session, float(session)

    def hear(self, entry: Mapping[str, Any]) -> None:
        """One more entry."""
        if entry["session"] != self._session:
            self.begin(entry["session"])
        self._newest = float(entry["time"])
        if entry["event"] in ("proposed", "went_on"):
            self._since.setdefault(entry["trial"], self._newest)
        if entry["event"] in ("paused", "ended"):
            self._over += self._newest - self._since.pop(entry["trial"], self._newest)

    def seconds(self, now: float) -> float:
        """Up to now, in seconds since the epoch, with what runs."""
        return self._over + sum(now - since for since in self._since.values())
