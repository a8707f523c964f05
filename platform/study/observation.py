"""What samplers and schedulers observe: the search space, and the trials with their results so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from platform.study.dimensions import Dimension
from typing import Any, Literal

State = Literal["running", "paused", "completed", "failed"]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions to search, and what a sampler needs to know besides."""

    dimensions: tuple[Dimension, ...]
    reference: tuple[float, ...]
    """The hypervolume's reference point, every objective minimised."""
    trials: int
    """Number of trials that the study proposes in all."""
    seed: int
    refusal: Callable[[Params], str] = lambda params: ""
    """Why a method's Config does not accept parameters; empty where it does."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A trial's result after a share of its training."""

    share: float
    """In (0, 1]."""
    values: tuple[float, ...]
    """Objectives, minimised."""
    violations: tuple[float, ...] = ()
    """By how much each outcome constraint is violated; satisfied at 0 or below."""

    @property
    def feasible(self) -> bool:
        """Whether every outcome constraint is satisfied."""
        return all(violation <= 0 for violation in self.violations)


class Observed(dict[int, "Observation"]):
    """Observations by trial, and how many results they have: rungs and ends."""

    results = 0

    def __setitem__(self, number: int, observation: "Observation") -> None:
        """Add or replace a trial's."""
        before = self.get(number)
        self.results += observation.results - (before.results if before else 0)
        super().__setitem__(number, observation)


@dataclass(frozen=True, slots=True)
class Observation:
    """A trial with its results so far."""

    params: Params
    state: State
    rungs: tuple[Rung, ...] = ()
    """In the order of their shares."""
    memory: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler stored with the proposal."""

    @property
    def results(self) -> int:
        """Its rungs, and its end."""
        return len(self.rungs) + (self.state != "running")

    @property
    def last(self) -> Rung | None:
        """The newest rung."""
        return self.rungs[-1] if self.rungs else None
