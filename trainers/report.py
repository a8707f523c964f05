"""What a trial reports at a rung: one form for the training loop, the ledger and the front."""

import functools
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

Scores = Mapping[int, Mapping[str, float]]
"""Validation scores by refinement step count, then by metric."""

OTHER_NAMES = {"ent": "w_ent", "cycle": "lambda_A", "back_cycle": "lambda_B"}
"""Settings that weight a term of another name."""
SHARE = "share_"
"""Before a term's name in ``losses``: its share of the gradient at the generator's output."""


@dataclass(frozen=True, slots=True)
class Report:
    """A rung: validation per refinement step count, losses since the last rung, cost and checkpoint."""

    step: int
    steps: int
    scores: Scores
    losses: Mapping[str, float]
    seconds: float
    """Training and validation since the last report."""
    checkpoint: str
    training_seconds: float = 0.0
    """Training alone."""
    measures: int = 1
    """Version of the measures that the scores are of; reports before version 2 do not name it."""

    @property
    def done(self) -> bool:
        """Whether this was the last rung."""
        return self.step >= self.steps

    @property
    def most_refined(self) -> Mapping[str, float]:
        """The scores at the most refinement steps."""
        return self.scores[max(self.scores)]

    def to_json(self) -> dict[str, Any]:
        """Plain values; refinement step counts are text, as JSON's keys are."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"scores": scores_to_json(self.scores), "losses": dict(self.losses)}
        return {key: value for key, value in values.items() if (key, value) != ("measures", 1)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Report":
        """The report that :meth:`to_json` gave."""
        return cls(**{**values, "scores": scores_from_json(values["scores"])})


def scores_to_json(scores: Scores) -> dict[str, dict[str, float]]:
    """Scores as JSON has them."""
    return {str(count): dict(values) for count, values in scores.items()}


def scores_from_json(scores: Mapping[str, Mapping[str, float]]) -> Scores:
    """The scores that :func:`scores_to_json` gave."""
    return CompactScores({int(count): values for count, values in scores.items()})


class CompactScores(Mapping[int, Mapping[str, float]]):
    """Scores in one array, as a study may have tens of thousands of reports."""

    __slots__ = ("_counts", "_names", "_values")

    def __init__(self, scores: Scores) -> None:
        """Every refinement step count has the scores of the same names; else KeyError."""
        names = tuple(next(iter(scores.values()), ()))
        self._counts, self._names = _shared(tuple(scores)), _shared(names)
        self._values = array("d", [values[name] for values in scores.values() for name in names])

    def __getitem__(self, count: int) -> dict[str, float]:
        """The scores at a refinement step count."""
        if count not in self._counts:
            raise KeyError(count)
        size = len(self._names)
        start = self._counts.index(count) * size
        return dict(zip(self._names, self._values[start : start + size], strict=True))

    def __iter__(self) -> Iterator[int]:
        """Refinement step counts."""
        return iter(self._counts)

    def __len__(self) -> int:
        """How many refinement step counts."""
        return len(self._counts)

    def __repr__(self) -> str:
        """As of a dictionary."""
        return repr(dict(self))


@functools.cache
def _shared(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """One object for all equal tuples."""
    return values


def weight_of(share: str) -> str:
    """The setting that weights the term of a share: ``lambda_DMD`` of ``share_G_DMD``."""
    term = share.removeprefix(SHARE)[len("G_") :]
    return OTHER_NAMES.get(term, f"lambda_{term}")
