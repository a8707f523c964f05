"""The trials of a study as the entries of its ledger make them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainers.report import Report

TrialStatus = Literal["open", "paused", "completed", "diverged", "failed"]
STATUSES: tuple[TrialStatus, ...] = ("open", "paused", "completed", "diverged", "failed")
ENDED: tuple[TrialStatus, ...] = ("completed", "diverged", "failed")


@dataclass(slots=True)
class Trial:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    status: TrialStatus = "open"
    reason: str = ""
    ended: int = 0
    """Number of the ledger's line of its end, by which ends are in order; 0 before it."""
    continued_past: int = 0
    """The newest step at which the scheduler let it continue."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the sampler stored with the proposal."""
    reports: dict[int, Report] = field(default_factory=dict)
    """Reports by optimiser step."""
    interruptions: int = 0
    """How often a fault has stopped it; none of them counts against it."""
    notes: tuple[str, ...] = ()
    """What else a person should know of it."""

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


def slim(entry: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """An entry whose report has the scores of some ``names`` only, and no losses."""
    if entry["event"] != "reported":
        return dict(entry)
    report = entry["report"]
    scores = {
        count: {name: value for name, value in values.items() if name in names}
        for count, values in report["scores"].items()
    }
    return {**entry, "report": {**report, "scores": scores, "losses": {}}}


class Trials(dict[int, Trial]):
    """Trials by number; what is asked of them again and again takes no time that grows with them."""

    def __init__(self) -> None:
        super().__init__()
        self._by_status: dict[TrialStatus, set[int]] = {status: set() for status in STATUSES}
        self.changed: list[int] = []
        """Numbers of the trials that entries have changed, in their order: a reader keeps its place in it."""
        self.completed: list[int] = []
        """Numbers of completed trials in the order of their ends."""

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> "Trials":
        """The trials after all entries.

        A completed trial whose last report is damaged is open: its worker repeats that of its checkpoint.
        """
        trials = cls()
        for entry in entries:
            trials.apply(entry)
        for trial in trials.of_status("completed"):
            if not (trial.last and trial.last.done):
                trials._move(trial, "open")
                trial.ended = 0
        return trials

    def of_status(self, *statuses: TrialStatus) -> list[Trial]:
        """Trials with one of the statuses, by number."""
        return [self[number] for number in sorted(set().union(*(self._by_status[s] for s in statuses)))]

    def count(self, *statuses: TrialStatus) -> int:
        """How many trials have one of the statuses."""
        return sum(len(self._by_status[status]) for status in statuses)

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Update the trials by one entry; an entry of a trial whose proposal is damaged changes nothing."""
        number = entry["trial"]
        if entry["event"] == "proposed" or (number not in self and "params" in entry):
            self[number] = Trial(number, entry["params"], memory=entry.get("memory", {}))
            self._by_status["open"].add(number)
        trial = self.get(number)
        if trial is None:
            return
        self.changed.append(number)
        match entry["event"]:
            case "reported":
                trial.reports[entry["report"]["step"]] = Report.from_json(entry["report"])
            case "started":
                trial.reason = ""
            case "interrupted":
                trial.reason, trial.interruptions = entry["reason"], trial.interruptions + 1
            case "noted":
                trial.notes = (*trial.notes, entry["text"])
            case "reopened":
                self._move(trial, "open")
                trial.ended = 0
            case "paused":
                self._move(trial, "paused", entry["reason"])
            case "went_on":
                self._move(trial, "open")
                trial.continued_past = entry["step"]
            case "ended":
                self._move(trial, entry["status"], entry["reason"])
                trial.ended = entry["seq"]

    def _move(self, trial: Trial, status: TrialStatus, reason: str = "") -> None:
        self._by_status[trial.status].discard(trial.number)
        self._by_status[status].add(trial.number)
        if trial.status == "completed":
            self.completed.remove(trial.number)
        if status == "completed":
            self.completed.append(trial.number)
        trial.status, trial.reason = status, reason
