"""The ledger of a study: every proposal, report, decision and end, recorded before anything follows from it.

The state of sampler and scheduler is computed from it alone; Tune, MLflow and screen only repeat it.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from platform.driver.lock import lock
from platform.storage import movable
from platform.storage.occupancy import Occupancy, seconds_of_sessions
from platform.storage.sealed_lines import Log, open_log, read_log
from platform.storage.trials import Trial, Trials, TrialStatus, slim
from typing import Any

from trainers.errors import EnvironmentFault, InputError
from trainers.report import Report

FILE = "ledger.jsonl"


class Ledger:
    """``ledger.jsonl`` in a study's folder, and its :attr:`trials`; locked for one driver at a time."""

    def __init__(self, folder: Path, patience: float = 0.0, scores: Collection[str] | None = None) -> None:
        """``patience``: seconds that an entry waits for room on a full disk, or for its store to answer.

        ``scores``: what :attr:`trials` have of their reports, to be small: scores of these names, no losses.
        The file has all, for :func:`read_trials`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._scores, self._patience = folder, scores, patience
        self._lock = lock(folder)
        try:
            found, self._lines = open_log(folder / FILE, patience, self._kept, repaired)
        except (InputError, EnvironmentFault):
            self._lock.close()
            raise
        self.trials = Trials.of(placed(folder, found.entries))
        self.elapsed = seconds_of_sessions(found.entries)
        """Seconds that earlier drivers have spent on the study."""
        self.occupancy = Occupancy()
        entries = (entry for entry in reversed(found.entries) if entry["event"] != "repaired")
        self.newest: Mapping[str, Any] = next(entries, {})
        """The last entry of an earlier driver, which may not have reached MLflow."""
        self._highest, sessions = -1, set[str]()
        for entry in found.entries:
            self._count(entry)
            sessions.add(entry["session"])
        numbers = [int(session) for session in sessions if session.isdigit()]
        self._session = str(1 + max(numbers, default=len(sessions)))
        self.start_session()

    @property
    def next_number(self) -> int:
        """A trial's number that was never given."""
        return self._highest + 1

    @property
    def occupied(self) -> float:
        """Seconds that trials have occupied their places, up to now."""
        return self.occupancy.seconds(time.monotonic() - self._started)

    def start_session(self) -> None:
        """Count the driver's time from now on."""
        self._started = time.monotonic()
        self.occupancy.start_session(self._session)

    def proposed(
        self, number: int, params: Mapping[str, Any], memory: Mapping[str, Any] | None = None
    ) -> None:
        """A new trial."""
        self._append({"event": "proposed", "trial": number, **_content(params, memory or {})}, durable=True)

    def started(self, number: int) -> None:
        """A trial occupies a place from now on; its proposal is repeated, as that line may be damaged."""
        trial = self.trials[number]
        self._append({"event": "started", "trial": number, **_content(trial.params, trial.memory)})

    def reported(self, number: int, report: Report) -> None:
        """A rung of a trial; a second report of the same step replaces the first."""
        values = report.to_json() | {"checkpoint": movable.kept(self.folder, Path(report.checkpoint))}
        self._append({"event": "reported", "trial": number, "report": values})

    def paused(self, number: int, reason: str = "") -> None:
        """A trial pauses at its newest rung, and may never continue."""
        self._append({"event": "paused", "trial": number, "reason": reason})

    def continued(self, number: int, step: int) -> None:
        """The scheduler lets a trial, paused or not, train beyond a step."""
        self._append({"event": "went_on", "trial": number, "step": step})

    def ended(self, number: int, status: TrialStatus, reason: str = "") -> None:
        """A trial ends; it cannot continue."""
        self._append({"event": "ended", "trial": number, "status": status, "reason": reason})

    def interrupted(self, number: int, reason: str) -> None:
        """A trial has stopped by a fault; it occupies nothing until it is started again."""
        self._append({"event": "interrupted", "trial": number, "reason": reason})

    def noted(self, number: int, text: str) -> None:
        """What a person should know of a trial."""
        self._append({"event": "noted", "trial": number, "text": text})

    def reopened(self, number: int) -> None:
        """A failed trial is to be tried again."""
        self._append({"event": "reopened", "trial": number})

    def of_status(self, *statuses: TrialStatus) -> list[Trial]:
        """Trials with one of the statuses, by number."""
        return self.trials.of_status(*statuses)

    def close(self) -> None:
        """Release the study for another driver."""
        self._lines.close()
        self._lock.close()

    def _append(self, entry: dict[str, Any], durable: bool = False) -> None:
        seconds = {"elapsed": round(time.monotonic() - self._started, 3), "time": round(time.time(), 3)}
        entry |= {**seconds, "session": self._session}
        self._lock.require()
        number = self._lines.append(entry, durable)
        if durable:
            self._lock.saved(self._patience)
        else:
            self._lock.changed()
        (known,) = placed(self.folder, [self._kept(entry | {"seq": number})])
        self.trials.apply(known)
        self._count(known)

    def _kept(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What is kept in memory of an entry."""
        if self._scores is None or "format" in entry:
            return entry
        return slim(entry, self._scores)

    def _count(self, entry: Mapping[str, Any]) -> None:
        self._highest = max(self._highest, entry["trial"])
        if entry["trial"] in self.trials:  # the proposal's line may be damaged
            self.occupancy.add(entry)


def _content(params: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, Any]:
    return {"params": dict(params), **({"memory": dict(memory)} if memory else {})}


def repaired(log: Log) -> dict[str, Any]:
    """The entry of a repair: among the lost lines may be proposals, whose numbers MLflow knows."""
    last = max((entry["trial"] for entry in log.entries), default=-1) + log.lost
    seconds = {"elapsed": 0.0, "time": round(time.time(), 3), "session": "0"}
    return {"event": "repaired", "trial": last, "lost": log.lost, **seconds}


def read_trials(folder: Path) -> Trials:
    """The trials of a study as they are now, whether or not a driver runs it."""
    return Trials.of(placed(folder, read_log(folder / FILE).entries))


def placed(folder: Path, entries: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The entries with checkpoints where they are now: a study may have moved to another folder."""
    for entry in entries:
        if entry["event"] == "reported":
            checkpoint = str(movable.found(folder, entry["report"]["checkpoint"]))
            entry = {**entry, "report": {**entry["report"], "checkpoint": checkpoint}}
        yield entry
