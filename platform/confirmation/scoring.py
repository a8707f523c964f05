"""Candidates evaluated on one split: their trainings' scores, means and intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from platform.confirmation.retraining import Retrainings, trials
from platform.pareto.dominance import Values
from platform.pareto.front import CandidateKey
from platform.stats import confidence
from platform.stats.confidence import SeedGroup
from platform.stats.scores import EvaluationFacts, Score, measured_on, scores_of
from platform.study.settings import Objective

import numpy as np

from trainers import weights
from trainers.errors import InputError
from trainers.evaluate import Evaluation
from trainers.metrics.frechet import Interval
from trainers.metrics.names import BASELINES, value_range

SeedKey = tuple[int, int, int]
"""A training's trial and seed, and the refinement step count at which it is scored."""

Tasks = Mapping[SeedKey | str, Evaluation]
"""Evaluations of trainings, and of the baselines by their names, on one split."""


@dataclass(frozen=True)
class Places:
    """What evaluations open; where all are done, nothing is."""

    cohort: Path = Path()
    references: Path = Path()
    bound: Path | None = None
    """Of the supervised bound, where there is one."""


def evaluations(
    keys: Sequence[CandidateKey],
    retrainings: Retrainings,
    places: Places,
    folder: Path,
    split: str,
    measures: int,
) -> Tasks:
    """Every finished training at the requested step counts, and the baselines, on one split.

    The results are kept in ``folder``. ``measures``: their version; with the first there was one baseline.
    """
    baselines = BASELINES if measures > 1 else ("input",)
    opened = places.cohort, places.references
    tasks: dict[SeedKey | str, Evaluation] = {
        name: Evaluation(name, 1, *opened, folder / name, split, measures, places.bound) for name in baselines
    }
    for checkpoint in retrainings.checkpoints:
        for steps in (steps for trial, steps in keys if trial == checkpoint.trial):
            results_folder = folder / f"trial-{checkpoint.trial:05d}-seed-{checkpoint.seed}-steps-{steps}"
            key = checkpoint.trial, checkpoint.seed, steps
            tasks[key] = Evaluation(checkpoint.path, steps, *opened, results_folder, split, measures)
    return tasks


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

    @classmethod
    def read(
        cls,
        objectives: Sequence[Objective],
        keys: Sequence[CandidateKey],
        retrainings: Retrainings,
        tasks: Tasks,
    ) -> "Scoring":
        """From what the evaluations published; raises InputError where an objective was not measured."""
        scores: dict[SeedKey, Mapping[str, Score]] = {}
        for key, task in tasks.items():
            if isinstance(key, tuple):
                scores[key] = scores_with_cost(weights.verify(task.folder))
                if missing := [o.name for o in objectives if o.name not in scores[key]]:
                    reason = f"{', '.join(missing)} was not measured on the {task.split} split"
                    allowed = "a cohort whose subjects allow it, under another --name"
                    raise InputError(f"{task.folder}: {reason}; allowed: {allowed}")
        return cls(objectives, keys, retrainings, scores)

    def seeds(self, trial: int, searched: bool | None = None) -> list[int]:
        """Of a trial's trainings: the search's own, the new ones, or by default those to rank by."""
        finished = [c for c in self.retrainings.checkpoints if c.trial == trial]
        new = [c.seed for c in finished if not c.searched]
        if searched is None:
            return new if len(new) > 1 else [c.seed for c in finished]
        return [c.seed for c in finished if c.searched] if searched else new

    def groups(self, searched: bool | None = None) -> list[SeedGroup]:
        """The trials' trainings for the statistics; which ones as in :meth:`seeds`."""
        return [
            _group(self, trial, self.seeds(trial, searched))
            for trial in trials(self.keys)
            if self.seeds(trial, searched)
        ]

    @property
    def subjects(self) -> list[int]:
        """On how many subjects each objective was measured, the fewest; 0: no draws to correct."""
        return [min(of[o.name].subjects for of in self.scores.values()) for o in self.objectives]

    @property
    def measured(self) -> dict[str, str]:
        """``3 of 16 subjects``, by objective, for those that not all subjects of the split have."""
        found = {o.name: measured_on(of[o.name] for of in self.scores.values()) for o in self.objectives}
        return {name: text for name, text in found.items() if text}

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


def scores_with_cost(facts: EvaluationFacts) -> dict[str, Score]:
    """The scores of an evaluation with its cost, which no resampling of subjects changes."""
    seconds = facts["costs"].get("seconds_per_volume")
    return scores_of(facts) | ({} if seconds is None else {"seconds_per_volume": Score(seconds)})


def baseline_intervals(tasks: Tasks, objectives: Sequence[Objective]) -> dict[str, dict[str, Interval]]:
    """Of each baseline that the cohort has, over subjects."""
    folders = {name: tasks[name].folder for name in BASELINES if name in tasks}
    found = {name: subject_intervals(weights.verify(folder), objectives) for name, folder in folders.items()}
    return {name: intervals for name, intervals in found.items() if intervals}


def subject_intervals(facts: EvaluationFacts, objectives: Sequence[Objective]) -> dict[str, Interval]:
    """Of one evaluation, over subjects."""
    scores = scores_with_cost(facts)
    known = [o for o in objectives if o.name in scores]
    if not known:
        return {}
    group = SeedGroup(*_arrays([[[scores[o.name] for o in known]]]))
    ends = confidence.intervals([group], [scores[o.name].subjects for o in known])
    return {o.name: _interval(o.name, *(end[0, j] for end in ends)) for j, o in enumerate(known)}


def _group(scoring: Scoring, trial: int, seeds: Sequence[int]) -> SeedGroup:
    counts = [steps for number, steps in scoring.ordered if number == trial]
    rows = [
        [[scoring.scores[trial, seed, steps][o.name] for o in scoring.objectives] for steps in counts]
        for seed in seeds
    ]
    return SeedGroup(*_arrays(rows))


def _arrays(rows: Sequence[Sequence[Sequence[Score]]]) -> tuple[Values, Values]:
    """Estimates [S, k, m] and draws [S, R, k, m]; a score without draws has its estimate in each."""
    size = max([1, *(len(score.draws) for seed in rows for count in seed for score in count)])
    estimates = [[[score.estimate for score in count] for count in seed] for seed in rows]
    drawn = [
        [[score.draws or (score.estimate,) * size for score in count] for count in seed] for seed in rows
    ]
    return np.array(estimates, float), np.moveaxis(np.array(drawn, float), 3, 1)


def _interval(name: str, estimate: float, low: float, high: float) -> Interval:
    least, most = value_range(name)  # draws that are moved to their estimate may leave it
    return Interval(float(estimate), float(np.maximum(low, least)), float(np.minimum(high, most)))
