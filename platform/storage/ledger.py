"""The ledger of a study: every proposal, report, decision and end, recorded before anything follows from it.

The state of sampler and scheduler is computed from it alone; Tune, MLflow and screen only repeat it.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from platform.storage.jsonl import JsonLines, read_lines
from typing import Any, Literal

from trainers.errors import InputError
from trainers.report import Report

FILE = "ledger.jsonl"
TrialStatus = Literal["open", "paused", "completed", "diverged", "failed"]
ENDED: tuple[TrialStatus, ...] = ("completed", "diverged", "failed")


@dataclass
class Trial:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    status: TrialStatus = "open"
    reason: str = ""
    ended_at: float = 0.0
    """Seconds since the epoch; 0 before the end."""
    continued_past: int = 0
    """The newest step at which the scheduler let it continue."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the sampler stored with the proposal."""
    reports: dict[int, Report] = field(default_factory=dict)
    """Reports by optimiser step."""

    @property
    def last(self) -> Report | None:
        """The newest report."""
        return self.reports[max(self.reports)] if self.reports else None

    @property
    def scores(self) -> Mapping[int, Mapping[str, float]]:
        """Validation scores of the newest report by refinement step count; empty before the first."""
        return self.last.scores if self.last else {}

    @property
    def seconds(self) -> float:
        """Seconds spent training and validating."""
        return sum(float(report.seconds) for report in self.reports.values())


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
        """A new driver starts, at the time in its session's name; no place is occupied."""
        self._finished = self.seconds(self._newest)
        self._since.clear()
        self._session, self._newest = session, float(session)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one more entry; while a clock is set back, no time passes."""
        if entry["session"] != self._session:
            self.start_session(entry["session"])
        self._newest = max(self._newest, float(entry["time"]))
        if entry["event"] == "started":
            self._since.setdefault(entry["trial"], self._newest)
        if entry["event"] in ("paused", "ended"):
            self._finished += self._newest - self._since.pop(entry["trial"], self._newest)

    def seconds(self, now: float) -> float:
        """Up to ``now`` (seconds since the epoch), running trials included."""
        return self._finished + sum(max(0.0, now - since) for since in self._since.values())


class Ledger:
    """``ledger.jsonl`` in a study's folder, and its :attr:`trials`; locked for one driver at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock(folder)
        self._lines = JsonLines(folder / FILE)
        entries = [entry for entry, _ in self._lines.read() if entry is not None]
        self.trials = fold(entries)
        self.elapsed = seconds_of_sessions(entries)
        """Seconds that earlier drivers have spent on the study."""
        self.occupancy = Occupancy()
        for entry in entries:
            self._count(entry)
        self.newest: Mapping[str, Any] = entries[-1] if entries else {}
        """The last entry of an earlier driver, which may not have reached MLflow."""
        self.start_session()

    def start_session(self) -> None:
        """Count the driver's time from now on."""
        self._session = f"{time.time():.3f}"
        self.occupancy.start_session(self._session)

    def proposed(
        self, number: int, params: Mapping[str, Any], memory: Mapping[str, Any] | None = None
    ) -> None:
        """A new trial."""
        extra = {"memory": dict(memory)} if memory else {}
        self._append({"event": "proposed", "trial": number, "params": dict(params), **extra})

    def started(self, number: int) -> None:
        """A trial occupies a place from now on."""
        self._append({"event": "started", "trial": number})

    def reported(self, number: int, report: Report) -> None:
        """A rung of a trial; a second report of the same step replaces the first."""
        self._append({"event": "reported", "trial": number, "report": report.to_json()})

    def paused(self, number: int, reason: str = "") -> None:
        """A trial pauses at its newest rung, and may never continue."""
        self._append({"event": "paused", "trial": number, "reason": reason})

    def continued(self, number: int, step: int) -> None:
        """The scheduler lets a trial, paused or not, train beyond a step."""
        self._append({"event": "went_on", "trial": number, "step": step})

    def ended(self, number: int, status: TrialStatus, reason: str = "") -> None:
        """A trial ends; it cannot continue."""
        self._append({"event": "ended", "trial": number, "status": status, "reason": reason})

    def of_status(self, *statuses: TrialStatus) -> list[Trial]:
        """Trials with one of the statuses, by number."""
        return of_status(self.trials, *statuses)

    def close(self) -> None:
        """Release the study for another driver."""
        self._lines.close()
        os.close(self._lock)

    def _append(self, entry: dict[str, Any]) -> None:
        entry |= {"time": round(time.time(), 3), "session": self._session}
        self._lines.append(entry)
        apply(self.trials, entry)
        self._count(entry)

    def _count(self, entry: Mapping[str, Any]) -> None:
        if entry["trial"] in self.trials:  # the proposal's line may be unreadable
            self.occupancy.add(entry)


def read_trials(folder: Path) -> dict[int, Trial]:
    """The trials of a study as they are now, whether or not a driver runs it."""
    return fold(entry for entry, _ in read_lines(folder / FILE) if entry is not None)


def of_status(trials: Mapping[int, Trial], *statuses: TrialStatus) -> list[Trial]:
    """Trials with one of the statuses, by number."""
    return [trials[number] for number in sorted(trials) if trials[number].status in statuses]


def fold(entries: Iterable[Mapping[str, Any]]) -> dict[int, Trial]:
    """The trials after all entries."""
    trials: dict[int, Trial] = {}
    for entry in entries:
        apply(trials, entry)
    return trials


def apply(trials: dict[int, Trial], entry: Mapping[str, Any]) -> None:
    """Update the trials by one entry; an entry of a trial whose proposal is unreadable changes nothing."""
    number = entry["trial"]
    if entry["event"] == "proposed":
        trials[number] = Trial(number, entry["params"], memory=entry.get("memory", {}))
    trial = trials.get(number)
    if trial is None:
        return
    match entry["event"]:
        case "reported":
            trial.reports[entry["report"]["step"]] = Report.from_json(entry["report"])
        case "paused":
            trial.status, trial.reason = "paused", entry["reason"]
        case "went_on":
            trial.status, trial.reason, trial.continued_past = "open", "", entry["step"]
        case "ended":
            trial.status, trial.reason, trial.ended_at = entry["status"], entry["reason"], entry["time"]


def seconds_of_sessions(entries: Iterable[Mapping[str, Any]]) -> float:
    """Seconds from each driver's start to its last entry, summed."""
    last = {str(entry["session"]): float(entry["time"]) for entry in entries}
    return sum(max(0.0, time - float(session)) for session, time in last.items())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for the block; raises InputError where another process has locked it."""
    descriptor = lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def lock(folder: Path) -> int:
    """A file descriptor that locks ``folder`` until it is closed; InputError where another process has it."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"{folder}: another process works on it; allowed: one at a time") from error
    return descriptor
