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
from pathlib import Path
from platform.cli import console
from platform.front import candidates
from platform.frozen import FILE, load_saved
from platform.ledger import FILE as LEDGER
from platform.ledger import Trial, apply, of_status
from platform.lines import read_lines
from platform.terms import Terms

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tests.bench.main import positive, shown
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

Points = list[tuple[int, float]]
"""Steps trained by all trials, and hypervolume of the completed ones, whenever a trial is over."""


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


def curve(folder: Path) -> Points:
    """A study's, from its ledger."""
    study, saved = load_saved(folder)
    terms, trials = Terms.from_plain(saved), dict[int, Trial]()
    found = []
    for entry, _ in read_lines(folder / LEDGER):
        if entry is not None:
            apply(trials, entry)
            if entry["event"] == "ended":
                done = candidates(of_status(trials, "completed"))
                steps = sum(max(trial.reports, default=0) for trial in trials.values())
                found.append((steps, terms.front(study.objectives, done).hypervolume))
    return found


def at(points: Points, steps: float) -> float:
    """Hypervolume by a number of steps."""
    return max((volume for cost, volume in points if cost <= steps), default=0.0)


def reached(points: Points, volume: float) -> float:
    """Steps at which a hypervolume was first reached; infinite if it was not."""
    return next((float(cost) for cost, found in points if found >= volume), math.inf)


def table(pairs: dict[int, tuple[Points, ...]]) -> Table:
    """A row a seed whose study without early stopping has a front, then medians with quartiles."""
    rows, columns = [], ("halving at half", "not halving at half", "steps to the whole front")
    found: list[list[float]] = []
    for seed, (whole, halved) in pairs.items():
        steps, volume = whole[-1] if whole else (0, 0.0)
        if not volume:
            continue
        shares = [at(points, HALF * steps) / volume for points in (halved, whole)]
        found.append([*shares, reached(halved, volume) / steps])
        rows.append((str(seed), *map(number, found[-1])))
    rows.append(("median [quartiles]", *(quartiles([row[i] for row in found]) for i in range(len(columns)))))
    note = "Shares of the front's hypervolume, and of the steps, of the study without early stopping."
    return Table("The full method on the phantom, real trainings", ("seed", *columns), tuple(rows), note)


def draw(pairs: dict[int, tuple[Points, ...]], path: Path) -> None:
    """Hypervolume against steps: halving in full, not halving dashed, a colour a seed."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for seed, curves in pairs.items():
        for rule, points, style in zip(RULES, curves, ("--", "-"), strict=True):
            steps, volumes = ([point[i] for point in points] for i in range(2))
            told = {"color": f"C{seed % 10}", "label": f"{rule}, seed {seed}"}
            axes.step(steps, volumes, style, where="post", **told)
    axes.set(xlabel="optimiser steps of all trials", ylabel="hypervolume of the completed trials")
    axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
