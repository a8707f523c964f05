"""A new ranking of candidates, by trainings with new seeds.

A search chooses the best of many noisy values, and a candidate that is chosen for its value is on average
worse than that: the optimizer's curse (Smith & Winkler 2006, Management Science 52(3); for models chosen by
their validation Cawley & Talbot 2010, JMLR 11). So the ranking is by trainings by which nothing was chosen:
the new seeds alone where at least two of them finished, else all. The validation subjects are those of the
search: only the test split shows what was fitted to them (platform.evaluate).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from platform.confirmation.scoring import Scoring
from platform.pareto import dominance
from platform.pareto.front import Candidate, CandidateKey, Front
from platform.stats import confidence
from platform.stats.scores import interval_to_json
from platform.study.criteria import Bound
from platform.study.settings import Objective
from typing import Any

import numpy as np

from trainers.metrics.frechet import Interval


@dataclass(frozen=True)
class Finalist:
    """A candidate with the results of its new trainings."""

    trial: int
    steps: int
    searched: Mapping[str, float]
    """Objectives by which the search chose it."""
    values: Mapping[str, Interval]
    """Mean over ``seeds`` with its 95 % interval over seeds and subjects; bounds are NaN where unknown."""
    fresh: Mapping[str, float]
    """Mean of the new seeds alone; empty without any."""
    seeds: tuple[int, ...]
    """Of the trainings that are averaged."""
    diverged: int
    """How many of its retrainings."""
    nondominated: float
    """Probability that no other finalist truly dominates it."""
    rank: int
    broken: Mapping[str, float] = field(default_factory=dict)
    """Means of the metrics that violate a constraint of the study."""

    @property
    def key(self) -> CandidateKey:
        """Trial and step count."""
        return self.trial, self.steps

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: interval_to_json(interval) for name, interval in self.values.items()}
        return {**asdict(self), "values": values}


def rank(scoring: Scoring, front: Front) -> list[Finalist]:
    """The candidates by their new rank.

    Ranked by the probability of being non-dominated among them, times the share of trainings that did not
    diverge (one that diverges is dominated by all); equal to the percent, by what the mean point alone adds
    to the hypervolume. Candidates whose means violate a constraint come after all others.
    """
    groups, directions = scoring.groups(), [o.direction for o in scoring.objectives]
    means = replace(front, candidates=[_averaged(scoring, key, front.bounds) for key in scoring.ordered])
    feasible, chances = means.feasible, np.zeros(len(scoring.ordered))
    drawn = confidence.draw_true_means(groups, scoring.subjects)[:, feasible]
    chances[feasible] = confidence.probability_nondominated(drawn, directions)
    finished = np.array([_finished_share(scoring, trial) for trial, _ in scoring.ordered])
    added = -np.array([means.total_violation(i) for i in range(len(feasible))])
    added[feasible] = dominance.contributions(means.minimised[feasible], means.corner)
    order = confidence.ranks(np.where(feasible, chances * finished, -1.0), added)
    intervals, searched = scoring.intervals(), {c.key: c.values for c in front.candidates}
    finalists = [
        Finalist(
            *key,
            searched={o.name: searched[key][o.name] for o in scoring.objectives},
            values=intervals[key],
            fresh=_new_means(scoring, key),
            seeds=tuple(scoring.seeds(key[0])),
            diverged=scoring.retrainings.diverged[key[0]],
            nondominated=float(chances[i]),
            rank=int(order[i]),
            broken=_violated(means, means.candidates[i]),
        )
        for i, key in enumerate(scoring.ordered)
    ]
    return sorted(finalists, key=lambda finalist: finalist.rank)


def optimism(finalists: Sequence[Finalist], objectives: Sequence[Objective]) -> dict[str, float]:
    """How much better the search's values are than those of the new seeds, on average, by objective."""
    retrained = [f for f in finalists if f.fresh]
    signs = {o.name: 1 if o.direction == "minimize" else -1 for o in objectives}
    return {
        name: float(np.mean([sign * (f.fresh[name] - f.searched[name]) for f in retrained]))
        for name, sign in signs.items()
        if retrained
    }


def place(key: CandidateKey) -> str:
    """A candidate's name in MLflow's metrics: ``3_2`` for trial 3 at 2 steps."""
    return f"{key[0]}_{key[1]}"


def interval_metrics(place: str, values: Mapping[str, Interval]) -> dict[str, float]:
    """Metrics ``3_2/fid``, ``3_2/fid_low`` and ``3_2/fid_high`` of the place ``3_2``, the known ones."""
    metrics = {f"{place}/{name}": interval.estimate for name, interval in values.items()}
    metrics |= {f"{place}/{name}_low": interval.low for name, interval in values.items()}
    metrics |= {f"{place}/{name}_high": interval.high for name, interval in values.items()}
    return {name: value for name, value in metrics.items() if not np.isnan(value)}


def ranking_metrics(finalists: Sequence[Finalist]) -> dict[str, float]:
    """``confirm/3_2/fid`` with ``_low`` and ``_high``, ``p_nondominated`` and ``rank`` of each finalist."""
    metrics: dict[str, float] = {}
    for finalist in finalists:
        name = place(finalist.key)
        metrics |= interval_metrics(name, finalist.values)
        metrics |= {f"{name}/p_nondominated": finalist.nondominated, f"{name}/rank": finalist.rank}
        metrics |= {f"{name}/searched_{metric}": value for metric, value in finalist.searched.items()}
    return {f"confirm/{name}": value for name, value in metrics.items()}


def _averaged(scoring: Scoring, key: CandidateKey, bounds: Sequence[Bound]) -> Candidate:
    """A candidate with its means over the trainings that it is ranked by."""
    runs = [scoring.scores[key[0], seed, key[1]] for seed in scoring.seeds(key[0])]
    names = {o.name for o in scoring.objectives} | {b.metric for b in bounds}
    return Candidate(*key, {n: float(np.mean([run[n].estimate for run in runs])) for n in names}, {}, "")


def _violated(front: Front, candidate: Candidate) -> dict[str, float]:
    """The means that violate a constraint."""
    violations = zip(front.bounds, front.violations(candidate), strict=True)
    return {bound.metric: candidate.values[bound.metric] for bound, by in violations if by > 0}


def _new_means(scoring: Scoring, key: CandidateKey) -> dict[str, float]:
    seeds = scoring.seeds(key[0], searched=False)
    return {
        o.name: float(np.mean([scoring.scores[key[0], seed, key[1]][o.name].estimate for seed in seeds]))
        for o in scoring.objectives
        if seeds
    }


def _finished_share(scoring: Scoring, trial: int) -> float:
    finished = len(scoring.seeds(trial, searched=False))
    ended = finished + scoring.retrainings.diverged[trial]
    return finished / ended if ended else 1.0
