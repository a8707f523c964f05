"""Time spent on a study, from its ledger: each driver's own, by a clock that nobody can set."""

from collections.abc import Iterable, Mapping
from typing import Any


def elapsed(entry: Mapping[str, Any]) -> float:
    """Seconds since its driver started; entries of format 1 have only the time of day, of both."""
    if "elapsed" in entry:
        return float(entry["elapsed"])
    return max(0.0, float(entry["time"]) - float(entry["session"]))


def seconds_of_sessions(entries: Iterable[Mapping[str, Any]]) -> float:
    """Seconds from each driver's start to its last entry, summed."""
    return sum({entry["session"]: elapsed(entry) for entry in entries}.values())


class Occupancy:
    """Seconds that trials have occupied their places, start-up and failures included, from ledger entries.

    Time without a driver does not count: a place counts up to the last entry of its driver, and the next
    driver starts the trial again.
    """

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._finished = 0.0
        self._session, self._newest = "", 0.0

    def start_session(self, session: str) -> None:
        """A new driver starts; no place is occupied."""
        self._finished = self.seconds(self._newest)
        self._since.clear()
        self._session, self._newest = session, 0.0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one more entry."""
        if entry["session"] != self._session:
            self.start_session(entry["session"])
        self._newest = max(self._newest, elapsed(entry))
        if entry["event"] == "started":
            self._since.setdefault(entry["trial"], self._newest)
        if entry["event"] in ("paused", "interrupted", "ended"):
            self._finished += self._newest - self._since.pop(entry["trial"], self._newest)

    def seconds(self, now: float) -> float:
        """Up to ``now``, in seconds since the driver started, running trials included."""
        return self._finished + sum(max(0.0, now - since) for since in self._since.values())
