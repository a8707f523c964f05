"""A study's JSON, digest and points, its means, and where its classes are found."""

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from platform.study import study
from platform.study.budget import Budget
from platform.study.config_classes import Classes
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform
from platform.study.settings import CohortChoice, Constraint, Objective, Resources, Scheduler
from platform.study.study import Study
from typing import Annotated, Any

import pytest

import trainers.cohorts
import trainers.methods
from trainers.config import Range, build
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    weight: Annotated[float, Range(0.01, 1000)] = 1.0
    edge: float = 0.1
    steps: Annotated[int, Range(1, 64)] = 5
    batch: int = 2
    rate: float = 1e-3
    widths: tuple[int, ...] = (8, 16)

    def __post_init__(self) -> None:
        if self.edge >= self.weight:
            raise InputError(f"edge {self.edge} must be below weight {self.weight}")


@dataclass(frozen=True, kw_only=True)
class BrainsConfig:
    train: int = 24


@dataclass(frozen=True, kw_only=True)
class TeachersConfig:
    widths: tuple[int, ...] = (64, 128)


@dataclass(frozen=True, kw_only=True)
class OtherConfig:
    """Shares steps with the toy, has its own batch bound, and a field that the toy has not."""

    steps: Annotated[int, Range(1, 64)] = 9
    batch: Annotated[int, Range(1, 4)] = 1
    depth: int = 3


TOY = Classes(
    lambda name: {"toy": ToyConfig, "other": OtherConfig}[name],
    lambda _: BrainsConfig,
    lambda: TeachersConfig,
)

STUDY = Study(
    name="toy-1",
    path="toy.yaml",
    profile="laptop",
    methods=("toy",),
    configs=(ToyConfig,),
    objectives=(Objective("ms_ssim", "maximize"), Objective("fid", "minimize")),
    sampler="tpe",
    search=(
        Log("weight", 0.1, 100.0),
        Uniform("edge", 0.1 + 0.2, 1 / 3),  # neither is short in decimal
        Int("steps", 1, 8),
        Choice("rate", (1e-4, 1e-3)),
    ),
    fixed={"batch": 4, "widths": (4, 8)},
    start=({"weight": 10.0, "edge": 0.3, "steps": 2, "rate": 1e-3},),
    cohort=CohortChoice("brains", BrainsConfig(train=2)),
    references={"widths": (8, 8)},
    resources=Resources(cpus=2, gpus=0.5),
    budget=Budget(trials=8, hours=1.5),
    seed=7,
    constraints=(Constraint("psnr", "min", "input"), Constraint("fid", "max", 0.1 + 0.2)),
    scheduler=Scheduler("asha", grace=2, reduction=4, brackets=2, min_results=5),
    warm="early",
    deterministic=True,
)

BOTH = replace(
    STUDY,
    methods=("toy", "other"),
    configs=(ToyConfig, OtherConfig),
    search=(
        Choice("method", ("toy", "other")),
        Log("weight", 0.1, 100.0, when={"method": ("toy",)}),
        Int("depth", 1, 8, when={"method": ("other",)}),
    ),
    start=({"method": "other", "depth": 2},),
    fixed={"batch": 4, "widths": (4, 8), "steps": 2},
)


@pytest.mark.parametrize("study", [STUDY, BOTH])
def test_json_round_trips_exactly(study: Study) -> None:
    text = study.to_json()
    again = Study.from_json(text, TOY)
    assert again == study
    assert again.to_json() == text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert again.digest == study.digest
    assert again.search[1].when == study.search[1].when and again.configs == study.configs


def test_equal_studies_give_equal_text_whatever_the_order_of_their_keys() -> None:
    assert replace(STUDY, fixed={"widths": (4, 8), "batch": 4}).to_json() == STUDY.to_json()
    assert replace(STUDY, objectives=STUDY.objectives[::-1]).to_json() != STUDY.to_json()


DIMENSIONS: list[Dimension] = [Uniform("weight", 0.1, 100.0), Log("weight", 0.1, 101.0)]
DIMENSIONS += [Int("steps", 1, 8), IntLog("steps", 1, 8), Choice("steps", (1, 8))]
DIMENSIONS += [Uniform("weight", 0.1, 1.0, step=0.1 + 0.2), Int("steps", 1, 8, step=2)]
DIMENSIONS += [
    replace(dimension, when={"form": ("a", "b"), "flag": (True,)})
    for dimension in (Uniform("weight", 0.1, 1.0, step=0.25), Log("weight", 0.1, 101.0), Int("steps", 1, 8))
]
DIMENSIONS += [
    IntLog("steps", 1, 8, when={"blocks": (1, 2)}),
    Choice("steps", (1, 8), when={"rate": (0.5,)}),
    Choice("flag", (False, True)),
]

CHANGES: list[dict[str, Any]] = [
    {"name": "toy-2"},
    {"profile": None},
    {"methods": ("other",)},
    {"constraints": STUDY.constraints[:1]},
    {"constraints": (replace(STUDY.constraints[0], bound="max"), STUDY.constraints[1])},
    {"scheduler": Scheduler()},
    *[{"scheduler": replace(STUDY.scheduler, **{name: 6})} for name in ("grace", "reduction", "brackets")],
    {"scheduler": replace(STUDY.scheduler, min_results=0)},
    {"warm": ""},
    {"deterministic": False},
    {"objectives": STUDY.objectives[:1]},
    {"sampler": "gp"},
    *[{"search": (dimension,)} for dimension in DIMENSIONS],
    {"fixed": {"batch": 5, "widths": (4, 8)}},
    {"start": ()},
    {"cohort": CohortChoice("scans", BrainsConfig(train=2))},
    {"cohort": CohortChoice("brains", BrainsConfig(train=3))},
    {"references": {}},
    {"resources": Resources(cpus=3, gpus=0.5)},
    {"budget": Budget(trials=9, hours=1.5)},
    {"budget": Budget(trials=8, hours=1.5, gpu_hours=2)},
    {"budget": Budget(trials=8, hours=1.5, cost=2, cost_per_gpu_hour=1)},
    {"budget": Budget(trials=8, hours=1.5, cost=2, cost_per_gpu_hour=2)},
    {"budget": Budget(trials=8, hours=1.5, plateau_percent=2, plateau_trials=4)},
    {"budget": Budget(trials=8, hours=1.5, plateau_percent=2, plateau_trials=5)},
    {"seed": 8},
]


def test_the_digest_ignores_the_path_and_nothing_else() -> None:
    assert replace(STUDY, path="elsewhere.yaml").digest == STUDY.digest
    digests = {STUDY.digest, *(replace(STUDY, **change).digest for change in CHANGES)}
    assert len(digests) == 1 + len(CHANGES)
    named = {key for change in CHANGES for key in change}
    assert named == {field.name for field in dataclasses.fields(Study)} - {"path", "configs"}


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_dimension_survives_json(dimension: Dimension) -> None:
    again = Study.from_json(replace(STUDY, search=(dimension,)).to_json(), TOY).search
    assert again == (dimension,)
    assert type(again[0]) is type(dimension)


def test_a_frozen_study_whose_field_is_gone_is_refused() -> None:
    with pytest.raises(InputError, match=r"bach: 4 .* did you mean batch"):
        Study.from_json(STUDY.to_json().replace('"batch"', '"bach"'), TOY)


def test_a_point_is_the_config_of_defaults_then_fixed_then_params() -> None:
    assert STUDY.point({"weight": 3, "steps": 8}) == ToyConfig(batch=4, widths=(4, 8), weight=3.0, steps=8)
    assert STUDY.point({"batch": 9}).batch == 9
    with pytest.raises(InputError, match=r"edge 0\.2 must be below weight 0\.15"):
        STUDY.point({"weight": 0.15, "edge": 0.2})
    with pytest.raises(InputError, match="wait"):
        STUDY.point({"wait": 1})


def test_a_point_trains_its_method_with_the_fields_that_it_has() -> None:
    assert BOTH.method == "toy, other" and BOTH.config is ToyConfig
    assert BOTH.method_of({}) == BOTH.method_of({"method": "toy"}) == "toy"
    assert BOTH.method_of({"method": "other"}) == "other"
    toy = ToyConfig(batch=4, widths=(4, 8), steps=2)
    assert BOTH.point({}) == BOTH.point({"method": "toy"}) == BOTH.point({"depth": 7}) == toy
    assert BOTH.point({"weight": 3}) == replace(toy, weight=3.0)
    other = OtherConfig(batch=4, steps=2)
    assert BOTH.point({"method": "other"}) == BOTH.point({"method": "other", "weight": 3}) == other
    assert BOTH.point({"method": "other", "depth": 7, "steps": 8}) == replace(other, depth=7, steps=8)
    for params in ({"wait": 1}, {"method": "other", "wait": 1}):
        with pytest.raises(InputError, match="wait"):
            BOTH.point(params)
    with pytest.raises(InputError, match=r"batch: 5 .* \[1, 4\]"):
        BOTH.point({"method": "other", "batch": 5})


def test_one_method_needs_not_be_named() -> None:
    assert STUDY.method == STUDY.method_of({}) == "toy"
    assert STUDY.point({"method": "toy"}) == STUDY.point({})


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
def test_rungs_are_geometric_and_end_with_the_trial(
    scheduler: Scheduler, steps: int, rungs: tuple[int, ...]
) -> None:
    assert scheduler.rungs(steps) == rungs


@pytest.mark.parametrize(
    ("given", "other"),
    [
        *[("cost", "cost_per_gpu_hour"), ("cost_per_gpu_hour", "cost")],
        *[("plateau_percent", "plateau_trials"), ("plateau_trials", "plateau_percent")],
    ],
)
def test_limits_that_need_each_other_are_refused_alone(given: str, other: str) -> None:
    with pytest.raises(InputError, match=f"{given}: 3.* together with {other}"):
        build(Budget, {"trials": 1, given: 3})
    assert getattr(build(Budget, {"trials": 1, given: 3, other: 2}), given) == 3


def test_dimensions_hold_their_ends_and_nothing_beyond() -> None:
    assert [Int("steps", 2, 4).holds(value) for value in range(1, 6)] == [False, True, True, True, False]
    assert [Log("rate", 0.1, 1.0).holds(value) for value in (0.09, 0.1, 1.0, 1.1)] == [
        False,
        True,
        True,
        False,
    ]
    assert [Choice("form", ("a", "b")).holds(value) for value in "abc"] == [True, True, False]


@pytest.mark.parametrize(
    ("gpus", "workers", "fits"),
    [
        *[(0, 1, True), (0.25, 1, True), (1, 1, True), (1.5, 1, False), (2, 1, False)],
        *[(0, 4, True), (4, 4, True), (1, 4, False), (0.5, 4, False), (8, 4, False)],
    ],
)
def test_a_worker_has_one_gpu_or_none(gpus: float, workers: int, fits: bool) -> None:
    if fits:
        assert build(Resources, {"gpus": gpus, "workers": workers}).gpus == gpus
    else:
        with pytest.raises(InputError, match="gpus"):
            build(Resources, {"gpus": gpus, "workers": workers})


def test_methods_are_the_files_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gauss.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Config:\n    rate: float = 1.0\n"
    )
    monkeypatch.setattr(trainers.methods, "__path__", [*trainers.methods.__path__, str(tmp_path)])
    assert [field.name for field in dataclasses.fields(study.method_config("gauss"))] == ["rate"]
    with pytest.raises(InputError, match=r"did you mean gauss\? allowed: .*gauss"):
        study.method_config("guass")
    with pytest.raises(InputError, match="allowed"):
        study.method_config("../base")


def test_cohort_sources_are_the_files_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moon.py").write_text(
        "import dataclasses\nfrom trainers.cohorts.base import CohortSource\n"
        "@dataclasses.dataclass\nclass MoonConfig:\n    size: int = 1\n"
        "SOURCE = CohortSource('moon', MoonConfig, lambda config, root, mapper: root)\n"
    )
    monkeypatch.setattr(trainers.cohorts, "__path__", [*trainers.cohorts.__path__, str(tmp_path)])
    assert study.cohort_config("moon").__name__ == "MoonConfig"
    with pytest.raises(InputError, match=r"did you mean moon\? one of .*moon"):
        study.cohort_config("mon")
