"""How a trial stands, as samplers and the scheduler take it: from its scores to minimised values."""

from collections.abc import Callable, Sequence
from platform.pareto.front import Candidate, Front, candidates_at
from platform.schedulers.asha import Result
from platform.storage.ledger import Status, Trial
from platform.study.observation import Observation, Rung, State

_STATES: dict[Status, State] = {
    "open": "running",
    "paused": "paused",
    "completed": "completed",
    "diverged": "failed",
    "failed": "failed",
}


Judged = Callable[[Sequence[Candidate]], Front]
"""Makes a front of candidates, by the study's objectives, reference point and bounds."""


def observation(trial: Trial, levels: Sequence[int], judged: Judged) -> Observation:
    """A trial with its rungs at the scheduler's levels and its newest."""
    steps = [step for step in sorted(trial.reports) if step in levels or step == max(trial.reports)]
    rungs = tuple(
        rung(judged(candidates_at(trial, step)), step / trial.reports[step]["steps"]) for step in steps
    )
    return Observation(trial.params, _STATES[trial.status], rungs, trial.memory)


def rung(front: Front, share: float) -> Rung:
    """The candidate that alone dominates most, of those that break the bounds least."""
    values = front.minimised[front.best]
    return Rung(share, tuple(values.tolist()), front.violations(front.candidates[front.best]))


def result(trial: Trial, step: int, judged: Judged) -> Result:
    """All candidates of a rung that keep the bounds; where none does, the one that breaks them least."""
    front = judged(candidates_at(trial, step))
    if front.feasible.any():
        return Result(front.minimised[front.feasible])
    return Result(front.minimised[[front.best]], front.broken(front.best))
