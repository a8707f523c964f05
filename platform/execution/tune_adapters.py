"""Where Tune's trials come from and their results go."""

import json
from pathlib import Path
from platform.storage.ledger import Status
from platform.study.study import Resources
from typing import Any, Protocol

from ray.tune.search import Searcher

from trainers import trial
from trainers.loop import Task
from trainers.report import Report

RETRIES = 3
"""Restarts of a trial whose worker or node died, each from its last checkpoint; a lost connection counts."""


class Source(Protocol):
    """Where trials come from and their results go: a search's conductor, a comparison's roster."""

    @property
    def resources(self) -> Resources:
        """What one trial takes."""

    @property
    def folder(self) -> Path:
        """Where everything of the study lies."""

    @property
    def over(self) -> bool:
        """Whether no trial will come any more."""

    def next(self) -> tuple[int, Task] | None:
        """The next trial's number and task; None: not now."""

    def reported(self, number: int, report: Report) -> bool:
        """A rung of a trial; returns whether it trains on."""

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A trial is over."""


class Proposals(Searcher):  # type: ignore[misc]
    """Tune's view of a source; Tune pickles its searcher, so the copy it keeps holds nothing."""

    def __init__(self, source: Source | None) -> None:
        super().__init__()
        self._source = source
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next task as a Tune configuration; None: Tune asks again soon."""
        found = self._required.next()
        if found is None:
            return str(Searcher.FINISHED) if self._required.over else None
        number, task = found
        self._numbers[trial_id] = number
        placement = self._required.resources
        return {
            "task": trial.encode(task),
            "workers": placement.workers,
            "gpu": placement.gpus > 0,
            "cpus": placement.cpus / placement.workers,
        }

    def hear(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A rung, or the end of a diverged trial; returns whether the trial trains on."""
        number = self._numbers[trial_id]
        if "diverged" in result:
            self._required.ended(number, "diverged", result["diverged"])
        elif "report" in result:
            return self._required.reported(number, trial.decode_report(result["report"]))
        return False

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The trial has left Tune; if no report ended or paused it, its worker failed beyond the retries."""
        if result:
            self.hear(trial_id, result)
        reason = self._error(trial_id) if error else "it ended without its last report"
        self._required.ended(self._numbers[trial_id], "failed", reason)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the memory."""
        Path(checkpoint_path).write_text(json.dumps({}))

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, which holds a database and threads."""
        return {**self.__dict__, "_source": None}

    def _error(self, trial_id: str) -> str:
        """The last line of the traceback that Tune kept, and where the whole of it is."""
        for file in self._required.folder.glob(f"tune/*{trial_id}*/error.txt"):
            return f"{file.read_text().strip().splitlines()[-1]} ({file})"
        return f"its worker died {RETRIES + 1} times"

    @property
    def _required(self) -> Source:
        assert self._source is not None
        return self._source
