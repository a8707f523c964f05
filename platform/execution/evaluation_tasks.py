"""Evaluations as Ray tasks: each is done once and kept in its folder."""

from collections.abc import Mapping
from pathlib import Path
from platform.execution.cluster import ray_map

from rich.console import Console
from rich.progress import Progress

from trainers import weights
from trainers.evaluate import Evaluation, evaluate


def evaluate_all(tasks: Mapping[str, Evaluation], gpus: float, console: Console) -> dict[str, Path]:
    """Evaluate what is not done yet, on a running Ray; returns each one's folder."""
    missing = [task for task in tasks.values() if not is_done(task)]
    with Progress(console=console) as bar:
        for split in sorted({task.split for task in missing}):
            requested = [task for task in missing if task.split == split]
            row = bar.add_task(f"evaluating on the {split} split", total=len(requested))
            for _ in ray_map(evaluate, requested, gpus):
                bar.advance(row)
    return {key: task.folder for key, task in tasks.items()}


def is_done(task: Evaluation) -> bool:
    """Whether its results are published."""
    return weights.is_published(task.folder)
