"""The bench's tables: means with 95 % intervals over seeds, medians with quartiles."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import t as student

from tests.bench import experiments as plan
from tests.bench.experiments import Job, Scale
from tests.bench.lineup import (
    AUTO,
    FORECAST,
    HALVED,
    LIMITS,
    NO_STOPPING,
    RANDOM,
    TPE,
    UNLIMITED,
    entries,
    problems,
)
from tests.bench.simulator import Run

Runs = Mapping[Job, Run]
SEEDS, SECONDS = "seeds", ("s/proposal", "p95")


@dataclass(frozen=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """As GitHub shows it."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")


def full_fidelity(runs: Runs, scale: Scale) -> list[Table]:
    """A table for each family, then ``auto`` compared with the best other and with random."""
    shares = {f: _family(runs, scale, f) for f in plan.FAMILIES}
    tables = [_family_table(family, shares[family], runs, scale) for family in plan.FAMILIES]
    rows = []
    for family in plan.FAMILIES:
        cells = []
        for count in scale.counts:
            (best, name), (random, _) = (_against(shares[family], count, other) for other in (True, False))
            cells += [f"{best:.3f} ({name})", f"{random:.3f}"]
        rows.append((family, *cells))
    columns = [f"{what}, {count}" for count in scale.counts for what in ("best other", "random")]
    note = "Ratios of mean hypervolumes over the seeds that both have; target: >= 0.98 of the best, >= 1."
    return [*tables, Table("A. auto against the best other and random", ("family", *columns), (*rows,), note)]


Volumes = dict[tuple[str, int], dict[int, float]]
"""By contender and trials, by seed: the mean over a family's problems of the share of the front's volume."""


def _family(runs: Runs, scale: Scale, family: str) -> Volumes:
    found: Volumes = {}
    names = plan.of_family(scale, family)
    for contender in plan.searchers(scale):
        for count in scale.counts:
            for seed in range(scale.seeds):
                jobs = [plan.searched(name, contender, count, seed, scale) for name in names]
                ran = [job for job in jobs if job and job in runs]
                if len(ran) == len(names):
                    shares = [runs[job].after(count) / problems()[job.problem].front_volume for job in ran]
                    found.setdefault((contender, count), {})[seed] = float(np.mean(shares))
    return found


def _family_table(family: str, volumes: Volumes, runs: Runs, scale: Scale) -> Table:
    rows = []
    for contender in plan.searchers(scale):
        shares = [volumes.get((contender, count), {}) for count in scale.counts]
        if any(shares):
            seeds = str(max(len(share) for share in shares))
            cells = (interval(list(share.values())) for share in shares)
            rows.append((contender, *cells, seeds, *_seconds(runs, scale, contender, family)))
    columns = (*(f"{count} trials" for count in scale.counts), SEEDS, *SECONDS)
    note = ", ".join(plan.of_family(scale, family))
    note = f"Share of the true front's hypervolume, mean and 95 % interval over seeds; {note}; 4 workers."
    return Table(f"A. {family}", ("sampler", *columns), tuple(rows), note)


def _seconds(runs: Runs, scale: Scale, contender: str, family: str) -> tuple[str, str]:
    jobs = [
        plan.searched(name, contender, scale.counts[0], seed, scale)
        for name in plan.of_family(scale, family)
        for seed in range(scale.seeds)
    ]
    return _durations([second for job in jobs if job and job in runs for second in runs[job].proposing])


def _durations(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and 95 % quantile."""
    if not seconds:
        return "-", "-"
    middle, high = np.quantile(seconds, [0.5, 0.95])
    return f"{middle:.3f}", f"{high:.3f}"


def _against(volumes: Volumes, count: int, best: bool) -> tuple[float, str]:
    """The ratio of ``auto`` to the best other, or to random, over common seeds; that other's name.

    A contender with exactly the same values is the one that ``auto`` has chosen.
    """
    own, ratios = volumes.get((AUTO, count), {}), {}
    for (name, trials), theirs in volumes.items():
        common = sorted(set(own) & set(theirs))
        if trials == count and theirs != own and common and (best or name == RANDOM):
            ratios[name] = sum(own[s] for s in common) / sum(theirs[s] for s in common)
    return min(((ratio, name) for name, ratio in ratios.items()), default=(math.nan, "none"))


def stopping(runs: Runs, scale: Scale, letter: str, families: Sequence[str]) -> list[Table]:
    """Rules on the same configurations, each compared with training all of them."""
    columns = ("rule", "hypervolume", "cost", "completed", "at equal cost", SEEDS)
    note = (
        "Shares of no stopping's final hypervolume and cost, median [quartiles] over seeds; equal cost: a"
        " third of no stopping's, with more configurations where a rule has not spent it."
    )
    found = []
    for problem in plan.of_family(scale, *families):
        rows = tuple(_stopped(runs, scale, problem, rule) for rule in plan.rules())
        title = f"{letter}1. {problem}, {plan.configurations(problem, scale)} configurations"
        found.append(Table(title, columns, rows, note))
    return found


def _stopped(runs: Runs, scale: Scale, problem: str, rule: str) -> tuple[str, ...]:
    found = spared(runs, scale, problem, rule)
    done = f"{np.median(found.completed):.0f}" if found.completed else "-"
    columns = found.volumes, found.costs, found.equals
    volume, cost, equal = map(quartiles, columns)
    return rule, volume, cost, done, equal, str(len(found.volumes))


@dataclass(frozen=True)
class Spared:
    """Results of a stopping rule, by seed, as shares of no stopping's."""

    volumes: list[float]
    costs: list[float]
    completed: list[int]
    equals: list[float]
    """Hypervolume at a third of no stopping's cost."""


def spared(runs: Runs, scale: Scale, problem: str, rule: str) -> Spared:
    """Of all seeds that were run."""
    found = Spared([], [], [], [])
    for seed, run, base in _both(runs, scale, partial(plan.ruled, problem), rule, NO_STOPPING):
        volume = base.at(math.inf)
        found.volumes.append(run.at(math.inf) / volume)
        found.costs.append(run.cost / base.cost)
        found.completed.append(len(run.costs))
        same = plan.equal(problem, rule, seed, scale)
        if same in runs:
            found.equals.append(runs[same].at(plan.THIRD * base.cost) / volume)
    return found


def _both(
    runs: Runs, scale: Scale, job: Callable[[str, int, Scale], Job], name: str, against: str
) -> Iterator[tuple[int, Run, Run]]:
    """Seed, a contender's run and the run of its baseline, for all seeds that both have run."""
    for seed in range(scale.seeds):
        own, base = (job(contender, seed, scale) for contender in (name, against))
        if own in runs and base in runs:
            yield seed, runs[own], runs[base]


def racing(runs: Runs, scale: Scale, letter: str, families: Sequence[str]) -> list[Table]:
    """Searches compared with plain TPE, by cost."""
    columns = ("search", "at a third", "at the whole cost", "cost to TPE's end", SEEDS, *SECONDS)
    note = (
        "Hypervolume as a share of plain TPE's after its last trial; cost at which that is reached, as a"
        " share of TPE's; median [quartiles] over seeds. Those with halving are run until half of TPE's cost."
    )
    found = []
    for problem in plan.of_family(scale, *families):
        if not plan.has_pool(problem):
            rows = tuple(_raced(runs, scale, problem, name) for name in plan.racers())
            title = f"{letter}2. {problem}, TPE's {scale.configurations} trainings"
            found.append(Table(title, columns, rows, note))
    return found


def _raced(runs: Runs, scale: Scale, problem: str, name: str) -> tuple[str, ...]:
    found = race(runs, scale, problem, name)
    ended = quartiles(found.whole) if name in plan.WHOLE else "-"
    third, reached = quartiles(found.third), quartiles(found.reached)
    return name, third, ended, reached, str(len(found.third)), *_durations(found.seconds)


@dataclass(frozen=True)
class Race:
    """Results of a search, by seed, as shares of plain TPE's."""

    third: list[float]
    """Hypervolume at a third of the cost."""
    whole: list[float]
    reached: list[float]
    """Cost at which TPE's hypervolume was reached."""
    seconds: list[float]
    """Of all proposals."""


def race(runs: Runs, scale: Scale, problem: str, name: str) -> Race:
    """Of all seeds that were run."""
    found = Race([], [], [], [])
    cost = plan.full_cost(problem, scale.configurations)
    for _, run, base in _both(runs, scale, partial(plan.raced, problem), name, TPE):
        target = base.at(math.inf)
        found.third.append(run.at(plan.THIRD * cost) / target)
        found.whole.append(run.at(math.inf) / target)
        found.reached.append(run.reached(target) / cost)
        found.seconds.extend(run.proposing)
    return found


def targets(runs: Runs, scale: Scale, only: Sequence[str]) -> Table:
    """The benchmark's targets, and whether they are reached."""
    rows = []
    for family in plan.FAMILIES if "A" in only else ():
        shares = _family(runs, scale, family)
        for count in scale.counts:
            (best, name), (random, _) = (_against(shares, count, other) for other in (True, False))
            rows.append((f"auto / {name}", f"{family}, {count}", best, ">= 0.98", best >= 0.98))
            rows.append(("auto / random", f"{family}, {count}", random, ">= 1", random >= 1))
    for letter, families in plan.LEARNING.items():
        for problem in plan.of_family(scale, *families):
            if f"{letter}1" in only:
                found = spared(runs, scale, problem, FORECAST)
                volume, cost = (_quantile(values, 0.5) for values in (found.volumes, found.costs))
                rows.append(("halving / no stopping", problem, volume, ">= 0.95", volume >= 0.95))
                rows.append(("its cost / no stopping's", problem, cost, "<= 0.333", cost <= plan.THIRD))
            if f"{letter}2" in only and not plan.has_pool(problem):
                cost = _quantile(race(runs, scale, problem, HALVED).reached, 0.5)
                rows.append(("cost to TPE's end / TPE's", problem, cost, "<= 0.333", cost <= plan.THIRD))
    plain = (
        (figure, where, number(v), bound, "yes" if met else "NO") for figure, where, v, bound, met in rows
    )
    return Table("Targets", ("figure", "problem", "found", "target", "reached"), tuple(plain))


def limited() -> str:
    """Which contenders run fewer seeds or trials."""
    few = {name: entry for name, entry in entries().items() if name in LIMITS}
    limits = (
        f"{name} {entry.trials} trials" + (f" of {entry.seeds} seeds" if entry.seeds < UNLIMITED else "")
        for name, entry in few.items()
    )
    return f"Slow, hence at most: {'; '.join(limits)}." if few else ""


def interval(values: Sequence[float]) -> str:
    """Mean and half its 95 % interval by Student's t."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{np.mean(values):.3f} ± {half:.3f}"


def quartiles(values: Sequence[float]) -> str:
    """Median and quartiles; infinity: not reached."""
    if not values:
        return "-"
    low, middle, high = (number(_quantile(values, share)) for share in (0.25, 0.5, 0.75))
    return f"{middle} [{low}, {high}]"


def _quantile(values: Sequence[float], share: float) -> float:
    """Linear between values; next to an infinite one, the higher."""
    place = share * (len(values) - 1)
    low, high = (sorted(values)[side(place)] for side in (math.floor, math.ceil))
    return high if math.isinf(high) else low + (place % 1) * (high - low)


def number(value: float) -> str:
    return "not" if math.isinf(value) else f"{value:.3f}"
