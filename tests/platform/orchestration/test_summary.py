"""A study in words: everything of it is there, and nothing of it is taken for markup."""

from dataclasses import replace
from platform.orchestration import summary
from platform.reporting.console import console
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, Uniform
from platform.study.settings import Constraint, Scheduler
from platform.study.study import Study

from rich.console import Console


def text_of(study: Study) -> str:
    """The description as a wide terminal shows it."""
    wide = Console(width=300, force_terminal=False)
    with wide.capture() as captured:
        wide.print(summary.describe(study))
    return captured.get()


def rows_of(study: Study) -> list[str]:
    """Its lines, with single spaces."""
    return [" ".join(line.split()) for line in text_of(study).splitlines()]


def test_everything_that_was_resolved_is_shown(smoke: Study) -> None:
    rows = rows_of(smoke)
    assert {
        f"study smoke ({smoke.path}, profile none)",
        "method unsb",
        "objectives fid (minimize), ms_ssim (maximize), psnr (maximize)",
        "constraints none",
        "sampler tpe, seed 0",
        "scheduler none",
        "trial 1 cpus, 0 gpus, 1 workers",
        "budget 4 trials",
        "lambda_DMD log [0.05, 4.0] 0.5",
        "refinement_steps int [1, 3] 2",
    } <= set(rows)
    text = "\n".join(rows)
    for part in ("phantom size=2mm, train=3, val=2, test=2", "teacher_widths=(16, 16)", "batch_size=2"):
        assert part in text
    for absent in ("only where", "deterministic", "starts from", "GPU", "hypervolume", "in steps of"):
        assert absent not in text


def test_limits_constraints_and_start_points_are_shown(smoke: Study) -> None:
    bounds = (Constraint("psnr", "min", "input"), Constraint("seconds_per_volume", "max", 20.0))
    limits = {"hours": 2.5, "gpu_hours": 40.0, "cost": 100.0, "cost_per_gpu_hour": 2.5}
    budget = Budget(trials=4, **limits, plateau_percent=1.5, plateau_trials=20)
    points = tuple({**smoke.start[0], "refinement_steps": n} for n in (1, 2, 3, 1))
    changed = replace(smoke, constraints=bounds, budget=budget, deterministic=True, warm="early")
    cost = "4 trials, 2.5 h, 40 GPU-hours, cost 100 at 2.5 a GPU-hour"
    assert {
        "constraints psnr >= the input's, seconds_per_volume <= 20",
        f"budget {cost}, hypervolume up by less than 1.5 % in 20 trials",
        "sampler tpe, seed 0, deterministic",
        "starts from the trials of early",
        "refinement_steps int [1, 3] 1, 2, 3",
    } <= set(rows_of(replace(changed, start=points)))
    assert text_of(replace(smoke, start=(), profile="laptop")).count("profile laptop") == 1


def test_a_scheduler_is_shown_with_its_rungs(smoke: Study) -> None:
    asha = Scheduler("asha", grace=1000, reduction=3, brackets=2, min_results=5)
    long = replace(smoke, fixed={**smoke.fixed, "steps": 27_000}, scheduler=asha)
    searched = replace(long, search=(*smoke.search, Choice("steps", (9_000, 27_000))))
    share = "asha, 62 % of a rung's trials continue"  # 3^-.44 is .617
    rules = f"{share}, 2 brackets, nothing ends before 5 results"
    for study in (long, searched):  # the rungs are the study's, not a trial's
        assert f"{rules}; rungs at 1000, 3000, 9000 of 27000 steps" in text_of(study)
    default = text_of(replace(long, scheduler=Scheduler("asha", reduction=4), start=()))
    rules = "asha, 54 % of a rung's trials continue, 1 bracket, nothing ends before 4 results"
    assert f"{rules}; rungs at 422, 1688, 6750 of 27000 steps" in default


def test_methods_steps_and_conditions_are_shown(smoke: Study) -> None:
    search = (
        Choice("method", ("unsb", "cut")),
        Uniform("tau_m", 0.03, 0.2, step=0.01, when={"method": ("unsb",)}),
        Int("nce_patches", 8, 64, step=8, when={"method": ("unsb", "cut"), "flag": (True,)}),
    )
    both = replace(smoke, methods=("unsb", "cut"), configs=smoke.configs * 2, search=search)
    assert {
        "method unsb, cut",
        "searched domain first only where",
        "method choice unsb, cut unsb, cut",
        "tau_m uniform [0.03, 0.2] in steps of 0.01 0.08, - method is unsb",
        "nce_patches int [8, 64] in steps of 8 -, - method is unsb or cut and flag is True",
    } <= set(rows_of(replace(both, start=({"method": "unsb", "tau_m": 0.08}, {"method": "cut"}))))


def test_brackets_are_text(smoke: Study) -> None:
    path = "/data/[bold]/[/x]/space.yaml"
    assert path in text_of(replace(smoke, path=path))
    with console.capture() as captured:
        console.print(f"trial 3 failed: RuntimeError: [enforce fail] in [/usr] ({path})")
    assert captured.get() == f"trial 3 failed: RuntimeError: [enforce fail] in [/usr] ({path})\n"
