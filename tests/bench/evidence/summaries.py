"""What a comparison tells, small enough to be kept when its trainings are gone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.stats.scores import scores_of
from typing import Any

from tests.bench.evidence import effects, variation
from tests.bench.evidence.effects import METRICS
from tests.bench.evidence.results import Scores, Trained
from tests.bench.evidence.searches import OBJECTIVES
from trainers import weights

SPLITS = ("test", "shifted")
Values = Mapping[str, tuple[float, float, float]]
"""Of an effect: a mean difference and its interval, by metric."""


def field(trained: Sequence[Trained], name: str) -> dict[str, Any]:
    """What a searched field changes over its range, and how its trainings deviate by seed: to be kept."""
    (found,) = effects.effects(effects.fields(trained, [name], effects.chosen("test")))
    groups = {m: variation.by_system(trained, m) for m in OBJECTIVES}
    deviating = {m: variation.squares([[s.estimate for s in g] for g in groups[m]]) for m in OBJECTIVES}
    seeds = len({each.seed for each in trained})
    return {"seeds": seeds, "values": found.values, "squares": deviating}


def added(trained: Sequence[Trained], comparison: Path) -> dict[str, dict[str, Values]]:
    """By split and system, what the trainings change against the untouched input."""
    names = list(dict.fromkeys(each.system for each in trained))
    found = {}
    for split in SPLITS:
        baseline = _input(comparison, split)
        against = effects.effects(effects.against(trained, baseline, split, names))
        found[split] = {effect.name: effect.values for effect in against}
    return found


def tuned(trained: Sequence[Trained], comparison: Path) -> dict[str, Any]:
    """What the one system of a comparison changes against the untouched input: to be kept."""
    values = {split: found for split, each in added(trained, comparison).items() for found in each.values()}
    return {"seeds": len(trained), "added": values, "input": inputs(comparison)}


def inputs(comparison: Path) -> dict[str, dict[str, float]]:
    """The untouched input's scores by split and metric."""
    return {split: {m: _input(comparison, split)[m].estimate for m in METRICS} for split in SPLITS}


def _input(comparison: Path, split: str) -> Scores:
    """The untouched input's scores."""
    place = comparison / "results" / ("" if split == "test" else split)
    return scores_of(weights.verify(place / "input"))
