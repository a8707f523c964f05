"""``make bench-search``: our search against others, on a simulated clock with parallel workers.

    python -m tests.bench.main [--seeds N] [--quick] [--only A,B1,B2,C1,C2] [--jobs N] [--out FOLDER]

Tables, pictures and every curve are written to runs/bench; saved runs are not repeated.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from platform.reporting.console import console

from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Shown

from tests.bench import figures, foreign, tables
from tests.bench.experiments import LEARNING, QUICK, Job, Scale, jobs
from tests.bench.simulator import Run
from tests.bench.store import Store, run_all
from tests.bench.tables import Table

TABLES = ("A", "B1", "B2", "C1", "C2")
LETTERS = ("A", "B", "C")
"""A letter names both of its tables."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then show and write everything."""
    known = parsed(arguments)
    scale = replace(QUICK if known.quick else Scale(20), **({"seeds": known.seeds} if known.seeds else {}))
    for line in foreign.missing():
        console.print(line)
    runs = gathered(jobs(known.only, scale), Store(known.out / "cache"), known.jobs)
    found = made(runs, known.only, scale)
    for table in found:
        console.print(shown(table))
    console.print(tables.limited())
    written(found, runs, scale, known.out)
    console.print(f"tables.md, curves.json and pictures are in {known.out}")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Arguments, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=positive, help="default: 20")
    parser.add_argument("--quick", action="store_true", help="two seeds, few problems, under a minute")
    parser.add_argument("--only", type=_tables, default=TABLES, help=f"of {','.join(TABLES)}")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count(), help="processes; default: cores")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _tables(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not set(names) <= {*TABLES, *LETTERS}:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: some of {','.join((*TABLES, *LETTERS))}")
    return tuple(table for table in TABLES if {table, table[0]} & set(names))


def gathered(needed: Sequence[Job], store: Store, processes: int) -> dict[Job, Run]:
    """All runs, saved ones first."""
    runs = {job: run for job in needed if (run := store.load(job))}
    left = [job for job in needed if job not in runs]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(needed), completed=len(runs))
        for job, run in run_all(left, processes):
            store.save(job, run)
            runs[job] = run
            progress.update(bar, advance=1, description=f"{job.problem}, {job.contender}, seed {job.seed}")
    return {job: runs[job] for job in needed}


def made(runs: dict[Job, Run], only: Sequence[str], scale: Scale) -> list[Table]:
    """The requested tables."""
    found = tables.full_fidelity(runs, scale) if "A" in only else []
    for letter, families in LEARNING.items():
        found += tables.stopping(runs, scale, letter, families) if f"{letter}1" in only else []
        found += tables.racing(runs, scale, letter, families) if f"{letter}2" in only else []
    return found if scale.quick else [*found, tables.targets(runs, scale, only)]


def shown(table: Table) -> Shown:
    """For the screen."""
    found = Shown(title=table.title, caption=table.note, box=box.SIMPLE_HEAD, title_justify="left")
    for number, column in enumerate(table.columns):
        found.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        found.add_row(*row, style="bold" if row[0].startswith("ours") else None)
    return found


def written(found: Sequence[Table], runs: dict[Job, Run], scale: Scale, folder: Path) -> None:
    """Markdown, JSON and pictures."""
    lines = [*(table.markdown() for table in found), *foreign.missing(), tables.limited()]
    (folder / "tables.md").write_text("\n".join(lines) + "\n", "utf-8")
    curves = [{**asdict(job), "budget": min(job.budget, 1e18), **asdict(run)} for job, run in runs.items()]
    (folder / "curves.json").write_text(json.dumps(curves))
    figures.draw(runs, scale, folder)


if __name__ == "__main__":
    main()
