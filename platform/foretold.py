"""How well early rungs told the end of training: what stopping by them can be trusted with."""

from collections.abc import Sequence
from platform.ledger import Trial
from platform.study import Objective

from scipy.stats import spearmanr

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
        + ", ".join(f"{o.name} {correlation(done, step, o):.2f}" for o in objectives)
        for step in sorted(shared)
    ]


def correlation(trials: Sequence[Trial], step: int, objective: Objective) -> float:
    """Spearman's, of an objective at a step and at each trial's newest report; NaN where all are equal."""
    now = [best(trial, step, objective) for trial in trials]
    end = [best(trial, max(trial.reports), objective) for trial in trials]
    return float(spearmanr(now, end).statistic) if len(set(now)) > 1 < len(set(end)) else float("nan")


def best(trial: Trial, step: int, objective: Objective) -> float:
    """The best that a trial reached in an objective at a step, over its refinement step counts."""
    values = [float(scores[objective.name]) for scores in trial.reports[step]["scores"].values()]
    return min(values) if objective.direction == "minimize" else max(values)
