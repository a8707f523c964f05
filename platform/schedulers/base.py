"""What a scheduler is: results at rungs in, which trials continue out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from platform.pareto.dominance import Values
from platform.pareto.observations import RungResult
from platform.schedulers.ranking import Ranked


class Results(dict[int, RungResult]):
    """A level's results by trial; the feasible ones are ranked."""

    def __init__(self, results: Mapping[int, RungResult] | None = None) -> None:
        super().__init__()
        self._ranked, self._violations = Ranked(), dict[int, float]()
        for trial, result in (results or {}).items():
            self.add(trial, result)

    def add(self, trial: int, result: RungResult) -> None:
        """Add a trial's result; its first one stays."""
        if trial in self:
            return
        self[trial] = result
        if result.violation > 0:
            self._violations[trial] = result.violation
        else:
            self._ranked.add(trial, result.points)

    def without(self, trial: int) -> "Results":
        """The results of the other trials."""
        if trial not in self:
            return self
        return Results({other: result for other, result in self.items() if other != trial})

    def best(
        self, keep: int, most: int, without: AbstractSet[int], reference: Values, forecast: bool
    ) -> list[int]:
        """Of the ``keep`` best trials the first ``most`` that are not in ``without``, best first.

        Feasible ones by :meth:`Ranked.best`, then the others by their violations.
        """
        found = self._ranked.best(keep, most, without, reference, forecast)
        rest = sorted(self._violations, key=lambda trial: (self._violations[trial], trial))
        found += [trial for trial in rest[: max(0, keep - len(self._ranked))] if trial not in without]
        return found[:most]


@dataclass
class RungScheduler(ABC):
    """Trials wait at levels until they are among the survivors there.

    All decisions follow from the results and from which trials continued: there is no other state to lose.
    """

    levels: tuple[int, ...]
    """Steps at which trials wait, ascending, all before the end of training."""
    trials: int
    """How many trials are expected in all."""
    reference: Values
    """The study's reference point [m], minimised."""
    reduction: int = 3
    brackets: int = 1
    min_results: int = 3
    """At a level with fewer results every trial continues."""
    results: dict[int, Results] = field(default_factory=dict)
    """By level, by trial."""
    passed: dict[int, set[int]] = field(default_factory=dict)
    """By level, the trials that continued beyond it."""
    forecasts: Mapping[int, Values] = field(default_factory=dict)
    """Points [k, m] that trials are expected to reach at the end of their training."""
    _found: dict[int, tuple[Mapping[int, Values], list[int]]] = field(default_factory=dict)
    """By level, its survivors with the forecasts that they were found by, until something changes there."""

    @abstractmethod
    def survivors(self, level: int) -> list[int]:
        """The trials that may continue by a level's results and have not continued yet, best first."""

    def _survivors(self, level: int) -> list[int]:
        if level not in self._found or self._found[level][0] is not self.forecasts:
            self._found[level] = self.forecasts, self.survivors(level)
        return self._found[level][1]

    def level_at(self, step: int) -> int | None:
        """The highest level that a trial at this step has reached."""
        return max((level for level in self.levels if level <= step), default=None)

    def reported(self, trial: int, step: int, result: RungResult) -> None:
        """Add a result to the highest level reached; the first result of a trial at a level stays."""
        level = self.level_at(step)
        self._found.clear()
        if level is not None:
            if not self.passes_freely(trial, level):
                self.results.setdefault(level, Results()).add(trial, result)
            for below in self.levels[: self.levels.index(level)]:
                self.passed.setdefault(below, set()).add(trial)

    def continued(self, trial: int, step: int) -> None:
        """A trial trains beyond its step."""
        for level in self.levels:
            if level <= step:
                self._found.pop(level, None)
                self.passed.setdefault(level, set()).add(trial)

    def failed(self, trial: int) -> None:
        """Remove a failed trial: no other is compared with it, and it occupies no place."""
        self._found.clear()
        for level in self.levels:
            if level in self.results:
                self.results[level] = self.results[level].without(trial)
            self.passed.get(level, set()).discard(trial)

    def continues(self, trial: int, step: int) -> bool:
        """Whether a trial that has reported at this step is to train on now."""
        level = self.level_at(step)
        if level is None or trial in self.passed.get(level, ()):
            return True
        return self.passes_freely(trial, level) or trial in self._survivors(level)

    def passes_freely(self, trial: int, level: int) -> bool:
        """Whether a trial passes a level without waiting, and is not compared there; by default none does."""
        return False

    def next_to_resume(self, paused: Mapping[int, AbstractSet[int]]) -> int | None:
        """Of the trials that wait at each level the one to resume: of the highest level, its best first."""
        for level in reversed(self.levels):
            for trial in self._survivors(level) if paused.get(level) else ():
                if trial in paused[level]:
                    return trial
        return None

    def expected_share(self, steps: int) -> float:
        """Share of all training to ``steps`` that is expected to be done; 1 by default."""
        return 1.0
