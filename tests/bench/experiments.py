"""The runs of each table: problems, contenders, trials and budgets."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.foreign import halvings, samplers
from tests.bench.lineup import (
    AUTO,
    FORECAST,
    HALVED,
    LIMITS,
    NO_STOPPING,
    RAW,
    SAMPLERS,
    TPE,
    chosen,
    entries,
    problems,
)

THIRD = 1 / 3
HALF = 0.5
"""Share of plain TPE's cost until which searches with halving are run."""


@dataclass(frozen=True)
class Job:
    """A run: its results follow from these values, apart from its seconds."""

    problem: str
    contender: str
    seed: int
    trials: int
    budget: float = math.inf


@dataclass(frozen=True)
class Scale:
    """How much is run."""

    seeds: int
    counts: tuple[int, ...] = (50, 100, 200)
    """Trials after which searches at full fidelity are compared."""
    configurations: int = 81
    """Full trainings of plain TPE, and the random configurations that stopping rules share."""
    quick: bool = False
    """Only some problems and no slow contenders."""


QUICK = Scale(2, (8, 16), 18, True)
FAMILIES = ("zdt", "dtlz", "wfg", "hpo")
LEARNING = {"B": ("fidelity",), "C": ("recorded", "surrogate")}
"""Families with learning curves, by the letter of their tables: 1 of stopping rules, 2 of searches."""
SOME = ("zdt1", "dtlz2", "wfg4", "hpo", "hpo-fidelity", "zdt1-fidelity", "recorded", "surrogate")
WHOLE = (TPE, "Ray OptunaSearch", NO_STOPPING, "Syne Tune MO-REA, 16", "ours gp")
"""Compared with searches that use halving: each trial is trained to its end."""
HALVING = ("Syne Tune MOASHA", "Syne Tune MOASHA, mended", "ours tpe + halving", HALVED)


def of_family(scale: Scale, *families: str) -> list[str]:
    """Problems by name."""
    found = [name for name, problem in problems().items() if problem.family in families]
    return [name for name in found if not scale.quick or name in SOME]


def searchers(scale: Scale) -> list[str]:
    """Contenders of table A."""
    names = [AUTO, *(f"ours {kind}" for kind in SAMPLERS), *samplers()]
    return [name for name in names if not scale.quick or name not in LIMITS]


def rules() -> list[str]:
    """Contenders that share their configurations."""
    return [*halvings(), RAW, FORECAST]


def has_pool(problem: str) -> bool:
    """Whether only some configurations can be tried."""
    return getattr(problems()[problem], "pool", None) is not None


def full_cost(problem: str, trials: int) -> float:
    """Cost of training so many trials to their end."""
    return trials * problems()[problem].levels[-1]


def configurations(problem: str, scale: Scale) -> int:
    """How many there are: a pool may have fewer."""
    pool = getattr(problems()[problem], "pool", None)
    return scale.configurations if pool is None else min(len(pool), scale.configurations)


def searched(problem: str, contender: str, count: int, seed: int, scale: Scale) -> Job | None:
    """The run whose first ``count`` trials are the contender's; None beyond its seeds or trials.

    Only ``auto`` may act differently for another number of trials; where it is another contender, it shares
    that one's run.
    """
    if contender == AUTO:
        contender = chosen(problems()[problem], count)
    entry = entries()[contender]
    if seed >= entry.seeds or count > entry.trials:
        return None
    trials = count if contender == AUTO else min(max(scale.counts), entry.trials)
    return Job(problem, contender, seed, trials)


def ruled(problem: str, contender: str, seed: int, scale: Scale) -> Job:
    """A stopping rule on the common configurations."""
    return Job(problem, contender, seed, configurations(problem, scale))


def equal(problem: str, contender: str, seed: int, scale: Scale) -> Job:
    """A stopping rule with any number of configurations, until a third of the cost of training all."""
    if contender == NO_STOPPING:
        return ruled(problem, contender, seed, scale)
    cost = full_cost(problem, scale.configurations)
    return Job(problem, contender, seed, 9 * scale.configurations, THIRD * cost)


def raced(problem: str, contender: str, seed: int, scale: Scale) -> Job:
    """A search with the budget of plain TPE; with halving half of it and more trials than it can afford.

    Ours plan for a given number of trials; others stop more of theirs, and need more.
    """
    if contender in WHOLE:
        return Job(problem, contender, seed, scale.configurations)
    cost, foreign = full_cost(problem, scale.configurations), contender in halvings()
    return Job(problem, contender, seed, (9 if foreign else 3) * scale.configurations, HALF * cost)


def racers() -> list[str]:
    """Contenders of table B2 whose libraries are installed."""
    return [name for name in (*WHOLE, *HALVING) if name in entries()]


def jobs(only: Sequence[str], scale: Scale) -> list[Job]:
    """All runs of the tables named, without repetition, by seed; those of slow contenders last."""
    found = {job: None for seed in range(scale.seeds) for job in _of_seed(only, seed, scale)}
    return sorted(found, key=lambda job: job.contender in LIMITS)


def _of_seed(only: Sequence[str], seed: int, scale: Scale) -> Iterator[Job]:
    if "A" in only:
        for problem in of_family(scale, *FAMILIES):
            for name in searchers(scale):
                for count in scale.counts:
                    if job := searched(problem, name, count, seed, scale):
                        yield job
    for letter, families in LEARNING.items():
        for problem in of_family(scale, *families):
            pool = has_pool(problem)
            if f"{letter}1" in only:
                yield from (ruled(problem, name, seed, scale) for name in rules())
                yield from (equal(problem, name, seed, scale) for name in rules() if not pool)
            if f"{letter}2" in only and not pool:
                yield from (raced(problem, name, seed, scale) for name in racers())
