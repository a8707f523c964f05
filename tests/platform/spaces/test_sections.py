"""The single sections of a space: what they are read as, and their errors."""

from pathlib import Path
from platform.spaces.loader import load_study
from platform.study.budget import Budget
from platform.study.settings import Constraint, Scheduler

import pytest

from tests.platform.spaces.toy_spaces import ONE, Case, both, load, require_refused, write
from tests.platform.toys import TOYS
from trainers.errors import InputError


@pytest.mark.parametrize(
    ("section", "value"),
    [
        *[(f"sampler: {name}", name) for name in ("auto", "tpe", "nsga3", "gp", "sobol", "random")],
        *[("scheduler: none", Scheduler()), ("scheduler: {name: none}", Scheduler("none"))],
        ("scheduler: asha", Scheduler("asha", grace=0, reduction=3, brackets=1, min_results=0)),
        ("scheduler: {name: asha, grace: 2, reduction: 4}", Scheduler("asha", grace=2, reduction=4)),
        ("scheduler: {name: asha, brackets: 8, min_results: 5}", Scheduler("asha", 0, 3, 8, 5)),
        *[
            (f"{key}: {text}", text == "true")
            for key in ("deterministic", "allow_blind")
            for text in ("true", "false")
        ],
        (
            "constraints: {psnr: {min: input}, seconds_per_volume: {max: 20}, fid: {min: 1, max: 2.5}}",
            (
                *(Constraint("psnr", "min", "input"), Constraint("seconds_per_volume", "max", 20.0)),
                *(Constraint("fid", "min", 1.0), Constraint("fid", "max", 2.5)),
            ),
        ),
        (
            "budget: {trials: 8, hours: 2, gpu_hours: 40, cost: 100, cost_per_gpu_hour: 2.5, "
            "plateau_percent: 1, plateau_trials: 20}",
            Budget(
                **{"trials": 8, "hours": 2.0, "gpu_hours": 40.0, "cost": 100.0, "cost_per_gpu_hour": 2.5},
                **{"plateau_percent": 1.0, "plateau_trials": 20},
            ),
        ),
    ],
)
def test_a_section_becomes_a_value(tmp_path: Path, section: str, value: object) -> None:
    longer = ONE.replace("{int: [1, 8]}", "{int: [4, 8]}").replace("steps: 2}", "steps: 4}")
    longer = longer.replace("{choice: [1, 2]}", "{choice: [8, 4]}")
    name = section.split(":")[0]
    others = [line for line in longer.splitlines() if not line.startswith(f"{name}:")]
    assert getattr(load(tmp_path, "\n".join([*others, section])), name) == value


def test_a_name_from_the_file_must_be_valid_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my space\.yaml:2: name: .*it is the file's name"):
        load_study(write(tmp_path, ONE, "my space.yaml"), classes=TOYS)
    with pytest.raises(
        InputError, match=r"name: 2024 is .*; this is a number: in quotes, '2024', it is text"
    ):
        load_study(write(tmp_path, f"name: 2024\n{ONE}"), classes=TOYS)


METHOD = "method: toy", 2
HOURS = "hours: 1.5", 24
SEED = "seed: 7", 25
CASES: list[Case] = [
    (("  fid: minimize", 4), "  fidd: minimize", "objectives.fidd ... did you mean fid?"),
    (("size: 1mm", 21), "size: 3mm", "cohort.size ... 3mm ... 1mm, 2mm"),
    (("fid: minimize", 4), "fid: maximize", "objectives.fid ... maximize ... allowed: minimize"),
    (("sampler: tpe", 6), "sampler: tpee", '"tpee" ... did you mean tpe? allowed: auto, tpe'),
    (("sampler: tpe", 6), "sampler: [tpe]", "sampler ... allowed: auto"),
    (("source: brains", 21), "source: brain", 'cohort.source ... "brain" ... brains, scans'),
    (("trials: 8, ", 24), "", "budget ... trials ... no default"),
    (("source: brains, ", 21), "", "cohort ... source is missing"),
    (("objectives:\n  fid: minimize\n  ms_ssim: maximize", 3), "objectives: fid", "objectives ... a mapping"),
    (("fixed: {batch: 4, rate: 1e-4}", 17), "fixed:", "fixed ... null ... a mapping"),
    (("cohort: {source: brains, size: 1mm}", 21), "cohort: brains", "cohort ... brains ... a mapping"),
    (("teacher_steps: 300", 22), "teacher_steps: 0", "references.teacher_steps ... 0 ... [1, 1e+07]"),
    (("cpus: 2", 23), "cpus: 0", "resources.cpus ... 0 ... [1, 1024]"),
    (("gpus: 0.5", 23), "gpus: 4", "resources.gpus ... 4 ... workers: 4"),
    (("gpus: 0.5, concurrent: 2, workers: 1", 23), "gpus: 1, workers: 4", "resources.gpus ... 1 ... 0 or 4"),
    (("concurrent: 2", 23), "concurrent: -1", "resources.concurrent ... -1 ... [0, 100000]"),
    (("trials: 8", 24), "trials: 0", "budget.trials ... 0 ... [1, 1e+06]"),
    (
        ("  fid: minimize\n  ms_ssim: maximize", 3),
        "  {}",
        "objectives ... 1 to 4 of fid, fid_infinity, fid_spatial",
    ),
    (("sampler", 3), "  kid: minimize\n  psnr: maximize\n  piqe: minimize\nsampler", "objectives ... 5 ob"),
    (("batch: 4", 17), "bach: 4", "fixed.bach ... did you mean batch?"),
    (("batch: 4", 17), "batch: 4.0", "fixed.batch ... 4.0 ... an integer in [1, 64]"),
    (METHOD, "method: tou", "method ... did you mean toy?"),
    (METHOD, "method: [toy, 3]", "method[1] ... 3 ... a name"),
    (METHOD, "method: []", "method ... [] ... a name, or a list"),
    (METHOD, "method: [toy, toy]", "method[1] ... twice"),
    (METHOD, "method: 3", "method ... 3 ... a name"),
    (HOURS, "hours: 0", "budget.hours ... 0 is ... above 0; leave it out for no limit"),
    (HOURS, "plateau_trials: 0", "budget.plateau_trials ... 0 is ... above 0"),
    (HOURS, "cost: 5", "budget.cost ... 5.0 ... together with cost_per_gpu_hour"),
    (SEED, "seed: -7", "seed ... -7 ... an integer in [0, 2147483647]"),
    (SEED, "seed: 7.5", "seed ... 7.5 ... an integer"),
    (SEED, "name: a/b", "name ... a/b ... letters, digits"),
    (SEED, "scheduler: asah", 'scheduler ... "asah" ... did you mean asha? ... none, asha'),
    (SEED, "scheduler: [asha]", "scheduler ... none, asha"),
    (SEED, "scheduler: {name: aha}", "scheduler.name ... did you mean asha?"),
    (SEED, "scheduler: {grace: 2}", "scheduler ... name is missing ... none, asha"),
    (SEED, "scheduler: {name: asha, grac: 2}", "scheduler.grac ... did you mean grace?"),
    (SEED, "scheduler: {name: none, grace: 2}", "scheduler.grace ... name: none ... name: asha"),
    (SEED, "scheduler: {name: asha, grace: 0}", "scheduler.grace ... 0 is ... above 0; leave it"),
    (SEED, "scheduler: {name: asha, reduction: 1}", "scheduler.reduction ... 1 ... [2, 16]"),
    (SEED, "scheduler: {name: asha, min_results: 0}", "scheduler.min_results ... above 0"),
    (SEED, "constraints: {psnt: {min: 1}}", "constraints.psnt ... did you mean psnr?"),
    (SEED, "constraints: [psnr]", "constraints ... a mapping"),
    (SEED, "constraints: {psnr: 20}", "constraints.psnr ... 20 ... {min: number or input}"),
    (SEED, "constraints: {psnr: {}}", "constraints.psnr ... {} ... or both"),
    (SEED, "constraints: {psnr: {mim: 1}}", "constraints.psnr.mim ... did you mean min?"),
    (SEED, "constraints: {psnr: {min: inputs}}", "constraints.psnr.min ... a number, or input"),
    (SEED, "constraints: {psnr: {min: true}}", "constraints.psnr.min ... true ... a number"),
    (SEED, "constraints: {psnr: {min: 21, max: 20}}", "constraints.psnr ... min at most max"),
    (SEED, "constraints: {ms_ssim: {min: 1}}", "constraints.ms_ssim.min ... 1 ... below 1"),
    (SEED, "constraints: {seconds_per_volume: {max: 0}}", "seconds_per_volume.max ... above 0"),
    (SEED, "constraints: {seconds_per_volume: {max: input}}", 'max: "input" ... allowed: a number'),
    (SEED, "recovery: {save_minutes: 0}", "recovery.save_minutes ... 0 is ... above 0; leave it out"),
    (SEED, "recovery: {save_minute: 5}", "recovery.save_minute ... did you mean save_minutes?"),
    (SEED, "save_minutes: 5", "save_minutes ... unknown key"),
    (SEED, "deterministic: 1", "deterministic ... 1 ... true or false"),
    (SEED, "allow_blind: input", 'allow_blind ... "input" ... true or false'),
]
OF_TWO: list[Case] = [
    (("[bridge, patch]", 1), "[bridge, pitch]", "method: 'pitch' ... did you mean patch?"),
    (("[bridge, patch]", 5), "bridge", "fixed.limit ... unknown key ... weight, steps"),
    (("widths: [4, 8]", 5), "width: [4, 8]", "fixed.width ... did you mean widths?"),
    (("widths: [4, 8]", 5), "method: patch", "fixed.method ... unknown key"),
]


@pytest.mark.parametrize(("text", "case"), both(CASES, OF_TWO))
def test_an_error_is_one_line(tmp_path: Path, text: str, case: Case) -> None:
    require_refused(tmp_path, text, case)
