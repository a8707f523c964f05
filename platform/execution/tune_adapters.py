"""Tune's searcher and scheduler: thin views of a trial source.

A trial that waits leaves Tune: its worker takes the next one. When the scheduler lets it continue, it is
started again from its own last checkpoint. So Tune holds no paused trials, which would count against those
that may run at a time, and the next driver finds them in the ledger.
"""

import json
from pathlib import Path
from platform.execution.trial_source import TrialSource
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from trainers import trial

RETRIES = 3
"""Restarts of a trial whose worker or node died, each from its last checkpoint; a lost connection counts."""


class TuneSearcher(Searcher):  # type: ignore[misc]
    """Tune's view of a source; Tune pickles its searcher, so the copy it keeps holds nothing."""

    def __init__(self, source: TrialSource | None) -> None:
        super().__init__()
        self._source = source
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next task as a Tune configuration; None: Tune calls again soon."""
        following = self._required.next()
        if following is None:
            return str(Searcher.FINISHED) if self._required.over else None
        number, task = following
        self._numbers[trial_id] = number
        resources = self._required.resources
        return {
            "task": trial.encode(task),
            "workers": resources.workers,
            "gpu": resources.gpus > 0,
            "cpus": resources.cpus / resources.workers,
        }

    def on_result(self, trial_id: str, result: dict[str, Any]) -> bool:
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
            self.on_result(trial_id, result)
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
        """The last line of the traceback that Tune kept, and the file of the whole."""
        for file in self._required.folder.glob(f"tune/*{trial_id}*/error.txt"):
            return f"{file.read_text().strip().splitlines()[-1]} ({file})"
        return f"its worker died {RETRIES + 1} times"

    @property
    def _required(self) -> TrialSource:
        assert self._source is not None
        return self._source


class TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    """First come, first served; stops a trial at a rung where the source does not let it train on."""

    def __init__(self, searcher: TuneSearcher | None) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass a rung to the source, and its decision to Tune."""
        assert self._searcher is not None
        trains_on = self._searcher.on_result(trial.trial_id, result)
        return str(self.CONTINUE if trains_on else self.STOP)

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, should Tune pickle it."""
        return {**self.__dict__, "_searcher": None}
