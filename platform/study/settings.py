"""The parts of a study: objectives, constraints, scheduler, cohort, resources."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from trainers.config import FieldError, Range


@dataclass(frozen=True)
class Objective:
    """A metric and its natural direction, "minimize" or "maximize"."""

    name: str
    direction: str


@dataclass(frozen=True)
class Constraint:
    """The least ("min") or greatest ("max") value of a metric; "input" is the untouched input's value."""

    metric: str
    bound: Literal["min", "max"]
    value: float | Literal["input"]

    def __str__(self) -> str:
        sign = ">=" if self.bound == "min" else "<="
        value = "the input's" if self.value == "input" else f"{self.value:g}"
        return f"{self.metric} {sign} {value}"


DEFAULT_RUNGS = 3
"""Rungs below a trial's end where the space sets no grace."""


SAMPLERS = ("auto", "tpe", "nsga3", "gp", "sobol", "random", "grid")
"""The names of samplers, the default first."""
SchedulerName = Literal["none", "asha"]


@dataclass(frozen=True)
class Scheduler:
    """Whether and how poor trials end early. Steps are the trial's own optimiser steps."""

    name: SchedulerName = "none"
    grace: Annotated[int, Range(0, 10**8)] = 0
    """Steps of the first rung; 0: the default."""
    reduction: Annotated[int, Range(2, 16)] = 3
    """Ratio of the steps of successive rungs; the larger it is, the fewer trials continue from one."""
    brackets: Annotated[int, Range(1, 8)] = 1
    """Sequences of rungs that trials are assigned to, each starting one rung later than the one before."""
    min_results: Annotated[int, Range(0, 10**6)] = 0
    """Results on a rung before any trial may end there; 0: as many as the reduction."""

    @property
    def least_results(self) -> int:
        """Results on a rung before any trial may end there, the default put in."""
        return self.min_results or self.reduction

    def rungs(self, steps: int) -> tuple[int, ...]:
        """Rungs of a trial of ``steps`` in the first bracket, with its end; the end only without a scheduler.

        By default there are three rungs below the end; ``grace`` sets the lowest one.
        """
        if self.name == "none":
            return (steps,)
        if not self.grace:
            return tuple(sorted({max(1, round(steps / self.reduction**i)) for i in range(DEFAULT_RUNGS + 1)}))
        below = (self.grace * self.reduction**i for i in range(steps.bit_length()))
        return (*(rung for rung in below if rung < steps), steps)


@dataclass(frozen=True)
class CohortChoice:
    """A cohort's source and its configuration, an instance of that source's class."""

    source: str
    config: Any


@dataclass(frozen=True)
class Recovery:
    """What a study does against faults."""

    save_minutes: Annotated[float, Range(0, 10**5)] = 10.0
    """How often a trial saves its state between rungs: what a fault costs it at most."""
    hang_minutes: Annotated[float, Range(0, 10**5)] = 0.0
    """Without progress for so long a trial's process is ended and started again; 0: by its own pace."""
    retries: Annotated[int, Range(0, 1000)] = 1
    """How often a trial is tried again after an exception of its own code."""
    give_up_minutes: Annotated[float, Range(0, 10**5)] = 60.0
    """How long a fault of the environment may last before the study ends, to be resumed."""

    @property
    def patience(self) -> float:
        """Seconds that a fault of the environment may last."""
        return 60 * self.give_up_minutes


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources of one trial; ``cpus`` and ``gpus`` are shared among its ``workers``."""

    cpus: Annotated[int, Range(1, 1024)] = 1
    gpus: Annotated[float, Range(0, 1024)] = 0.0
    """A fraction lets several trials of one worker share a GPU; its memory is not divided."""
    concurrent: Annotated[int, Range(0, 100_000)] = 0
    """Trials at a time; 0: as many as fit."""
    workers: Annotated[int, Range(1, 1024)] = 1
    """Processes that train one trial together."""

    def __post_init__(self) -> None:
        """Raises FieldError unless several workers have one GPU each or none, a single one at most one."""
        if self.workers == 1 and self.gpus > 1:
            raise FieldError(
                "gpus",
                self.gpus,
                f"0 to 1 for 1 worker; a process uses one GPU, so set workers: {self.gpus:g}",
            )
        if self.workers > 1 and self.gpus not in (0, self.workers):
            raise FieldError(
                "gpus", self.gpus, f"0 or {self.workers}, one for each of the {self.workers} workers"
            )
