"""Hypervolume against cost: means over seeds with their 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t as student

from tests.bench import experiments as plan
from tests.bench.experiments import Scale
from tests.bench.lineup import AUTO, NO_STOPPING, problems
from tests.bench.simulator import Run
from tests.bench.tables import Runs

Curves = Mapping[str, Sequence[Run]]
POINTS = 200
OURS = 2.2
"""Width of our lines; those of others have 1."""


def by_cost(title: str, curves: Curves, cost: float, volume: float, path: Path, over: bool = False) -> None:
    """A picture of all contenders' curves; costs as shares of ``cost``, hypervolumes of ``volume``.

    ``over``: runs that end early have nothing more to train; dotted lines continue at their last value.
    """
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    grid = np.linspace(0, 1, POINTS + 1)
    for name, runs in curves.items():
        found = np.array([[run.at(share * cost) / volume for share in grid] for run in runs])
        end = float(np.median([run.cost for run in runs])) / cost
        mean, inside = found.mean(0), grid <= end + 1e-9
        width = OURS if name.startswith("ours") else 1.0
        (line,) = axes.plot(grid[inside], mean[inside], label=f"{name} ({len(runs)})", linewidth=width)
        if over:
            axes.plot(grid[~inside], mean[~inside], color=line.get_color(), linestyle=":", linewidth=width)
        if len(runs) > 1:
            half = student.ppf(0.975, len(runs) - 1) * found.std(0, ddof=1) / math.sqrt(len(runs))
            low, high = np.clip(mean - half, 0, None)[inside], (mean + half)[inside]
            axes.fill_between(grid[inside], low, high, color=line.get_color(), alpha=0.12)
    axes.set(title=title, xlabel="share of the cost", ylabel="share of the front's hypervolume")
    axes.legend(fontsize="x-small", ncols=2, title="contender (seeds)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw(runs: Runs, scale: Scale, folder: Path) -> list[Path]:
    """A picture for each problem and table that have runs."""
    paths = []
    for name, problem in problems().items():
        full = problem.family in plan.FAMILIES
        tables = ("A",) if full else ("1", "2")
        for table in tables:
            curves = _curves(runs, scale, name, table)
            if curves:
                trials = max(scale.counts) if full else plan.configurations(name, scale)
                paths.append(folder / f"{name}-{table}.png")
                title = {"A": name, "1": f"{name}: the same configurations", "2": f"{name}: searches"}[table]
                cost = plan.full_cost(name, trials)
                by_cost(title, curves, cost, problem.front_volume, paths[-1], over=table == "1")
    return paths


def _curves(runs: Runs, scale: Scale, problem: str, table: str) -> dict[str, list[Run]]:
    names = {"A": plan.searchers(scale), "1": plan.rules(), "2": plan.racers()}[table]
    found = {}
    for name in names:
        jobs = [_job(problem, name, seed, scale, table) for seed in range(scale.seeds)]
        if of_name := [runs[job] for job in jobs if job and job in runs]:
            found[name] = of_name
    others = set(found) - {NO_STOPPING, AUTO}
    return found if others else {}


def _job(problem: str, name: str, seed: int, scale: Scale, table: str) -> plan.Job | None:
    if table == "A":
        counts = [count for count in scale.counts if plan.searched(problem, name, count, seed, scale)]
        return plan.searched(problem, name, max(counts, default=scale.counts[0]), seed, scale)
    return (plan.ruled if table == "1" else plan.raced)(problem, name, seed, scale)
