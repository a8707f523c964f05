"""By what a study is judged, fixed at its start and kept in its ``study.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from platform.pareto.front import Bound, Candidate, Front
from platform.pareto.observations import rung
from platform.study.observation import Observation
from platform.study.study import Objective
from typing import Any

Known = Mapping[str, Any]
"""A finished trial of an earlier study: ``params`` and ``scores`` by refinement step count."""


@dataclass(frozen=True)
class Terms:
    """Reference point and bounds, and what was known before the first trial."""

    reference_point: Mapping[str, float]
    bounds: tuple[Bound, ...] = ()
    known: tuple[Known, ...] = ()
    extended_at: int = 0
    """Completed trials when the budget was extended: a plateau is looked for after them."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Terms":
        """What :meth:`plain` gave."""
        return cls(
            plain["reference_point"],
            tuple(Bound(**bound) for bound in plain["bounds"]),
            tuple(plain["known"]),
            plain["extended_at"],
        )

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**vars(self), "bounds": [vars(bound) for bound in self.bounds]}

    def front(self, objectives: Sequence[Objective], candidates: Sequence[Candidate]) -> Front:
        """The candidates judged."""
        return Front(objectives, self.reference_point, candidates, self.bounds)

    def seen(self, objectives: Sequence[Objective]) -> list[Observation]:
        """The known trials, as samplers take them."""
        fronts = [
            self.front(
                objectives,
                [
                    Candidate(-1, int(count), scores, each["params"], "")
                    for count, scores in each["scores"].items()
                ],
            )
            for each in self.known
        ]
        return [
            Observation(each["params"], "completed", (rung(front, 1.0),))
            for each, front in zip(self.known, fronts, strict=True)
        ]
