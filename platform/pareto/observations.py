"""Trials in the form that samplers and schedulers read: minimised values in the place of scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from platform.pareto.dominance import Values
from platform.pareto.front import Candidate, Front, MakeFront, candidates_at
from platform.storage.trials import Trial, TrialStatus
from platform.study.criteria import Criteria
from platform.study.observation import Observation, Params, Rung, State
from platform.study.settings import Objective

from trainers.report import Scores

STATES: dict[TrialStatus, State] = {
    "open": "running",
    "paused": "paused",
    "completed": "completed",
    "diverged": "failed",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class RungResult:
    """A trial's candidates at a rung."""

    points: Values
    """Objective values [k, m], minimised, of the feasible candidates, else of the least infeasible one."""
    violation: float = 0.0
    """The least total violation of outcome constraints among the candidates; 0 if one is feasible."""


def observation(trial: Trial, levels: Sequence[int], make_front: MakeFront) -> Observation:
    """A trial with its rungs at the scheduler's levels and its newest one."""
    steps = [step for step in sorted(trial.reports) if step in levels or step == max(trial.reports)]
    rungs = tuple(
        rung(make_front(candidates_at(trial, step)), step / trial.reports[step].steps) for step in steps
    )
    return Observation(trial.params, STATES[trial.status], rungs, trial.memory)


def rung(front: Front, share: float) -> Rung:
    """The best candidate of a rung: the least violation, then the largest hypervolume by itself."""
    values = front.minimised[front.best]
    return Rung(share, tuple(values.tolist()), front.violations(front.candidates[front.best]))


def rung_result(trial: Trial, step: int, make_front: MakeFront) -> RungResult:
    """All feasible candidates of a rung; if there is none, the one with the least violation."""
    front = make_front(candidates_at(trial, step))
    if front.feasible.any():
        return RungResult(front.minimised[front.feasible])
    return RungResult(front.minimised[[front.best]], front.total_violation(front.best))


def earlier_observations(criteria: Criteria, objectives: Sequence[Objective]) -> list[Observation]:
    """The trials of an earlier study that the criteria hold."""
    return [
        Observation(
            trial.params,
            "completed",
            (rung(Front.of(criteria, objectives, _candidates(trial.scores, trial.params)), 1.0),),
        )
        for trial in criteria.known
    ]


def _candidates(scores: Scores, params: Params) -> list[Candidate]:
    return [Candidate(-1, count, values, params, "") for count, values in scores.items()]
