"""``make bench-real``: the same study on the phantom with and without early stopping, by what it trains.

    python -m tests.bench.real [--space FILE] [--seeds N] [--trials N] [--out FOLDER]

Real trainings of the laptop profile: first every trial to its end, then with halving and more trials, which
are compared after half of those steps. Table and picture are written to runs/real; a study that was started
before is resumed.
"""

import argparse
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from platform.pareto.front import Front, candidates
from platform.reporting.console import console
from platform.storage.ledger import FILE as LEDGER
from platform.storage.saved_study import is_saved, load_saved
from platform.storage.sealed_lines import read_log
from platform.storage.trials import Trials

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tests.bench.main import positive, shown
from tests.bench.simulator import Run
from tests.bench.tables import Table, number, quartiles

ROOT = Path(__file__).parents[2]
HALF = 0.5
"""Share of the steps without early stopping at which halving should have reached their front."""
MORE = 1.75
"""So many times more trials with halving: enough that they train for longer than that share."""
RULES = ("none", "asha")
SPACE = Path(__file__).with_suffix(".yaml")
VARIANT = """extends: {space}
name: {name}
seed: {seed}
scheduler: {rule}
profiles: {{laptop: {{budget: {{trials: {trials}}}}}}}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the studies that are missing, then show and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--space", type=Path, default=SPACE, help="default: the learning rate searched too")
    parser.add_argument("--seeds", type=positive, default=4, help="pairs of studies (default: 4)")
    parser.add_argument("--trials", type=positive, default=24, help="without early stopping (default: 24)")
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    options = parser.parse_args(arguments)
    out, pairs = options.out.resolve(), {}
    for seed in range(options.seeds):
        spaces = [write_space(options.space, rule, seed, options.trials, out) for rule in RULES]
        pairs[seed] = tuple(curve(search(space, out)) for space in spaces)
        draw(pairs, out / "real.png")
        console.print(shown(table(pairs)))
    (out / "table.md").write_text(table(pairs).markdown(), "utf-8")
    console.print(f"table.md and real.png are in {out}")


def search(space: Path, out: Path) -> Path:
    """The folder of a study that has ended, after it was resumed or started."""
    folder = out / "studies" / space.stem
    new = ("--space", str(space), "--profile", "laptop")
    options = ("--resume", space.stem) if is_saved(folder) else new
    command = [sys.executable, "-m", "platform.search", *options, "--storage", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def write_space(space: Path, rule: str, seed: int, trials: int, out: Path) -> Path:
    """Write a study of the space, with more trials where they are stopped early; returns its path."""
    count = trials if rule == "none" else math.ceil(MORE * trials)
    name = f"{space.stem}-{rule}-{count}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    text = VARIANT.format(space=space.resolve(), name=name, seed=seed, rule=rule, trials=count)
    (out / f"{name}.yaml").write_text(text, "utf-8")
    return out / f"{name}.yaml"


def curve(folder: Path) -> Run:
    """A study's ledger as a run of the simulator, without times; costs are steps of all trials."""
    saved, trials = load_saved(folder), Trials()
    run = Run([], [], [], 0.0, 0, [], [])
    for entry in read_log(folder / LEDGER).entries:
        trials.apply(entry)
        if entry["event"] == "ended":
            completed = candidates(trials.of_status("completed"))
            run.costs.append(sum(max(trial.reports, default=0) for trial in trials.values()))
            run.volumes.append(Front.of(saved.criteria, saved.study.objectives, completed).hypervolume)
    return replace(run, cost=max(run.costs, default=0.0), started=len(trials))


def table(pairs: dict[int, tuple[Run, ...]]) -> Table:
    """A row for each seed whose study without early stopping has a front, then medians with quartiles."""
    rows, columns = [], ("halving at half", "no halving at half", "steps to the whole front")
    shares: list[list[float]] = []
    for seed, (whole, halved) in pairs.items():
        volume = whole.at(math.inf)
        if not volume:
            continue
        at_half = [run.at(HALF * whole.cost) / volume for run in (halved, whole)]
        shares.append([*at_half, halved.reached(volume) / whole.cost])
        rows.append((str(seed), *map(number, shares[-1])))
    rows.append(("median [quartiles]", *(quartiles([row[i] for row in shares]) for i in range(len(columns)))))
    note = "Shares of the front's hypervolume, and of the steps, of the study without early stopping."
    return Table("The full method on the phantom, real trainings", ("seed", *columns), tuple(rows), note)


def draw(pairs: dict[int, tuple[Run, ...]], path: Path) -> None:
    """Hypervolume against steps: solid with halving, dashed without, one colour per seed."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for seed, curves in pairs.items():
        for rule, run, style in zip(RULES, curves, ("--", "-"), strict=True):
            line = {"color": f"C{seed % 10}", "label": f"{rule}, seed {seed}"}
            axes.step(run.costs, run.volumes, style, where="post", **line)
    axes.set(xlabel="optimiser steps of all trials", ylabel="hypervolume of the completed trials")
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
