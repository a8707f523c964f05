"""From the scores of a few trainings a candidate to what can be said of it, and a new ranking.

A search picks the best of many noisy values, and what is picked for its value is worth less than that on
average: the optimizer's curse (Smith & Winkler 2006, Management Science 52(3); for models chosen by their
validation Cawley & Talbot 2010, JMLR 11). So the ranking is by trainings that nothing was chosen by: the new
seeds alone where at least two of them finished, else all. The validation subjects are those of the search:
what was fitted to them shows on the test split only (platform.evaluate).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from platform.confirmation.retraining import Retrainings, trials
from platform.pareto import dominance
from platform.pareto.dominance import Values
from platform.pareto.front import Candidate, CandidateKey, Front
from platform.stats import confidence
from platform.stats.confidence import Trainings
from platform.stats.scores import LEAST, EvaluationFacts, Score, interval_to_json, scores_of
from platform.study.criteria import Bound
from platform.study.settings import Objective
from typing import Any

import numpy as np

from trainers.metrics.frechet import Interval

SeedKey = tuple[int, int, int]
"""A training's trial and seed, and the refinement step count at which it is scored."""


@dataclass(frozen=True)
class Finalist:
    """A candidate, confirmed."""

    trial: int
    steps: int
    searched: Mapping[str, float]
    """Objectives as the search saw them."""
    values: Mapping[str, Interval]
    """Mean over ``seeds`` with its 95 % interval over seeds and subjects; bounds are NaN where unknown."""
    fresh: Mapping[str, float]
    """Mean of the new seeds alone; empty without any."""
    seeds: tuple[int, ...]
    """Of the trainings that are averaged."""
    diverged: int
    """Retrainings that gave no scores."""
    nondominated: float
    """Probability that no other finalist truly dominates it."""
    rank: int
    broken: Mapping[str, float] = field(default_factory=dict)
    """Means of the metrics that break an outcome constraint of the study."""

    @property
    def key(self) -> CandidateKey:
        """Trial and step count."""
        return self.trial, self.steps

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = {name: interval_to_json(interval) for name, interval in self.values.items()}
        return {**asdict(self), "values": values}

    def __str__(self) -> str:
        return f"trial {self.trial}, {self.steps} step{'s' if self.steps > 1 else ''}"


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores of every finished training of some candidates on one split."""

    objectives: Sequence[Objective]
    keys: Sequence[CandidateKey]
    retrainings: Retrainings
    scores: Mapping[SeedKey, Mapping[str, Score]]

    @cached_property
    def ordered(self) -> list[CandidateKey]:
        """The candidates trial by trial, as :meth:`groups` numbers them."""
        return [key for trial in trials(self.keys) for key in self.keys if key[0] == trial]

    def seeds(self, trial: int, searched: bool | None = None) -> list[int]:
        """Of a trial's trainings: all, the search's own or the new ones; ``None``: those to rank by."""
        found = [c for c in self.retrainings.checkpoints if c.trial == trial]
        fresh = [c.seed for c in found if not c.searched]
        if searched is None:
            return fresh if len(fresh) > 1 else [c.seed for c in found]
        return [c.seed for c in found if c.searched] if searched else fresh

    def groups(self, searched: bool | None = None) -> list[Trainings]:
        """The trials' trainings as the statistics take them; which ones as :meth:`seeds`."""
        return [
            _group(self, trial, self.seeds(trial, searched))
            for trial in trials(self.keys)
            if self.seeds(trial, searched)
        ]

    @property
    def subjects(self) -> list[int]:
        """Subjects that each objective was judged on; 0: no draws to correct."""
        one = next(iter(self.scores.values()))
        return [one[o.name].subjects for o in self.objectives]

    def intervals(self, searched: bool | None = None) -> dict[CandidateKey, dict[str, Interval]]:
        """Mean and 95 % interval over seeds and subjects, by candidate and objective."""
        mean, low, high = confidence.intervals(self.groups(searched), self.subjects)
        return {
            key: {
                o.name: _interval(o.name, mean[i, j], low[i, j], high[i, j])
                for j, o in enumerate(self.objectives)
            }
            for i, key in enumerate(self.ordered)
        }


def rank(scoring: Scoring, front: Front) -> list[Finalist]:
    """The candidates by their new rank.

    Ranked by the probability of being non-dominated among them, times the share of trainings that did not
    diverge (one that diverges is dominated by all); equal to the percent, by what the mean point alone adds
    to the hypervolume. One whose means break an outcome constraint is on no front, and behind all others.
    """
    groups, directions = scoring.groups(), [o.direction for o in scoring.objectives]
    judged = replace(front, candidates=[_averaged(scoring, key, front.bounds) for key in scoring.ordered])
    kept, chances = judged.feasible, np.zeros(len(scoring.ordered))
    drawn = confidence.worlds(groups, scoring.subjects)[:, kept]
    chances[kept] = confidence.probability_nondominated(drawn, directions)
    survived = np.array([_survived(scoring, trial) for trial, _ in scoring.ordered])
    added = -np.array([judged.total_violation(i) for i in range(len(kept))])
    added[kept] = dominance.contributions(judged.minimised[kept], judged.corner)
    order = confidence.ranks(np.where(kept, chances * survived, -1.0), added)
    known, seen = scoring.intervals(), {(c.trial, c.steps): c.values for c in front.candidates}
    found = [
        Finalist(
            *key,
            searched={o.name: seen[key][o.name] for o in scoring.objectives},
            values=known[key],
            fresh=_fresh(scoring, key),
            seeds=tuple(scoring.seeds(key[0])),
            diverged=scoring.retrainings.diverged[key[0]],
            nondominated=float(chances[i]),
            rank=int(order[i]),
            broken=_broken(judged, judged.candidates[i]),
        )
        for i, key in enumerate(scoring.ordered)
    ]
    return sorted(found, key=lambda finalist: finalist.rank)


def optimism(finalists: Sequence[Finalist], objectives: Sequence[Objective]) -> dict[str, float]:
    """How much better the search saw the finalists than their new seeds are, on average, by objective."""
    fresh = [f for f in finalists if f.fresh]
    signs = {o.name: 1 if o.direction == "minimize" else -1 for o in objectives}
    return {
        name: float(np.mean([sign * (f.fresh[name] - f.searched[name]) for f in fresh]))
        for name, sign in signs.items()
        if fresh
    }


def flat(place: str, values: Mapping[str, Interval]) -> dict[str, float]:
    """Metrics ``3_2/fid``, ``3_2/fid_low`` and ``3_2/fid_high`` of the place ``3_2``, the known ones."""
    found = {f"{place}/{name}": interval.estimate for name, interval in values.items()}
    found |= {f"{place}/{name}_low": interval.low for name, interval in values.items()}
    found |= {f"{place}/{name}_high": interval.high for name, interval in values.items()}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def measured(facts: EvaluationFacts) -> dict[str, Score]:
    """The scores of an evaluation with its cost, which no resampling of subjects changes."""
    pace = facts["costs"].get("seconds_per_volume")
    return scores_of(facts) | ({} if pace is None else {"seconds_per_volume": Score(pace)})


def single(facts: EvaluationFacts, objectives: Sequence[Objective]) -> dict[str, Interval]:
    """An evaluation by itself, its intervals over subjects: for the untouched input."""
    found = measured(facts)
    known = [o for o in objectives if o.name in found]
    if not known:
        return {}
    group = Trainings(*_arrays([[[found[o.name] for o in known]]]))
    ends = confidence.intervals([group], [found[o.name].subjects for o in known])
    return {o.name: _interval(o.name, *(end[0, j] for end in ends)) for j, o in enumerate(known)}


def _group(scoring: Scoring, trial: int, seeds: Sequence[int]) -> Trainings:
    counts = [steps for number, steps in scoring.ordered if number == trial]
    rows = [
        [[scoring.scores[trial, seed, steps][o.name] for o in scoring.objectives] for steps in counts]
        for seed in seeds
    ]
    return Trainings(*_arrays(rows))


def _arrays(rows: Sequence[Sequence[Sequence[Score]]]) -> tuple[Values, Values]:
    """Estimates [S, k, m] and draws [S, R, k, m]; a score without draws has its estimate in each."""
    size = max([1, *(len(score.draws) for seed in rows for count in seed for score in count)])
    estimates = [[[score.estimate for score in count] for count in seed] for seed in rows]
    drawn = [
        [[score.draws or (score.estimate,) * size for score in count] for count in seed] for seed in rows
    ]
    return np.array(estimates, float), np.moveaxis(np.array(drawn, float), 3, 1)


def _averaged(scoring: Scoring, key: CandidateKey, bounds: Sequence[Bound]) -> Candidate:
    """A candidate with its means over the trainings that are ranked by."""
    runs = [scoring.scores[key[0], seed, key[1]] for seed in scoring.seeds(key[0])]
    names = {o.name for o in scoring.objectives} | {b.metric for b in bounds}
    return Candidate(*key, {n: float(np.mean([run[n].estimate for run in runs])) for n in names}, {}, "")


def _broken(front: Front, candidate: Candidate) -> dict[str, float]:
    found = zip(front.bounds, front.violations(candidate), strict=True)
    return {bound.metric: candidate.values[bound.metric] for bound, violation in found if violation > 0}


def _fresh(scoring: Scoring, key: CandidateKey) -> dict[str, float]:
    seeds = scoring.seeds(key[0], searched=False)
    return {
        o.name: float(np.mean([scoring.scores[key[0], seed, key[1]][o.name].estimate for seed in seeds]))
        for o in scoring.objectives
        if seeds
    }


def _survived(scoring: Scoring, trial: int) -> float:
    finished = len(scoring.seeds(trial, searched=False))
    tried = finished + scoring.retrainings.diverged[trial]
    return finished / tried if tried else 1.0


def _interval(name: str, estimate: float, low: float, high: float) -> Interval:
    most = 1.0 if name.startswith("ms_ssim") else np.inf
    least = LEAST.get(name, -np.inf)
    return Interval(float(estimate), float(np.maximum(low, least)), float(np.minimum(high, most)))
