"""Small trials of the method ``unsb`` on the session's cohort."""

from pathlib import Path
from typing import Any

from trainers.loop import Loop, Task
from trainers.methods.unsb import Config

SMALL: dict[str, Any] = {
    **{"steps": 4, "rungs": 2, "batch_size": 2, "crop": 32, "latent": 8, "nce_patches": 16},
    **{"generator_width": 4, "generator_blocks": 1, "discriminator_width": 4},
}


def task_of(tiny: Any, folder: Path, *milestones: int, save_seconds: float = 600.0, **changes: Any) -> Task:
    config = Config(**SMALL | changes)
    paths = tiny.cohort.path, tiny.folder, folder
    return Task("unsb", config, *paths, milestones, save_seconds=save_seconds)


def loop_of(tiny: Any, task: Task) -> Loop:
    return Loop(task, tiny.cohort, tiny.references, tiny.judge)
