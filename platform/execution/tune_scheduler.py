"""Tune's view of the scheduler: each rung is told to the source, which says whether the trial trains on.

A trial that waits leaves Tune: its worker takes the next one, and when its turn comes it is handed out again
and goes on from its own last checkpoint. So Tune holds no paused trials, which would count against those that
may run at a time, and a driver that was killed finds them in the ledger.
"""

from platform.execution.tune_adapters import Proposals
from typing import Any

from ray.tune.schedulers import FIFOScheduler


class RungScheduler(FIFOScheduler):  # type: ignore[misc]
    """First come, first served; stops a trial at a rung where the source does not let it go on."""

    def __init__(self, proposals: Proposals | None) -> None:
        super().__init__()
        self._proposals = proposals

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tell the source of a rung."""
        assert self._proposals is not None
        on = self._proposals.hear(trial.trial_id, result)
        return str(self.CONTINUE if on else self.STOP)

    def __getstate__(self) -> dict[str, Any]:
        """Without the source, should Tune pickle it."""
        return {**self.__dict__, "_proposals": None}
