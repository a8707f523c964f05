"""Evaluations as Ray tasks, and what they published: each is done once and kept in its folder."""

from collections.abc import Mapping
from pathlib import Path
from platform.stats.ranks import Score
from typing import Any

from rich.console import Console
from rich.progress import Progress

from trainers import weights
from trainers.evaluate import Evaluation, evaluate

Facts = Mapping[str, Any]
"""What an evaluation published beside its samples."""


def evaluate_all(tasks: Mapping[str, Evaluation], gpus: float, console: Console) -> dict[str, Path]:
    """Evaluate what is not yet, on a running Ray; returns each one's folder."""
    from platform.execution.tuner import ray_map  # late: importing Ray takes seconds

    missing = {key: task for key, task in tasks.items() if not is_done(task)}
    with Progress(console=console) as bar:
        for split in sorted({task.split for task in missing.values()}):
            asked = [task for task in missing.values() if task.split == split]
            shown = bar.add_task(f"evaluating on the {split} split", total=len(asked))
            for _ in ray_map(evaluate, asked, gpus):
                bar.advance(shown)
    return {key: task.folder for key, task in tasks.items()}


def is_done(task: Evaluation) -> bool:
    """Whether its results are published."""
    return (task.folder / weights.MANIFEST).is_file()


def scores(facts: Facts) -> dict[str, Score]:
    """The published results of one evaluation."""
    subjects = int(facts["subjects"])
    return {
        name: Score(estimate, tuple(draws), subjects)
        for name, (estimate, draws) in {**facts["scores"], **facts["extended"]}.items()
    }
