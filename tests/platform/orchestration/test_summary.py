"""A study in words: everything of it is there, and nothing of it is taken for markup."""

import importlib.metadata
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform.cli import console
from platform.orchestration import summary
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, Uniform
from platform.study.settings import Constraint, Scheduler
from platform.study.study import Study
from typing import Any

import pytest
from rich.console import Console

MakeStudy = Callable[..., Study]
ROOT = Path(__file__).parents[3]


def told(study: Study) -> str:
    """The description as a wide terminal shows it."""
    wide = Console(width=300, force_terminal=False)
    with wide.capture() as captured:
        wide.print(summary.describe(study))
    return captured.get()


def test_everything_resolved_is_told(smoke: Study) -> None:
    text = told(smoke)
    for part in (
        f"smoke ({smoke.path}, profile none)",
        "unsb",
        "fid (minimize), ms_ssim (maximize), psnr (maximize)",
        "tpe, seed 0",
        "phantom size=2mm, train=3, val=2, test=2",
        "teacher_widths=(16, 16)",
        "batch_size=2",
        "1 cpus, 0 gpus, 1 workers",
        "4 trials",
    ):
        assert part in text, part
    rows = [line.split() for line in text.splitlines()]
    assert ["lambda_DMD", "log", "[0.05,", "4.0]", "0.5"] in rows
    assert ["refinement_steps", "int", "[1,", "3]", "2"] in rows
    assert " h" not in text.split("4 trials")[1].splitlines()[0]


def test_hours_and_start_points_are_told_where_there_are_any(smoke: Study) -> None:
    points = tuple({**smoke.start[0], "refinement_steps": n} for n in (1, 2, 3, 1))
    text = told(replace(smoke, budget=Budget(trials=4, hours=2.5), start=points))
    assert "4 trials, 2.5 h" in text
    assert "1, 2, 3\n" in "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    assert told(replace(smoke, start=(), profile="laptop")).count("profile laptop") == 1


def test_what_a_plain_study_has_not_is_not_told(smoke: Study) -> None:
    text = told(smoke)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert {"constraints none", "scheduler none", "budget 4 trials"} <= set(rows)
    for absent in ("only where", "deterministic", "starts from", "GPU", "hypervolume", "in steps of"):
        assert absent not in text


def test_limits_and_constraints_are_told(smoke: Study) -> None:
    bounds = (Constraint("psnr", "min", "input"), Constraint("seconds_per_volume", "max", 20.0))
    limits = {"gpu_hours": 40.0, "cost": 100.0, "cost_per_gpu_hour": 2.5}
    budget = Budget(trials=4, **limits, plateau_percent=1.5, plateau_trials=20)
    text = told(replace(smoke, constraints=bounds, budget=budget, deterministic=True, warm="early"))
    for part in (
        "psnr >= the input's, seconds_per_volume <= 20",
        "4 trials, 40 GPU-hours, cost 100 at 2.5 a GPU-hour, hypervolume up by less than 1.5 % in 20 trials",
        "tpe, seed 0, deterministic",
        "the trials of early",
    ):
        assert part in text, part


def test_a_scheduler_is_told_with_the_studys_rungs_and_what_goes_on(smoke: Study) -> None:
    asha = Scheduler("asha", grace=1000, reduction=3, brackets=2, min_results=5)
    long = replace(smoke, fixed={**smoke.fixed, "steps": 27_000}, scheduler=asha)
    text = told(long)
    means = "asha, 62 % of a rung's trials go on, 2 brackets, nothing ends before 5 results"  # 3^-.44 is .617
    assert f"{means}; rungs at 1000, 3000, 9000 of 27000 steps" in text
    searched = (*smoke.search, Choice("steps", (9_000, 27_000)))
    assert "rungs at 1000, 3000, 9000 of 27000 steps" in told(replace(long, search=searched)), (
        "not of a trial"
    )
    default = told(replace(long, scheduler=Scheduler("asha", reduction=4), start=()))
    means = "asha, 54 % of a rung's trials go on, 1 bracket, nothing ends before 4 results"
    assert f"{means}; rungs at 422, 1688, 6750 of 27000 steps" in default


def test_methods_steps_and_conditions_are_told(smoke: Study) -> None:
    search = (
        Choice("method", ("unsb", "cut")),
        Uniform("tau_m", 0.03, 0.2, step=0.01, when={"method": ("unsb",)}),
        Int("nce_patches", 8, 64, step=8, when={"method": ("unsb", "cut"), "flag": (True,)}),
    )
    both = replace(smoke, methods=("unsb", "cut"), configs=smoke.configs * 2, search=search)
    text = told(replace(both, start=({"method": "unsb", "tau_m": 0.08}, {"method": "cut"})))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    for row in (
        "method unsb, cut",
        "searched domain first only where",
        "method choice unsb, cut unsb, cut",
        "tau_m uniform [0.03, 0.2] in steps of 0.01 0.08, - method is unsb",
        "nce_patches int [8, 64] in steps of 8 -, - method is unsb or cut and flag is True",
    ):
        assert row in rows, row


def test_brackets_are_text(smoke: Study) -> None:
    path = "/data/[bold]/[/x]/space.yaml"
    assert path in told(replace(smoke, path=path))
    with console.capture() as captured:
        console.print(f"trial 3 failed: RuntimeError: [enforce fail] in [/usr] ({path})")
    assert captured.get() == f"trial 3 failed: RuntimeError: [enforce fail] in [/usr] ({path})\n"


def test_the_environment_names_code_packages_and_space(smoke: Study) -> None:
    tags = summary.environment(smoke)
    assert all(isinstance(value, str) for value in tags.values())
    assert (tags["space"], tags["profile"], tags["digest"]) == (smoke.path, "", smoke.digest)
    for name in ("torch", "ray", "optuna", "mlflow", "accelerate", "diffusers"):
        assert tags[name] == importlib.metadata.version(name)


def test_a_comparison_names_all_its_spaces(smoke: Study) -> None:
    tags = summary.environment(smoke, replace(smoke, path="other.yaml", seed=7))
    assert tags["space"] == f"{smoke.path}, other.yaml"
    first, second = tags["digest"].split(", ")
    assert first == smoke.digest != second


def test_the_commit_is_gits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert summary.git_commit() == (head.stdout.strip() if head.returncode == 0 else "unknown")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert summary.git_commit() == "unknown"


def test_git_that_fails_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(subprocess, "run", fail)
    assert summary.git_commit() == "unknown"
