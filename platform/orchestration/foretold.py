"""How well early rungs told the end of training: what stopping by them can be trusted with."""

from collections.abc import Sequence
from platform.pareto.front import candidates_at
from platform.stats.ranks import spearman
from platform.storage.ledger import Trial
from platform.study.study import Objective

FEWEST = 5
"""Completed trials from which a rank correlation is shown."""


def foretold(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[str]:
    """A line for every rung that all completed trials share: its rank correlation with their ends.

    Each objective is a trial's best over its refinement step counts. Where trials are stopped by their rungs,
    those that complete are alike, so that the correlation is rather too low than too high.
    """
    done = [trial for trial in trials if trial.status == "completed"]
    if len(done) < FEWEST:
        return []
    shared = set.intersection(*(set(trial.reports) - {max(trial.reports)} for trial in done))
    return [
        f"rank correlation of step {step} with the end, {len(done)} trials: "
        + ", ".join(f"{o.name} {_correlation(done, step, o):.2f}" for o in objectives)
        for step in sorted(shared)
    ]


def _correlation(trials: Sequence[Trial], step: int, objective: Objective) -> float:
    """Of an objective at a step with the same at each trial's newest report; NaN where all are equal."""
    now = [_best(trial, step, objective) for trial in trials]
    return spearman(now, [_best(trial, max(trial.reports), objective) for trial in trials])


def _best(trial: Trial, step: int, objective: Objective) -> float:
    values = [candidate.values[objective.name] for candidate in candidates_at(trial, step)]
    return min(values) if objective.direction == "minimize" else max(values)
