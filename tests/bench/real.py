"""``make bench-real``: the same study on the phantom with and without early stopping, by what it trains.

    python -m tests.bench.real [--space FILE] [--seeds N] [--trials N] [--out FOLDER]

Real trainings of the laptop profile: first every trial to its end, then with halving and more trials, of
which half of those steps count. Table and picture are written to runs/real; a study that was begun goes on.
"""

import argparse
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from platform.cli import console
from platform.pareto.front import candidates
from platform.storage.jsonl import read_lines
from platform.storage.ledger import FILE as LEDGER
from platform.storage.ledger import Trial, apply, of_status
from platform.storage.saved_study import FILE, load_saved
from platform.study.criteria import Criteria

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tests.bench.main import positive, shown
from tests.bench.simulator import Run
from tests.bench.tables import Table, number, quartiles

ROOT = Path(__file__).parents[2]
HALF = 0.5
"""Of the steps without early stopping, at which halving is to have their front."""
MORE = 1.75
"""Times as many trials with halving: enough that they train for longer than that."""
RULES = ("none", "asha")
SPACE = Path(__file__).with_suffix(".yaml")
VARIANT = """extends: {space}
name: {name}
seed: {seed}
scheduler: {rule}
profiles: {{laptop: {{budget: {{trials: {trials}}}}}}}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Search what has not been searched, then show and write everything."""
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
    """The folder of a study that is over: one that ran before, or goes on, or begins."""
    folder = out / "studies" / space.stem
    begun = ("--resume", space.stem) if (folder / FILE).exists() else ("--space", str(space))
    profile = () if begun[0] == "--resume" else ("--profile", "laptop")
    command = [sys.executable, "-m", "platform.search", *begun, *profile, "--storage", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def write_space(space: Path, rule: str, seed: int, trials: int, out: Path) -> Path:
    """A study of the space, with more trials where they are stopped early."""
    count = trials if rule == "none" else math.ceil(MORE * trials)
    name = f"{space.stem}-{rule}-{count}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    text = VARIANT.format(space=space.resolve(), name=name, seed=seed, rule=rule, trials=count)
    (out / f"{name}.yaml").write_text(text, "utf-8")
    return out / f"{name}.yaml"


def curve(folder: Path) -> Run:
    """A study's ledger as the simulator tells its runs, but for the clock: costs are steps of all trials."""
    study, saved = load_saved(folder)
    criteria, trials = Criteria.from_plain(saved), dict[int, Trial]()
    found = Run([], [], [], 0.0, 0, [], [])
    for entry, _ in read_lines(folder / LEDGER):
        if entry is not None:
            apply(trials, entry)
            if entry["event"] == "ended":
                done = candidates(of_status(trials, "completed"))
                found.costs.append(sum(max(trial.reports, default=0) for trial in trials.values()))
                found.volumes.append(criteria.front(study.objectives, done).hypervolume)
    return replace(found, cost=max(found.costs, default=0.0), asked=len(trials))


def table(pairs: dict[int, tuple[Run, ...]]) -> Table:
    """A row a seed whose study without early stopping has a front, then medians with quartiles."""
    rows, columns = [], ("halving at half", "not halving at half", "steps to the whole front")
    found: list[list[float]] = []
    for seed, (whole, halved) in pairs.items():
        volume = whole.at(math.inf)
        if not volume:
            continue
        shares = [run.at(HALF * whole.cost) / volume for run in (halved, whole)]
        found.append([*shares, halved.reached(volume) / whole.cost])
        rows.append((str(seed), *map(number, found[-1])))
    rows.append(("median [quartiles]", *(quartiles([row[i] for row in found]) for i in range(len(columns)))))
    note = "Shares of the front's hypervolume, and of the steps, of the study without early stopping."
    return Table("The full method on the phantom, real trainings", ("seed", *columns), tuple(rows), note)


def draw(pairs: dict[int, tuple[Run, ...]], path: Path) -> None:
    """Hypervolume against steps: halving in full, not halving dashed, a colour a seed."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for seed, curves in pairs.items():
        for rule, run, style in zip(RULES, curves, ("--", "-"), strict=True):
            told = {"color": f"C{seed % 10}", "label": f"{rule}, seed {seed}"}
            axes.step(run.costs, run.volumes, style, where="post", **told)
    axes.set(xlabel="optimiser steps of all trials", ylabel="hypervolume of the completed trials")
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
