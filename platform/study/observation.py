"""What samplers and schedulers observe: the space, and the trials as far as they have come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from platform.study.dimensions import Dimension
from typing import Any, Literal

State = Literal["running", "paused", "completed", "failed"]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class SearchSpace:
    """Where to search, and by what measure."""

    dimensions: tuple[Dimension, ...]
    reference: tuple[float, ...]
    """The hypervolume's corner, every objective minimised."""
    trials: int
    """How many are to be proposed in all."""
    seed: int
    refusal: Callable[[Params], str] = lambda params: ""
    """Why a point cannot be trained; empty where it can."""


@dataclass(frozen=True)
class Rung:
    """A trial's standing after a share of its training."""

    share: float
    """In (0, 1]."""
    values: tuple[float, ...]
    """Objectives, minimised."""
    violations: tuple[float, ...] = ()
    """By how much each outcome constraint is broken; kept at 0 or below."""

    @property
    def feasible(self) -> bool:
        """Whether every outcome constraint is kept."""
        return all(violation <= 0 for violation in self.violations)


@dataclass(frozen=True)
class Observation:
    """A trial as far as it has come."""

    params: Params
    state: State
    rungs: tuple[Rung, ...] = ()
    """In the order of their shares."""
    memory: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler noted when it proposed the point."""

    @property
    def last(self) -> Rung | None:
        """The newest rung."""
        return self.rungs[-1] if self.rungs else None
