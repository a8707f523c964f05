"""The study's memory: every proposal, report, decision and end, appended before anyone else hears of it.

It is the single truth of a study: sampler and scheduler follow from it; Tune, MLflow and screen repeat it.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from platform.storage.held import Held
from platform.storage.jsonl import Lines, read_lines
from typing import Any, Literal

from trainers.errors import InputError

FILE = "ledger.jsonl"
Status = Literal["open", "paused", "completed", "diverged", "failed"]
OVER: tuple[Status, ...] = ("completed", "diverged", "failed")


@dataclass
class Trial:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    status: Status = "open"
    reason: str = ""
    ended_at: float = 0.0
    """Seconds since the epoch; 0 while open."""
    passed: int = 0
    """Steps beyond which the scheduler let it."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the sampler noted beside the proposal."""
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Reports by optimiser step, as the trial sent them."""

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest report."""
        return self.reports[max(self.reports)] if self.reports else None

    @property
    def scores(self) -> dict[int, dict[str, float]]:
        """Validation scores by refinement step count, as of the newest report."""
        return {int(count): values for count, values in self.last["scores"].items()} if self.last else {}

    @property
    def seconds(self) -> float:
        """Seconds spent training and validating."""
        return sum(float(report["seconds"]) for report in self.reports.values())


class Ledger:
    """``ledger.jsonl`` of a study's folder, folded into :attr:`trials`; one driver at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._guard = lock(folder)
        self._lines = Lines(folder / FILE)
        entries = [entry for entry, _ in self._lines.read() if entry is not None]
        self.trials = fold(entries)
        self.elapsed = spent(entries)
        """Seconds that earlier drivers have spent on the study."""
        self.held = Held()
        """How long trials have held their places."""
        for entry in entries:
            self._hear(entry)
        self.newest: Mapping[str, Any] = entries[-1] if entries else {}
        """The last that an earlier driver wrote; its trial may be all that others have not heard of."""
        self.begin()

    def begin(self) -> None:
        """Let the driver's time count from here on."""
        self._session = f"{time.time():.3f}"
        self.held.begin(self._session)

    def proposed(
        self, number: int, params: Mapping[str, Any], memory: Mapping[str, Any] | None = None
    ) -> None:
        """A trial exists from here on."""
        noted = {"memory": dict(memory)} if memory else {}
        self._record({"event": "proposed", "trial": number, "params": dict(params), **noted})

    def started(self, number: int) -> None:
        """A trial holds a place from here on."""
        self._record({"event": "started", "trial": number})

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        """A rung of a trial; the same rung again replaces itself."""
        self._record({"event": "reported", "trial": number, "report": dict(report)})

    def paused(self, number: int, reason: str = "") -> None:
        """A trial waits at its newest rung, maybe for ever."""
        self._record({"event": "paused", "trial": number, "reason": reason})

    def went_on(self, number: int, step: int) -> None:
        """The scheduler lets a trial, paused or not, train beyond a step."""
        self._record({"event": "went_on", "trial": number, "step": step})

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A trial is over for good."""
        self._record({"event": "ended", "trial": number, "status": status, "reason": reason})

    def of_status(self, *statuses: Status) -> list[Trial]:
        """Trials in one of the states, by number."""
        return of_status(self.trials, *statuses)

    def close(self) -> None:
        """Let another driver have the study."""
        self._lines.close()
        os.close(self._guard)

    def _record(self, entry: dict[str, Any]) -> None:
        entry |= {"time": round(time.time(), 3), "session": self._session}
        self._lines.append(entry)
        apply(self.trials, entry)
        self._hear(entry)

    def _hear(self, entry: Mapping[str, Any]) -> None:
        if entry["trial"] in self.trials:  # not of a proposal that is unreadable
            self.held.hear(entry)


def read_trials(folder: Path) -> dict[int, Trial]:
    """The trials of a study as they are now, whoever runs it."""
    return fold(entry for entry, _ in read_lines(folder / FILE) if entry is not None)


def of_status(trials: Mapping[int, Trial], *statuses: Status) -> list[Trial]:
    """Trials in one of the states, by number."""
    return [trials[number] for number in sorted(trials) if trials[number].status in statuses]


def fold(entries: Iterable[Mapping[str, Any]]) -> dict[int, Trial]:
    """The trials that the entries tell of."""
    trials: dict[int, Trial] = {}
    for entry in entries:
        apply(trials, entry)
    return trials


def apply(trials: dict[int, Trial], entry: Mapping[str, Any]) -> None:
    """Bring the trials up to one more entry; one of a trial whose proposal is unreadable changes nothing."""
    number = entry["trial"]
    if entry["event"] == "proposed":
        trials[number] = Trial(number, entry["params"], memory=entry.get("memory", {}))
    trial = trials.get(number)
    if trial is not None and entry["event"] == "reported":
        trial.reports[entry["report"]["step"]] = entry["report"]
    if trial is not None and entry["event"] == "paused":
        trial.status, trial.reason = "paused", entry["reason"]
    if trial is not None and entry["event"] == "went_on":
        trial.status, trial.reason, trial.passed = "open", "", entry["step"]
    if trial is not None and entry["event"] == "ended":
        trial.status, trial.reason, trial.ended_at = entry["status"], entry["reason"], entry["time"]


def spent(entries: Iterable[Mapping[str, Any]]) -> float:
    """Seconds from each driver's start to its last entry, summed."""
    last = {str(entry["session"]): float(entry["time"]) for entry in entries}
    return sum(max(0.0, time - float(session)) for session, time in last.items())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for the block; raises InputError where another process holds it."""
    descriptor = lock(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def lock(folder: Path) -> int:
    """A descriptor that holds ``folder`` until it is closed; InputError where another process holds it."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"{folder}: another process works on it; allowed: one at a time") from error
    return descriptor
