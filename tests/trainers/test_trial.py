"""Tasks and reports as text, trials as Ray Tune runs them, and the cost of a step."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.small import task_of
from trainers import trial
from trainers.cost import step_flops
from trainers.loop import Task
from trainers.methods.unsb import Config
from trainers.references.config import ReferenceConfig
from trainers.report import Report


def test_tasks_and_reports_as_text_are_restored_and_a_steps_operations_double_with_the_batch() -> None:
    folders = (Path("/a/cohort"), Path("/a/references"), Path("/a/trial"))
    for milestones, *scoring in (((), 2, False), ((3, 9, 27), 1, True)):
        task = Task("unsb", Config(lambda_SB=0.1, crop=64), *folders, milestones, *scoring)
        assert trial.decode(trial.encode(task)) == task
    report = Report(5, 10, {1: {"fid": 0.1}, 2: {"fid": float("inf")}}, {"D": 0.25}, 1.5, "/a/step-000000005")
    assert trial.decode_report(json.dumps(asdict(report))) == report
    assert "measures" not in report.to_json() and replace(report, measures=2).to_json()["measures"] == 2
    references = ReferenceConfig(crop=32, teacher_widths=(16, 16), teacher_layers=1, teacher_attention=False)
    shape: dict[str, Any] = {"generator_width": 8, "generator_blocks": 1, "discriminator_width": 8}
    configs = (Config(batch_size=n, refinement_steps=1, crop=32, **shape) for n in (2, 4))
    two, four = (step_flops("unsb", config, references) for config in configs)
    assert four / two == pytest.approx(2, rel=1e-6)


def test_a_tune_trial_reports_at_its_milestones_and_takes_another_task(tiny: Any, tmp_path: Path) -> None:
    """Stopped at a milestone, the actor receives the next task; given the first again, it continues there."""
    tasks = [task_of(tiny, tmp_path / name, 1, 2, rungs=1, refinement_steps=1) for name in "ab"]
    actor = object.__new__(trial.Trial)
    actor.setup({"task": trial.encode(tasks[0])})

    def step() -> int:
        return trial.decode_report(actor.step()["report"]).step

    assert step() == 1
    assert actor.reset_config({"task": trial.encode(tasks[1])}) and (step(), step()) == (1, 2)
    actor.reset_config({"task": trial.encode(tasks[0])})
    assert [step(), step(), step()] == [1, 2, 4]


def test_results_of_a_task_end_with_the_last_rung(tiny: Any, tmp_path: Path) -> None:
    task = task_of(tiny, tmp_path, steps=2)
    results = list(trial.results(task))
    assert [result["done"] for result in results] == [False, True]
    (again,) = trial.results(task)  # a finished task only repeats its last report
    assert again["done"]
    assert trial.decode_report(again["report"]) == trial.decode_report(results[-1]["report"])
