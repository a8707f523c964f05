"""Search spaces: what a good file becomes, and that every bad one is told in one line."""

import dataclasses
import random
import re
from dataclasses import dataclass
from pathlib import Path
from platform.spaces import loader
from platform.spaces.loader import find_space, load_study
from platform.study import study
from platform.study.budget import Budget
from platform.study.config_classes import Classes
from platform.study.dimensions import Choice, Int, IntLog, Log, Uniform
from platform.study.settings import Constraint, Objective, Resources, Scheduler
from platform.study.study import Study
from typing import Annotated, Literal

import pytest

from trainers.config import FieldError, Range
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    weight: Annotated[float, Range(0.01, 1000)] = 1.0
    edge: Annotated[float, Range(0, 1)] = 0.1
    steps: Annotated[int, Range(1, 64)] = 5
    updates: Annotated[int, Range(1, 20)] = 1
    batch: Annotated[int, Range(1, 64)] = 2
    rate: float = 1e-3
    flag: bool = True
    form: Literal["image", "residual"] = "image"
    order: Literal[1, 2] = 1
    widths: tuple[int, ...] = (8, 16)
    note: str = ""

    def __post_init__(self) -> None:
        if self.edge >= self.weight:
            raise InputError(f"edge {self.edge} must be below weight {self.weight}")


@dataclass(frozen=True, kw_only=True)
class BrainsConfig:
    size: Literal["1mm", "2mm"] = "2mm"
    train: Annotated[int, Range(1, 100)] = 24


@dataclass(frozen=True, kw_only=True)
class ScansConfig:
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class TeachersConfig:
    teacher_steps: Annotated[int, Range(1, 10**7)] = 100_000
    teacher_widths: tuple[int, ...] = (64, 128)


def toy_method(name: str) -> type:
    if name != "toy":
        raise InputError(f"method: {name!r} is not known; did you mean toy? allowed: toy")
    return ToyConfig


def toy_cohort(source: str) -> type:
    known: dict[str, type] = {"brains": BrainsConfig, "scans": ScansConfig}
    if source not in known:
        raise FieldError("source", source, "one of brains, scans")
    return known[source]


TOY = Classes(toy_method, toy_cohort, lambda: TeachersConfig)

GOOD = """\
# a study
method: toy
objectives:
  fid: minimize
  ms_ssim: maximize
sampler: tpe
search:
  weight: {log: [0.1, 100]}
  edge: {uniform: [0.03, 0.2]}
  steps: {int: [1, 8]}
  updates: {int_log: [1, 16]}
  form: {choice: [image, residual]}
  order:
    choice:
      - 1
      - 2
fixed: {batch: 4, rate: 1e-4}
start_from:
  - {weight: 10, steps: 2}
  - {}
cohort: {source: brains, size: 1mm}
references: {teacher_steps: 300}
resources: {cpus: 2, gpus: 0.5, concurrent: 2, workers: 1}
budget: {trials: 8, hours: 1.5}
seed: 7
profiles:
  laptop:
    search: {weight: null, steps: {choice: [1, 2]}}
    fixed: {weight: 2}
    start_from: none
    cohort: {train: 2}
  other:
    cohort: {source: scans, folder: data}
    objectives: {psnr: maximize, fid: null}
"""


def write(folder: Path, text: str, name: str = "space.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def load(folder: Path, text: str = GOOD, profile: str | None = None) -> Study:
    return load_study(write(folder, text), profile=profile, classes=TOY)


def test_a_good_space_becomes_a_typed_study(tmp_path: Path) -> None:
    read = load(tmp_path)
    assert (read.name, read.method, read.config, read.profile) == ("space", "toy", ToyConfig, None)
    assert (read.methods, read.configs) == (("toy",), (ToyConfig,))
    assert read.objectives == (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
    assert read.search == (
        Log("weight", 0.1, 100.0),
        Uniform("edge", 0.03, 0.2),
        Int("steps", 1, 8),
        IntLog("updates", 1, 16),
        Choice("form", ("image", "residual")),
        Choice("order", (1, 2)),
    )
    assert read.fixed == {"batch": 4, "rate": 1e-4}
    assert read.cohort == study.Cohort("brains", BrainsConfig(size="1mm"))
    assert read.references == {"teacher_steps": 300}
    assert read.resources == Resources(cpus=2, gpus=0.5, concurrent=2, workers=1)
    assert (read.budget, read.sampler, read.seed) == (Budget(trials=8, hours=1.5), "tpe", 7)


def test_start_points_are_completed_by_the_defaults(tmp_path: Path) -> None:
    defaults = {"weight": 1.0, "edge": 0.1, "steps": 5, "updates": 1, "form": "image", "order": 1}
    assert load(tmp_path).start == (defaults | {"weight": 10.0, "steps": 2}, defaults)
    unsaid = GOOD.replace("start_from:\n  - {weight: 10, steps: 2}\n  - {}\n", "")
    assert load(tmp_path, unsaid).start == (defaults,)
    assert load(tmp_path, GOOD, "laptop").start == ()


def test_only_five_keys_are_required(tmp_path: Path) -> None:
    read = load(
        tmp_path,
        "method: toy\nobjectives: {fid: minimize}\nsearch: {edge: {uniform: [0, 0.5]}}\n"
        "cohort: {source: brains}\nbudget: {trials: 1}\n",
    )
    assert (read.sampler, read.seed, read.fixed, read.references) == ("auto", 0, {}, {})
    assert (read.resources, read.budget) == (Resources(), Budget(trials=1))
    assert (read.scheduler, read.constraints, read.warm, read.deterministic) == (Scheduler(), (), "", False)


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
    steps_of_four = GOOD.replace("{int: [1, 8]}", "{int: [4, 8]}").replace("steps: 2}", "steps: 4}")
    steps_of_four = steps_of_four.replace("{choice: [1, 2]}", "{choice: [8, 4]}")
    assert load(tmp_path, f"{steps_of_four}scheduler: {text}\n").scheduler == scheduler


def test_constraints_are_bounds_one_by_one(tmp_path: Path) -> None:
    text = "constraints: {psnr: {min: input}, seconds_per_volume: {max: 20}, fid: {min: 1, max: 2.5}}\n"
    assert load(tmp_path, GOOD + text).constraints == (
        Constraint("psnr", "min", "input"),
        Constraint("seconds_per_volume", "max", 20.0),
        Constraint("fid", "min", 1.0),
        Constraint("fid", "max", 2.5),
    )


def test_every_limit_of_a_budget_is_read(tmp_path: Path) -> None:
    limits = "gpu_hours: 40, cost: 100, cost_per_gpu_hour: 2.5, plateau_percent: 1, plateau_trials: 20"
    assert load(tmp_path, GOOD.replace("hours: 1.5", limits)).budget == Budget(
        trials=8, gpu_hours=40, cost=100, cost_per_gpu_hour=2.5, plateau_percent=1, plateau_trials=20
    )


def test_an_earlier_study_is_known_and_the_defaults_are_tried_where_they_fit(tmp_path: Path) -> None:
    listed = "start_from:\n  - {weight: 10, steps: 2}\n  - {}\n"
    defaults = load(tmp_path, GOOD.replace(listed, "")).start
    warm = load(tmp_path, GOOD.replace(listed, "start_from: {study: early-1}\n"))
    assert (warm.warm, warm.start) == ("early-1", defaults)
    narrow = GOOD.replace(listed, "start_from: {study: early-1}\n").replace("{int: [1, 8]}", "{int: [1, 4]}")
    assert load(tmp_path, narrow).start == ()
    both = GOOD.replace(listed, "start_from: {study: early-1, points: [{steps: 2}, {}]}\n")
    assert load(tmp_path, both).start == (defaults[0] | {"steps": 2}, *defaults)
    assert load(tmp_path, GOOD.replace(listed, "start_from: {study: e, points: none}\n")).start == ()


def test_a_point_that_another_is_once_completed_is_tried_once(tmp_path: Path) -> None:
    listed = "start_from:\n  - {weight: 10, steps: 2}\n  - {}\n"
    (default,) = load(tmp_path, GOOD.replace(listed, "")).start
    points = f"[{{}}, {{weight: 10, steps: 2}}, {{steps: {default['steps']}}}, {{weight: 10.0, steps: 2}}]"
    found = load(tmp_path, GOOD.replace(listed, f"start_from: {points}\n")).start
    assert found == (default, default | {"weight": 10.0, "steps": 2})


def test_a_study_may_be_deterministic(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "deterministic: true\n").deterministic
    assert not load(tmp_path, GOOD + "deterministic: false\n").deterministic


@pytest.mark.parametrize("sampler", ["auto", "tpe", "nsga3", "gp", "sobol", "random"])
def test_samplers_are_known_by_name(tmp_path: Path, sampler: str) -> None:
    assert load(tmp_path, GOOD.replace("sampler: tpe", f"sampler: {sampler}")).sampler == sampler


def test_a_grid_needs_an_end_of_values_in_every_profile(tmp_path: Path) -> None:
    grid = GOOD.replace("sampler: tpe", "sampler: grid").replace("{log: [0.1, 100]}", "{choice: [1, 10]}")
    with pytest.raises(InputError, match=r"yaml:9: search.edge: \[0.03, 0.2\] has no end .* a step, as in"):
        load(tmp_path, grid)
    stepped = grid.replace("{uniform: [0.03, 0.2]}", "{uniform: [0.03, 0.2], step: 0.01}")
    stepped = stepped.replace("- {}", "- {edge: 0.2}")
    assert load(tmp_path, stepped).sampler == "grid"


def test_a_space_that_config_never_takes_is_told_with_the_refusal(tmp_path: Path) -> None:
    """Edges from .5 on are above every weight; the refusals differ in their numbers alone."""
    text = GOOD.replace("{log: [0.1, 100]}", "{log: [0.1, 0.4]}").replace("[0.03, 0.2]", "[0.5, 0.9]")
    text = text[: text.index("start_from")] + "start_from: none\n" + text[text.index("cohort") :]
    with pytest.raises(InputError) as caught:
        load(tmp_path, text[: text.index("profiles")])
    told = r":7: search: Config refuses every point: 'edge 0\.7 must be below weight 0\.2' \(1000 of 1000\)"
    assert re.search(told, str(caught.value))
    corner = text[: text.index("profiles")].replace("[0.1, 0.4]", "[0.1, 0.6]")
    assert load(tmp_path, corner).search  # a hundredth of the space is enough


def test_a_profile_merges_key_by_key_and_null_drops(tmp_path: Path) -> None:
    laptop = load(tmp_path, GOOD, "laptop")
    assert [dimension.name for dimension in laptop.search] == ["edge", "steps", "updates", "form", "order"]
    assert laptop.search[1] == Choice("steps", (1, 2))
    assert laptop.fixed == {"batch": 4, "rate": 1e-4, "weight": 2.0}
    assert laptop.cohort.config == BrainsConfig(size="1mm", train=2)
    assert laptop.profile == "laptop"
    other = load(tmp_path, GOOD, "other")
    assert other.cohort == study.Cohort("scans", ScansConfig(folder="data"))
    assert [objective.name for objective in other.objectives] == ["ms_ssim", "psnr"]


NO_GPUS = "cpus: 2, gpus: 0.5, concurrent: 2, workers: 1}\nbudget: {trials: 8, hours: 1.5}\n"

# An edit of GOOD, the line that is blamed, and words that the message holds.
BAD: list[tuple[str, str, int, tuple[str, ...]]] = [
    # unknown keys, at every level
    ("method: toy", "methd: toy", 2, ("methd", "did you mean method?")),
    ("seed: 7", "sead: 7", 25, ("sead", "did you mean seed?")),
    ("  fid: minimize", "  fidd: minimize", 4, ("objectives.fidd", "did you mean fid?")),
    ("  weight: {log", "  wieght: {log", 8, ("search.wieght", "did you mean weight?")),
    ("{log: [0.1", "{lgo: [0.1", 8, ("search.weight.lgo", "did you mean log?")),
    ("batch: 4", "bach: 4", 17, ("fixed.bach", "did you mean batch?")),
    ("{weight: 10", "{wight: 10", 19, ("start_from[0].wight", "did you mean weight?")),
    ("size: 1mm", "sise: 1mm", 21, ("cohort.sise", "did you mean size?")),
    ("teacher_steps", "teacher_stops", 22, ("references.teacher_stops", "did you mean teacher_steps?")),
    ("cpus: 2", "cpu: 2", 23, ("resources.cpu", "did you mean cpus?")),
    ("trials: 8", "trails: 8", 24, ("budget.trails", "did you mean trials?")),
    ("    cohort: {train", "    cohorts: {train", 31, ("profiles.laptop.cohorts", "did you mean cohort?")),
    ("{train: 2}", "{trian: 2}", 31, ("cohort.trian", "did you mean train?")),
    # unknown values
    ("method: toy", "method: tou", 2, ("method", "did you mean toy?")),
    ("fid: minimize", "fid: maximize", 4, ("objectives.fid", "maximize", "allowed: minimize")),
    ("fid: minimize", "fid: min", 4, ("objectives.fid", '"min"', "allowed: minimize")),
    (
        "sampler: tpe",
        "sampler: tpee",
        6,
        ("sampler", '"tpee"', "did you mean tpe?", "auto, tpe, nsga3, gp, sobol"),
    ),
    ("sampler: tpe", "sampler: soboll", 6, ("sampler", "did you mean sobol?")),
    ("sampler: tpe", "sampler: grid", 8, ("search.weight", "no end of values", "grid", "step")),
    ("source: brains", "source: brain", 21, ("cohort.source", '"brain"', "brains, scans")),
    ("size: 1mm", "size: 3mm", 21, ("cohort.size", "3mm", "1mm, 2mm")),
    # what is missing
    ("method: toy\n", "", 2, ("method is missing",)),
    ("budget: {trials: 8, hours: 1.5}\n", "", 2, ("budget is missing",)),
    ("sampler: tpe", "sampler: tpe\nsearch_: {}", 7, ("search_", "did you mean search?")),
    ("trials: 8, ", "", 24, ("budget", "trials", "no default")),
    ("source: brains, ", "", 21, ("cohort", "source is missing")),
    # wrong types
    ("method: toy", "method: [toy, 3]", 2, ("method[1]", "3", "a name")),
    ("method: toy", "method: []", 2, ("method", "[]", "a name, or a list")),
    ("method: toy", "method: {toy: 1}", 2, ("method", "toy", "a name")),
    ("method: toy", "method: [toy, tou]", 2, ("method", "did you mean toy?")),
    ("method: toy", "method: [toy, toy]", 2, ("method[1]", "twice")),
    ("method: toy", "method: 3", 2, ("method", "3", "a name")),
    ("method: toy", "method:", 2, ("method", "null", "a name")),
    ("objectives:\n  fid: minimize\n  ms_ssim: maximize", "objectives: fid", 3, ("objectives", "a mapping")),
    ("sampler: tpe", "sampler: [tpe]", 6, ("sampler", "allowed: auto")),
    ("{weight: 10, steps: 2}", "weight", 18, ("start_from", "weight", "a list of points")),
    ("fixed: {batch: 4, rate: 1e-4}", "fixed:", 17, ("fixed", "null", "a mapping")),
    ("fixed: {batch: 4, rate: 1e-4}", "fixed: [batch]", 17, ("fixed", "batch", "a mapping")),
    ("batch: 4", "batch: 4.0", 17, ("fixed.batch", "4.0", "an integer in [1, 64]")),
    ("batch: 4", "batch: true", 17, ("fixed.batch", "true", "an integer")),
    ("batch: 4", "batch: '4'", 17, ("fixed.batch", '"4"', "an integer")),
    ("batch: 4", "batch: 65", 17, ("fixed.batch", "65", "[1, 64]")),
    ("batch: 4", "flag: yes", 17, ("fixed.flag", '"yes"', "true or false")),
    ("rate: 1e-4", "rate: fast", 17, ("fixed.rate", "fast", "a number")),
    ("rate: 1e-4", "note: 1e-4", 17, ("fixed.note", "0.0001", "text")),
    ("rate: 1e-4", "widths: 3", 17, ("fixed.widths", "3", "a list of integers")),
    ("cohort: {source: brains, size: 1mm}", "cohort: brains", 21, ("cohort", "brains", "a mapping")),
    ("teacher_steps: 300", "teacher_steps: 0", 22, ("references.teacher_steps", "0", "[1, 1e+07]")),
    ("teacher_steps: 300", "teacher_widths: 8", 22, ("references.teacher_widths", "8", "a list of integers")),
    ("cpus: 2", "cpus: 0", 23, ("resources.cpus", "0", "[1, 1024]")),
    ("gpus: 0.5", "gpus: two", 23, ("resources.gpus", "two", "a number")),
    ("gpus: 0.5", "gpus: 4", 23, ("resources.gpus", "4", "workers: 4")),
    ("gpus: 0.5, concurrent: 2, workers: 1", "gpus: 1, workers: 4", 23, ("resources.gpus", "1", "0 or 4")),
    ("concurrent: 2", "concurrent: -1", 23, ("resources.concurrent", "-1", "[0, 100000]")),
    ("trials: 8", "trials: 0", 24, ("budget.trials", "0", "[1, 1e+06]")),
    ("trials: 8", "trials: many", 24, ("budget.trials", "many", "an integer")),
    ("hours: 1.5", "hours: -1", 24, ("budget.hours", "-1", "above 0; leave it out for no limit")),
    ("hours: 1.5", "hours: 0", 24, ("budget.hours", "0 is", "above 0; leave it out for no limit")),
    ("hours: 1.5", "hours: 1e9", 24, ("budget.hours", "1000000000.0", "[0, 100000]")),
    ("hours: 1.5", "gpu_hours: 0.0", 24, ("budget.gpu_hours", "0.0 is", "above 0; leave it out")),
    ("hours: 1.5", "cost: 0", 24, ("budget.cost", "0 is", "above 0")),
    ("hours: 1.5", "plateau_percent: 0", 24, ("budget.plateau_percent", "0 is", "above 0")),
    ("hours: 1.5", "plateau_trials: 0", 24, ("budget.plateau_trials", "0 is", "above 0")),
    ("hours: 1.5", "cost: 5", 24, ("budget.cost", "5.0", "together with cost_per_gpu_hour")),
    ("hours: 1.5", "cost_per_gpu_hour: 5", 24, ("budget.cost_per_gpu_hour", "only together with cost")),
    ("hours: 1.5", "plateau_percent: 5", 24, ("budget.plateau_percent", "together with plateau_trials")),
    ("hours: 1.5", "plateau_trials: 5", 24, ("budget.plateau_trials", "together with plateau_percent")),
    ("hours: 1.5", "plateau_percents: 5", 24, ("budget.plateau_percents", "did you mean plateau_percent?")),
    (NO_GPUS, "cpus: 2}\nbudget: {trials: 1, gpu_hours: 5}\n", 24, ("budget.gpu_hours", "5 is", "gpus: 0")),
    (
        NO_GPUS,
        "cpus: 2}\nbudget: {trials: 1, cost: 5, cost_per_gpu_hour: 2}\n",
        24,
        ("budget.cost", "gpus: 0"),
    ),
    ("seed: 7", "seed: -7", 25, ("seed", "-7", "an integer in [0, 2147483647]")),
    ("seed: 7", "seed: 7.5", 25, ("seed", "7.5", "an integer")),
    ("seed: 7", "name: a/b", 25, ("name", "a/b", "letters, digits")),
    ("seed: 7", "name: 3", 25, ("name", "3", "letters, digits")),
    # scheduler
    ("seed: 7", "scheduler: asah", 25, ("scheduler", '"asah"', "did you mean asha?", "none, asha")),
    ("seed: 7", "scheduler:", 25, ("scheduler", "null", "none, asha")),
    ("seed: 7", "scheduler: [asha]", 25, ("scheduler", "none, asha")),
    ("seed: 7", "scheduler: {name: aha}", 25, ("scheduler.name", "did you mean asha?")),
    ("seed: 7", "scheduler: {grace: 2}", 25, ("scheduler", "name is missing", "none, asha")),
    ("seed: 7", "scheduler: {name: asha, grac: 2}", 25, ("scheduler.grac", "did you mean grace?")),
    ("seed: 7", "scheduler: {name: none, grace: 2}", 25, ("scheduler.grace", "name: none", "name: asha")),
    ("seed: 7", "scheduler: {name: asha, grace: 0}", 25, ("scheduler.grace", "0 is", "above 0; leave it")),
    ("seed: 7", "scheduler: {name: asha, grace: x}", 25, ("scheduler.grace", "x", "an integer")),
    ("seed: 7", "scheduler: {name: asha, grace: 1}", 25, ("scheduler.grace", "1 is", "below 1, the steps")),
    ("seed: 7", "scheduler: {name: asha, reduction: 1}", 25, ("scheduler.reduction", "1", "[2, 16]")),
    ("seed: 7", "scheduler: {name: asha, reduction: 17}", 25, ("scheduler.reduction", "17", "[2, 16]")),
    ("seed: 7", "scheduler: {name: asha, brackets: 0}", 25, ("scheduler.brackets", "0", "[1, 8]")),
    ("seed: 7", "scheduler: {name: asha, brackets: 9}", 25, ("scheduler.brackets", "9", "[1, 8]")),
    ("seed: 7", "scheduler: {name: asha, min_results: 0}", 25, ("scheduler.min_results", "above 0")),
    # constraints
    ("seed: 7", "constraints: {psnt: {min: 1}}", 25, ("constraints.psnt", "did you mean psnr?")),
    ("seed: 7", "constraints: [psnr]", 25, ("constraints", "a mapping")),
    ("seed: 7", "constraints: {psnr: 20}", 25, ("constraints.psnr", "20", "{min: number or input}")),
    ("seed: 7", "constraints: {psnr: {}}", 25, ("constraints.psnr", "{}", "or both")),
    ("seed: 7", "constraints: {psnr: {mim: 1}}", 25, ("constraints.psnr.mim", "did you mean min?")),
    ("seed: 7", "constraints: {psnr: {min: inputs}}", 25, ("constraints.psnr.min", "a number, or input")),
    ("seed: 7", "constraints: {psnr: {min: true}}", 25, ("constraints.psnr.min", "true", "a number")),
    ("seed: 7", "constraints: {psnr: {min:}}", 25, ("constraints.psnr.min", "null", "a number")),
    ("seed: 7", "constraints: {psnr: {min: 21, max: 20}}", 25, ("constraints.psnr", "min at most max")),
    ("seed: 7", "constraints: {ms_ssim: {min: 2}}", 25, ("constraints.ms_ssim.min", "2", "below 1")),
    ("seed: 7", "constraints: {ms_ssim: {min: 1}}", 25, ("constraints.ms_ssim.min", "1", "below 1")),
    ("seed: 7", "constraints: {seconds_per_volume: {max: 0}}", 25, ("seconds_per_volume.max", "above 0")),
    ("seed: 7", "constraints: {fid: {max: -1}}", 25, ("constraints.fid.max", "-1", "above 0")),
    (
        "seed: 7",
        "constraints: {seconds_per_volume: {max: input}}",
        25,
        ("constraints.seconds_per_volume.max", "input", "allowed: a number"),
    ),
    (
        "seed: 7",
        "deterministic: true\nconstraints: {seconds_per_volume: {max: 9}}",
        25,
        ("deterministic", "true is not", "without seconds_per_volume"),
    ),
    ("seed: 7", "deterministic: 1", 25, ("deterministic", "1", "true or false")),
    ("seed: 7", "determinstic: true", 25, ("determinstic", "did you mean deterministic?")),
    # objectives
    ("  fid: minimize\n  ms_ssim: maximize", "  {}", 3, ("objectives", "1 to 4 of fid, kid")),
    ("sampler", "  kid: minimize\n  psnr: maximize\n  piqe: minimize\nsampler", 3, ("objectives", "5 ob")),
    # domains
    ("{log: [0.1, 100]}", "[0.1, 100]", 8, ("search.weight", "{uniform: [low, high]}", "{choice: [...]}")),
    ("{log: [0.1, 100]}", "{}", 8, ("search.weight", "{log: [low, high]}")),
    ("{log: [0.1, 100]}", "{log: [1, 2], uniform: [1, 2]}", 8, ("search.weight", "{log: [low, high]}")),
    ("{log: [0.1, 100]}", "{log: 3}", 8, ("search.weight.log", "3", "[low, high]")),
    ("{log: [0.1, 100]}", "{log: [1, 2, 3]}", 8, ("search.weight.log", "[1, 2, 3]", "[low, high]")),
    ("{log: [0.1, 100]}", "{log: [a, 2]}", 8, ("search.weight.log[0]", '"a"', "a number in [0.01, 1000]")),
    ("{log: [0.1, 100]}", "{log: [true, 2]}", 8, ("search.weight.log[0]", "true", "a number")),
    ("{log: [0.1, 100]}", "{log: [0.001, 100]}", 8, ("search.weight.log[0]", "0.001", "[0.01, 1000]")),
    ("{log: [0.1, 100]}", "{log: [0.1, 1e4]}", 8, ("search.weight.log[1]", "10000.0", "[0.01, 1000]")),
    ("{log: [0.1, 100]}", "{log: [100, 0.1]}", 8, ("search.weight.log", "[100, 0.1]", "low below high")),
    ("{log: [0.1, 100]}", "{log: [1, 1]}", 8, ("search.weight.log", "[1, 1]", "low below high")),
    ("{log: [0.1, 100]}", "{int: [1, 100]}", 8, ("search.weight.int", "uniform, log, choice")),
    ("{uniform: [0.03, 0.2]}", "{log: [0, 0.2]}", 9, ("search.edge.log", "[0, 0.2]", "low above 0")),
    ("{uniform: [0.03, 0.2]}", "\n    log:\n    - 0.03\n    - 2", 12, ("search.edge.log[1]", "2", "[0, 1]")),
    ("{int: [1, 8]}", "{uniform: [1, 8]}", 10, ("search.steps.uniform", "int, int_log, choice")),
    ("{int: [1, 8]}", "{int: [1, 8.5]}", 10, ("search.steps.int[1]", "8.5", "an integer in [1, 64]")),
    ("{int: [1, 8]}", "{int: [0, 8]}", 10, ("search.steps.int[0]", "0", "an integer in [1, 64]")),
    ("{int: [1, 8]}", "{int: [1, 1e1]}", 10, ("search.steps.int[1]", "10.0", "an integer")),
    ("[image, residual]", "[image, raw]", 12, ("search.form.choice[1]", "raw", "image, residual")),
    ("{choice: [image, residual]}", "{choice: image}", 12, ("search.form.choice", "image", "at least two")),
    ("{choice: [image, residual]}", "{choice: [image]}", 12, ("search.form.choice", "image", "at least two")),
    ("{choice: [image, residual]}", "{choice: [image, image]}", 12, ("search.form.choice[1]", "twice")),
    ("{choice: [image, residual]}", "{int: [1, 2]}", 12, ("search.form.int", "image, residual", "choice")),
    ("      - 1\n", "      - x\n", 15, ("search.order.choice[0]", '"x"', "1, 2")),
    ("  order:\n", "  widths:\n", 13, ("search.widths", "a list cannot be searched")),
    # steps
    ("{uniform: [0.03, 0.2]}", "{uniform: [0, 1], stp: 0.1}", 9, ("search.edge.stp", "did you mean step?")),
    ("{uniform: [0.03, 0.2]}", "{step: 0.1}", 9, ("search.edge", "{uniform: [low, high]}")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0, 1], int: 2}", 9, ("search.edge.int", "allowed: step, when")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0.1, 0.4], step: 0}", 9, ("search.edge.step", "0", "above 0")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0.1, 0.4], step: -1}", 9, ("search.edge.step", "-1", "above 0")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0.1, 0.4], step: 0.31}", 9, ("search.edge.step", "the length of")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0.1, 0.4], step: x}", 9, ("search.edge.step", '"x"', "a number")),
    ("{uniform: [0.03, 0.2]}", "{uniform: [0.1, 0.4], step:}", 9, ("search.edge.step", "null", "a number")),
    ("{int: [1, 8]}", "{int: [1, 8], step: 1.5}", 10, ("search.steps.step", "1.5", "an integer above 0")),
    ("{int: [1, 8]}", "{int: [1, 8], step: 0}", 10, ("search.steps.step", "0", "above 0")),
    ("{int: [1, 8]}", "{int: [1, 8], step: 8}", 10, ("search.steps.step", "8", "at most the length of")),
    ("{int: [1, 8]}", "{int: [2, 8], step: 2}", 10, ("search.steps", "default 5", "[2, 8] in steps of 2")),
    ("{int: [1, 8]}", "{int_log: [1, 8], step: 2}", 10, ("search.steps.step", "int_log", "uniform and int")),
    ("{log: [0.1, 100]}", "{log: [0.1, 100], step: 2}", 8, ("search.weight.step", "log", "uniform and int")),
    ("- 2\n", "- 2\n    step: 1\n", 17, ("search.order.step", "choice", "uniform and int")),
    # an earlier study
    ("- {}\n", "- {}\nstart_from_: 1\n", 21, ("start_from_", "did you mean start_from?")),
    ("    start_from: none", "    start_from: nine", 30, ("start_from", '"nine"', "defaults, none, a list")),
    ("    start_from: none", "    start_from: 3", 30, ("start_from", "3", "defaults, none, a list")),
    ("    start_from: none", "    start_from: {studdy: a}", 30, ("start_from.studdy", "did you mean study?")),
    ("    start_from: none", "    start_from: {study: a/b}", 30, ("start_from.study", "a/b", "the name of")),
    ("    start_from: none", "    start_from: {points: []}", 30, ("start_from.study", "null", "the name of")),
    (
        "    start_from: none",
        "    start_from: {study: a, points: [{steps: 9}]}",
        30,
        ("start_from.points[0].steps", "9", "1, 2"),
    ),
    # between the sections
    ("batch: 4", "batch: 4, edge: 0.1", 9, ("search.edge", "both searched and fixed (line 17)")),
    ("{log: [0.1, 100]}", "null", 8, ("search.weight", "null", "{log: [low, high]}")),
    ("weight: 10", "weight: 0.01", 19, ("start_from[0].weight", "0.01", "[0.1, 100.0]")),
    ("steps: 2}", "steps: 9}", 19, ("start_from[0].steps", "9", "[1, 8]")),
    ("steps: 2}", "steps: 2.0}", 19, ("start_from[0].steps", "2.0", "an integer")),
    ("steps: 2}", "batch: 2}", 19, ("start_from[0].batch", "unknown key", "weight, edge, steps")),
    ("{int: [1, 8]}", "{int: [1, 4]}", 10, ("search.steps", "the default 5", "start_from")),
    ("{weight: 10,", "{weight: 0.1, edge: 0.2,", 19, ("start_from[0]", "edge 0.2 must be below weight 0.1")),
    ("{weight: null", "{wight: null", 28, ("profiles.laptop.search.wight", "did you mean weight?")),
    ("{batch: 4, rate: 1e-4}", "{rate: 1e-4}\nprofile: {}", 18, ("profile", "did you mean profiles?")),
    # profiles
    ("fixed: {weight: 2}", "fixed: {edge: 0.1}", 9, ("search.edge", "both searched and fixed (line 29)")),
    ("    fixed: {weight: 2}", "    fixed: {weight: 2000}", 29, ("fixed.weight", "2000", "[0.01, 1000]")),
    ("fixed: {weight: 2}", "fixed: {weight: 0.05}", 29, ("fixed", "edge 0.1 must be below weight 0.05")),
    ("{choice: [1, 2]}", "{choice: [1, 99]}", 28, ("search.steps.choice[1]", "99", "[1, 64]")),
    ("  laptop:", "  laptop: 3\n  desk:", 27, ("profiles.laptop", "3", "a mapping")),
    ("    start_from: none", "    profiles: {}", 30, ("profiles.laptop.profiles", "unknown key")),
    ("fid: null}", "kid: null}", 34, ("objectives.kid", "null drops nothing")),
    ("{source: scans, folder: data}", "{source: scans, size: 1mm}", 33, ("cohort.size", "folder")),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), BAD)
def test_a_malformed_space_is_one_line(
    tmp_path: Path, old: str, new: str, line: int, words: tuple[str, ...]
) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/space.yaml:{line}: ")
    assert [word for word in words if word not in message] == []
    assert message.isprintable()


def test_the_first_of_several_errors_is_told(tmp_path: Path) -> None:
    text = GOOD
    edits = [
        ("seed: 7", "seed: x"),
        ("trials: 8", "trials: 0"),
        ("batch: 4", "bach: 4"),
        ("{int: [1, 8]}", "{int: 8}"),
    ]
    edits += [("sampler: tpe", "sampler: x"), ("fid: min", "fud: min"), ("method: toy", "method: x")]
    for (old, new), line in zip(edits, (25, 24, 17, 10, 6, 4, 2), strict=True):
        text = text.replace(old, new, 1)
        with pytest.raises(InputError, match=rf"space\.yaml:{line}: "):
            load(tmp_path, text)


def test_a_wrong_default_of_the_method_itself_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("fixed: {batch: 4, rate: 1e-4}\n", "").replace("    fixed: {weight: 2}\n", "")
    strict = dataclasses.make_dataclass(
        "Strict", [("needed", int)], bases=(ToyConfig,), frozen=True, kw_only=True
    )
    with pytest.raises(InputError, match=r"space.yaml:2: method: needed: .* no default"):
        load_study(write(tmp_path, text), classes=dataclasses.replace(TOY, method=lambda _: strict))


def test_an_unknown_profile_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"space.yaml:26: .*\"laptp\"; did you mean laptop\? allowed: laptop, other"
    ):
        load(tmp_path, GOOD, "laptp")
    with pytest.raises(InputError, match="allowed: none"):
        load(tmp_path, GOOD[: GOOD.index("profiles")], "laptop")


def test_a_name_from_the_file_must_be_fit_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my space\.yaml:2: name: .*it is the file's name"):
        load_study(write(tmp_path, GOOD, "my space.yaml"), classes=TOY)


def test_two_hundred_mutations_give_a_study_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(64)
    path = tmp_path / "space.yaml"
    refused = 0
    for _ in range(200):
        raw = bytearray(GOOD.encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(raw))
            edit = rng.choice(["replace", "delete", "insert", "swap", "double"])
            if edit == "replace":
                raw[at] = rng.randrange(256)
            elif edit == "delete":
                del raw[at : at + rng.randint(1, 8)]
            elif edit == "insert":
                raw[at:at] = rng.choice(
                    [b"[", b"{", b"&a ", b"*a", b"\n", b"\t", b": ", b"- ", b"!!int ", b"1e999", b"\xff"]
                )
            elif edit == "swap":
                raw[at], raw[at - 1] = raw[at - 1], raw[at]
            else:
                raw[at:at] = raw[at : at + 40]
        path.write_bytes(raw)
        try:
            assert isinstance(load_study(path, profile=rng.choice([None, "laptop"]), classes=TOY), Study)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}:") and str(error).isprintable()
    assert 100 < refused < 200


def test_every_file_that_misses_its_end_is_a_study_or_one_line(tmp_path: Path) -> None:
    for end in range(0, len(GOOD), 7):
        try:
            load(tmp_path, GOOD[:end])
        except InputError as error:
            assert str(error).startswith(f"{tmp_path}/space.yaml:")


def test_spaces_are_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "search_spaces").mkdir()
    shipped = write(tmp_path / "search_spaces", GOOD, "asp_dmd.yaml")
    own = write(tmp_path, GOOD, "own.yaml")
    monkeypatch.setattr(loader, "FOLDER", tmp_path / "search_spaces")
    assert find_space(str(own)) == own
    assert find_space("asp_dmd.yaml") == find_space("asp_dmd") == shipped
    with pytest.raises(
        InputError, match=r"no file asp_dnd, nor .*asp_dnd.yaml; did you mean asp_dmd\? .*asp_dmd"
    ):
        find_space("asp_dnd")


def test_the_shipped_folder_is_beside_the_platform() -> None:
    assert Path(loader.__file__).parent.parent / "search_spaces" == loader.FOLDER
