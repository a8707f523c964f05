"""For tests: results of systems."""

from collections.abc import Mapping
from platform.stats.scores import Score, SystemResult
from typing import Any


def result(name: str, *seeds: Mapping[str, float | Score], label: str = "", **more: Any) -> SystemResult:
    """Metric to value or score, one mapping a seed; the label is by default the name."""
    scores = [{m: v if isinstance(v, Score) else Score(v) for m, v in seed.items()} for seed in seeds]
    return SystemResult(name, label or name, tuple(scores), **more)
