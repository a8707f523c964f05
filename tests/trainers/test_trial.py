"""What crosses to a worker and back as text, what a batch is, what a step costs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers import trial
from trainers.config import FieldError
from trainers.cost import step_flops
from trainers.data.sampling import Slices, relative_heights
from trainers.loop import Task
from trainers.methods.unsb import Config
from trainers.references.config import ReferenceConfig
from trainers.report import Report

SMALL: dict[str, Any] = {
    "generator_width": 4,
    "generator_blocks": 1,
    "discriminator_width": 4,
    "latent": 8,
    "nce_patches": 16,
}


def test_a_task_crosses_as_text_unchanged() -> None:
    task = Task(
        "unsb", Config(lambda_SB=0.1, crop=64), Path("/a/cohort"), Path("/a/references"), Path("/a/trial")
    )
    assert trial.decode(trial.encode(task)) == task
    asked = replace(task, milestones=(3, 9, 27))
    assert trial.decode(trial.encode(asked)) == asked and task.milestones == ()


def test_a_report_crosses_as_text_unchanged() -> None:
    report = Report(5, 10, {1: {"fid": 0.1}, 2: {"fid": float("inf")}}, {"D": 0.25}, 1.5, "/a/step-000000005")
    import json
    from dataclasses import asdict

    assert trial.decode_report(json.dumps(asdict(report))) == report


def test_a_tune_trial_reports_at_its_milestones_and_takes_another_task(tiny: Any, tmp_path: Path) -> None:
    """Stopped at a milestone, the actor is given the next task; given the first again, it goes on there."""
    config = Config(steps=4, rungs=1, batch_size=2, crop=32, refinement_steps=1, **SMALL)
    tasks = [Task("unsb", config, tiny.cohort.path, tiny.folder, tmp_path / name, (1, 2)) for name in "ab"]
    found = object.__new__(trial.Trial)
    found.setup({"task": trial.encode(tasks[0])})

    def step() -> int:
        return trial.decode_report(found.step()["report"]).step

    assert step() == 1
    assert found.reset_config({"task": trial.encode(tasks[1])}) and (step(), step()) == (1, 2)
    found.reset_config({"task": trial.encode(tasks[0])})
    assert [step(), step(), step()] == [1, 2, 4]


def test_results_of_a_task_end_with_the_last_rung(tiny: Any, tmp_path: Path) -> None:
    config = Config(steps=2, rungs=2, batch_size=2, crop=32, **SMALL)
    task = Task("unsb", config, tiny.cohort.path, tiny.folder, tmp_path)
    results = list(trial.results(task))
    assert [result["done"] for result in results] == [False, True]
    (again,) = trial.results(task)  # a finished task only repeats its last report
    assert again["done"]
    assert trial.decode_report(again["report"]) == trial.decode_report(results[-1]["report"])


def test_batches_are_a_function_of_the_counter_alone(tiny: Any) -> None:
    slices = Slices.of(tiny.cohort, "t1_t2_mean", 32)
    first, again, other = slices.batch(3, 0, 7), slices.batch(3, 0, 7), slices.batch(3, 0, 8)
    assert torch.equal(first.source, again.source) and torch.equal(first.target, again.target)
    assert not torch.equal(first.source, other.source)


def test_every_crop_shows_brain_and_its_channels_agree(tiny: Any) -> None:
    batch = Slices.of(tiny.cohort, "t1_t2_mean", 32).batch(16, 3)
    assert batch.source.shape == (16, 3, 32, 32) and batch.source_mask.shape == (16, 32, 32)
    assert batch.source_mask.flatten(1).any(1).all() and batch.target_mask.flatten(1).any(1).all()
    assert torch.allclose(batch.source[:, 2], (batch.source[:, 0] + batch.source[:, 1]) / 2, atol=1e-6)
    assert (batch.target[~batch.target_mask[:, None].expand_as(batch.target)] == -1).all()


def test_half_of_the_crops_are_mirrored_slices_of_the_store(tiny: Any) -> None:
    """Every drawn crop is found, as it stands or mirrored, in the training slices; both kinds occur."""
    batch = Slices.of(tiny.cohort, "t1", 96).batch(8, 5)
    store = np.asarray(tiny.cohort.split("train").slices("64mT", "T1"), np.float32)
    windows = [store[:, top : top + 96] for top in range(store.shape[1] - 95)]
    kinds = []
    for crop in batch.source[:, 0].numpy():
        plain = any((window == crop).all((1, 2)).any() for window in windows)
        mirrored = any((window[:, :, ::-1] == crop).all((1, 2)).any() for window in windows)
        assert plain or mirrored
        kinds.append(plain)
    assert 0 < sum(kinds) < len(kinds)


def test_a_crop_larger_than_the_slices_is_refused(tiny: Any) -> None:
    with pytest.raises(FieldError, match="crop: 128 is not allowed; allowed: at most 96"):
        Slices.of(tiny.cohort, "t1", 128)


def test_heights_run_from_0_to_1_within_each_subject(tiny: Any) -> None:
    split = tiny.cohort.split("train")
    level = relative_heights(split, "3T")
    for subject in split.subjects("3T"):
        mine = level[subject.start : subject.stop]
        assert float(mine[0]) == 0 and float(mine[-1]) == 1
        assert (mine.diff() > 0).all()


def test_operations_of_a_step_double_with_the_batch() -> None:
    references = ReferenceConfig(crop=32, teacher_widths=(16, 16), teacher_layers=1, teacher_attention=False)
    shape = {
        "refinement_steps": 1,
        "crop": 32,
        "generator_width": 8,
        "generator_blocks": 1,
        "discriminator_width": 8,
    }
    two, four = (step_flops("unsb", Config(batch_size=n, **shape), references) for n in (2, 4))  # type: ignore[arg-type]
    assert four / two == pytest.approx(2, rel=1e-6)
