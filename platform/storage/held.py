"""How long trials have held their places: from hand-out to pause or end, start-up and failures too.

What no driver was there for is not counted: a place is held to the last that its driver wrote, and the next
driver hands the trial out again.
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
        """Another driver begins, at the time that its session is named by; no place is held."""
        self._over = self.seconds(self._newest)
        self._since.clear()
        self._session, self._newest = session, float(session)

    def hear(self, entry: Mapping[str, Any]) -> None:
        """One more entry; a clock that was set back has not run meanwhile."""
        if entry["session"] != self._session:
            self.begin(entry["session"])
        self._newest = max(self._newest, float(entry["time"]))
        if entry["event"] == "started":
            self._since.setdefault(entry["trial"], self._newest)
        if entry["event"] in ("paused", "ended"):
            self._over += self._newest - self._since.pop(entry["trial"], self._newest)

    def seconds(self, now: float) -> float:
        """Up to now, in seconds since the epoch, with what runs."""
        return self._over + sum(max(0.0, now - since) for since in self._since.values())
