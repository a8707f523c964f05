"""The single sections of a space: what they are read as, and their errors."""

from pathlib import Path
from platform.spaces.loader import load_study
from platform.study.budget import Budget
from platform.study.settings import Constraint, Scheduler

import pytest

from tests.platform.spaces.toy_spaces import ONE, TWO, Case, load, require_refused, write
from tests.platform.toys import TOYS
from trainers.errors import InputError


@pytest.mark.parametrize(
    ("text", "scheduler"),
    [
        ("none", Scheduler()),
        ("{name: none}", Scheduler("none")),
        ("asha", Scheduler("asha", grace=0, reduction=3, brackets=1, min_results=0)),
        ("{name: asha, grace: 2, reduction: 4}", Scheduler("asha", grace=2, reduction=4)),
        ("{name: asha, brackets: 8, min_results: 5}", Scheduler("asha", brackets=8, min_results=5)),
    ],
)
def test_a_scheduler_is_a_name_or_has_settings(tmp_path: Path, text: str, scheduler: Scheduler) -> None:
    longer = ONE.replace("{int: [1, 8]}", "{int: [4, 8]}").replace("steps: 2}", "steps: 4}")
    longer = longer.replace("{choice: [1, 2]}", "{choice: [8, 4]}")
    assert load(tmp_path, f"{longer}scheduler: {text}\n").scheduler == scheduler


def test_constraints_are_listed_one_by_one(tmp_path: Path) -> None:
    text = "constraints: {psnr: {min: input}, seconds_per_volume: {max: 20}, fid: {min: 1, max: 2.5}}\n"
    assert load(tmp_path, ONE + text).constraints == (
        Constraint("psnr", "min", "input"),
        Constraint("seconds_per_volume", "max", 20.0),
        Constraint("fid", "min", 1.0),
        Constraint("fid", "max", 2.5),
    )


def test_a_budget_has_every_limit(tmp_path: Path) -> None:
    limits = "gpu_hours: 40, cost: 100, cost_per_gpu_hour: 2.5, plateau_percent: 1, plateau_trials: 20"
    assert load(tmp_path, ONE.replace("hours: 1.5", limits)).budget == Budget(
        trials=8, gpu_hours=40, cost=100, cost_per_gpu_hour=2.5, plateau_percent=1, plateau_trials=20
    )


@pytest.mark.parametrize("sampler", ["auto", "tpe", "nsga3", "gp", "sobol", "random"])
def test_samplers_are_known_by_name(tmp_path: Path, sampler: str) -> None:
    assert load(tmp_path, ONE.replace("sampler: tpe", f"sampler: {sampler}")).sampler == sampler


def test_a_study_may_be_deterministic(tmp_path: Path) -> None:
    assert load(tmp_path, ONE + "deterministic: true\n").deterministic
    assert not load(tmp_path, ONE + "deterministic: false\n").deterministic


def test_a_name_from_the_file_must_be_valid_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my space\.yaml:2: name: .*it is the file's name"):
        load_study(write(tmp_path, ONE, "my space.yaml"), classes=TOYS)


CASES: list[Case] = [
    ("  fid: minimize", "  fidd: minimize", 4, "objectives.fidd ... did you mean fid?"),
    ("batch: 4", "bach: 4", 17, "fixed.bach ... did you mean batch?"),
    ("size: 1mm", "sise: 1mm", 21, "cohort.sise ... did you mean size?"),
    ("method: toy", "method: tou", 2, "method ... did you mean toy?"),
    ("fid: minimize", "fid: maximize", 4, "objectives.fid ... maximize ... allowed: minimize"),
    ("sampler: tpe", "sampler: tpee", 6, '"tpee" ... did you mean tpe? allowed: auto, tpe'),
    ("source: brains", "source: brain", 21, 'cohort.source ... "brain" ... brains, scans'),
    ("size: 1mm", "size: 3mm", 21, "cohort.size ... 3mm ... 1mm, 2mm"),
    ("trials: 8, ", "", 24, "budget ... trials ... no default"),
    ("source: brains, ", "", 21, "cohort ... source is missing"),
    ("method: toy", "method: [toy, 3]", 2, "method[1] ... 3 ... a name"),
    ("method: toy", "method: []", 2, "method ... [] ... a name, or a list"),
    ("method: toy", "method: [toy, tou]", 2, "method ... did you mean toy?"),
    ("method: toy", "method: [toy, toy]", 2, "method[1] ... twice"),
    ("method: toy", "method: 3", 2, "method ... 3 ... a name"),
    ("objectives:\n  fid: minimize\n  ms_ssim: maximize", "objectives: fid", 3, "objectives ... a mapping"),
    ("sampler: tpe", "sampler: [tpe]", 6, "sampler ... allowed: auto"),
    ("fixed: {batch: 4, rate: 1e-4}", "fixed:", 17, "fixed ... null ... a mapping"),
    ("batch: 4", "batch: 4.0", 17, "fixed.batch ... 4.0 ... an integer in [1, 64]"),
    ("batch: 4", "batch: 65", 17, "fixed.batch ... 65 ... [1, 64]"),
    ("cohort: {source: brains, size: 1mm}", "cohort: brains", 21, "cohort ... brains ... a mapping"),
    ("teacher_steps: 300", "teacher_steps: 0", 22, "references.teacher_steps ... 0 ... [1, 1e+07]"),
    ("cpus: 2", "cpus: 0", 23, "resources.cpus ... 0 ... [1, 1024]"),
    ("gpus: 0.5", "gpus: 4", 23, "resources.gpus ... 4 ... workers: 4"),
    ("gpus: 0.5, concurrent: 2, workers: 1", "gpus: 1, workers: 4", 23, "resources.gpus ... 1 ... 0 or 4"),
    ("concurrent: 2", "concurrent: -1", 23, "resources.concurrent ... -1 ... [0, 100000]"),
    ("trials: 8", "trials: 0", 24, "budget.trials ... 0 ... [1, 1e+06]"),
    ("hours: 1.5", "hours: -1", 24, "budget.hours ... -1 ... above 0; leave it out for no limit"),
    ("hours: 1.5", "hours: 0", 24, "budget.hours ... 0 is ... above 0; leave it out for no limit"),
    ("hours: 1.5", "hours: 1e9", 24, "budget.hours ... 1000000000.0 ... [0, 100000]"),
    ("hours: 1.5", "plateau_trials: 0", 24, "budget.plateau_trials ... 0 is ... above 0"),
    ("hours: 1.5", "cost: 5", 24, "budget.cost ... 5.0 ... together with cost_per_gpu_hour"),
    ("seed: 7", "seed: -7", 25, "seed ... -7 ... an integer in [0, 2147483647]"),
    ("seed: 7", "seed: 7.5", 25, "seed ... 7.5 ... an integer"),
    ("seed: 7", "name: a/b", 25, "name ... a/b ... letters, digits"),
    ("seed: 7", "name: 3", 25, "name ... 3 ... letters, digits"),
    ("seed: 7", "scheduler: asah", 25, 'scheduler ... "asah" ... did you mean asha? ... none, asha'),
    ("seed: 7", "scheduler: [asha]", 25, "scheduler ... none, asha"),
    ("seed: 7", "scheduler: {name: aha}", 25, "scheduler.name ... did you mean asha?"),
    ("seed: 7", "scheduler: {grace: 2}", 25, "scheduler ... name is missing ... none, asha"),
    ("seed: 7", "scheduler: {name: asha, grac: 2}", 25, "scheduler.grac ... did you mean grace?"),
    ("seed: 7", "scheduler: {name: none, grace: 2}", 25, "scheduler.grace ... name: none ... name: asha"),
    ("seed: 7", "scheduler: {name: asha, grace: 0}", 25, "scheduler.grace ... 0 is ... above 0; leave it"),
    ("seed: 7", "scheduler: {name: asha, reduction: 1}", 25, "scheduler.reduction ... 1 ... [2, 16]"),
    ("seed: 7", "scheduler: {name: asha, brackets: 9}", 25, "scheduler.brackets ... 9 ... [1, 8]"),
    ("seed: 7", "scheduler: {name: asha, min_results: 0}", 25, "scheduler.min_results ... above 0"),
    ("seed: 7", "constraints: {psnt: {min: 1}}", 25, "constraints.psnt ... did you mean psnr?"),
    ("seed: 7", "constraints: [psnr]", 25, "constraints ... a mapping"),
    ("seed: 7", "constraints: {psnr: 20}", 25, "constraints.psnr ... 20 ... {min: number or input}"),
    ("seed: 7", "constraints: {psnr: {}}", 25, "constraints.psnr ... {} ... or both"),
    ("seed: 7", "constraints: {psnr: {mim: 1}}", 25, "constraints.psnr.mim ... did you mean min?"),
    ("seed: 7", "constraints: {psnr: {min: inputs}}", 25, "constraints.psnr.min ... a number, or input"),
    ("seed: 7", "constraints: {psnr: {min: true}}", 25, "constraints.psnr.min ... true ... a number"),
    ("seed: 7", "constraints: {psnr: {min: 21, max: 20}}", 25, "constraints.psnr ... min at most max"),
    ("seed: 7", "constraints: {ms_ssim: {min: 1}}", 25, "constraints.ms_ssim.min ... 1 ... below 1"),
    ("seed: 7", "constraints: {seconds_per_volume: {max: 0}}", 25, "seconds_per_volume.max ... above 0"),
    ("seed: 7", "constraints: {fid: {max: -1}}", 25, "constraints.fid.max ... -1 ... above 0"),
    ("seed: 7", "constraints: {seconds_per_volume: {max: input}}", 25, 'max: "input" ... allowed: a number'),
    ("seed: 7", "deterministic: 1", 25, "deterministic ... 1 ... true or false"),
    ("  fid: minimize\n  ms_ssim: maximize", "  {}", 3, "objectives ... 1 to 4 of fid, kid"),
    ("sampler", "  kid: minimize\n  psnr: maximize\n  piqe: minimize\nsampler", 3, "objectives ... 5 ob"),
]
OF_TWO: list[Case] = [
    ("[bridge, patch]", "[bridge, pitch]", 1, "method: 'pitch' ... did you mean patch?"),
    ("[bridge, patch]", "bridge", 5, "fixed.limit ... unknown key ... weight, steps"),
    ("limit: 20", "limit: 101", 5, "fixed.limit ... 101 ... [0, 100]"),
    ("widths: [4, 8]", "width: [4, 8]", 5, "fixed.width ... did you mean widths?"),
    ("widths: [4, 8]", "method: patch", 5, "fixed.method ... unknown key"),
]


@pytest.mark.parametrize(
    ("text", "case"), [*((ONE, case) for case in CASES), *((TWO, case) for case in OF_TWO)]
)
def test_an_error_is_one_line(tmp_path: Path, text: str, case: Case) -> None:
    require_refused(tmp_path, text, case)
