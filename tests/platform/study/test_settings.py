"""Settings of a study: a scheduler's rungs, GPUs of a trial's workers, constraints in words."""

from contextlib import nullcontext
from platform.study.settings import Constraint, Resources, Scheduler

import pytest

from trainers.config import build
from trainers.errors import InputError


@pytest.mark.parametrize(
    ("scheduler", "steps", "rungs"),
    [
        (Scheduler(), 400, (400,)),
        (Scheduler("asha"), 27, (1, 3, 9, 27)),
        (Scheduler("asha"), 400, (15, 44, 133, 400)),
        (Scheduler("asha", reduction=4), 6400, (100, 400, 1600, 6400)),
        (Scheduler("asha"), 2, (1, 2)),
        (Scheduler("asha"), 1, (1,)),
        (Scheduler("asha", grace=1000), 27000, (1000, 3000, 9000, 27000)),
        (Scheduler("asha", grace=1000), 27001, (1000, 3000, 9000, 27000, 27001)),
        (Scheduler("asha", grace=399), 400, (399, 400)),
        (Scheduler("asha", grace=1, reduction=16), 1000, (1, 16, 256, 1000)),
    ],
)
def test_rungs_are_geometric_and_end_with_the_trial(scheduler: Scheduler, steps: int, rungs: object) -> None:
    assert scheduler.rungs(steps) == rungs


@pytest.mark.parametrize(
    ("gpus", "workers", "fits"),
    [
        *[(0, 1, True), (0.25, 1, True), (1, 1, True), (1.5, 1, False), (2, 1, False)],
        *[(0, 4, True), (4, 4, True), (1, 4, False), (0.5, 4, False), (8, 4, False)],
    ],
)
def test_a_worker_has_one_gpu_or_none(gpus: float, workers: int, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(InputError, match="gpus"):
        assert build(Resources, {"gpus": gpus, "workers": workers}).gpus == gpus


def test_constraints_in_words() -> None:
    assert str(Constraint("psnr", "min", "input")) == "psnr >= the input's"
    assert str(Constraint("fid", "max", 0.5)) == "fid <= 0.5"
