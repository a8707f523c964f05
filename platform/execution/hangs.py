"""Trials whose processes are stopped altogether and cannot end themselves: their workers are killed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune

from trainers import trial, watchdog

EVERY = 2.0
"""Seconds between two looks."""
GRACE = 10.0
"""Seconds beyond a process's own limit, within which it ends itself and says where it hung."""


class Stalled:
    """Which trials say nothing new for longer than they may."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def is_stalled(self, folder: Path) -> bool:
        """Whether a trial's process has made no progress for too long, by the driver's own clock."""
        found, now = watchdog.limit_of(folder), time.monotonic()
        if found is None:
            self._seen.pop(folder, None)
            return False
        limit, written = found
        if self._seen.get(folder, (0, 0.0))[0] != written:
            self._seen[folder] = written, now
        return now - self._seen[folder][1] > limit + GRACE


class HangCallback(tune.Callback):  # type: ignore[misc]
    """Kills the workers of stalled trials, from Tune's event loop."""

    def __init__(self, killed: Callable[[str], None] | None) -> None:
        """``killed`` is called with Tune's name of the trial, before Tune sees that its worker died."""
        self._killed, self._stalled, self._looked = killed, Stalled(), 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune at every step of its event loop."""
        if time.monotonic() - self._looked < EVERY or self._killed is None:
            return
        self._looked = time.monotonic()
        for each in trials:
            actor = each.temporary_state.ray_actor
            if each.status == "RUNNING" and actor and self._stalled.is_stalled(trial.folder_of(each.config)):
                self._killed(each.trial_id)
                ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; the copy kills nothing."""
        return {**self.__dict__, "_killed": None}
