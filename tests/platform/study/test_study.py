"""A study's JSON, its digest, and the configurations of its points."""

import json
from dataclasses import dataclass, fields, replace
from platform.study.budget import Budget
from platform.study.config_classes import Classes
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform
from platform.study.settings import CohortChoice, Constraint, Objective, Recovery, Resources, Scheduler
from platform.study.study import Study
from typing import Annotated, Any, ClassVar

import pytest

from tests.platform.toys import BrainsConfig, TeachersConfig, ToyConfig
from trainers.config import Range
from trainers.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OtherConfig:
    """Has steps like the toy, a narrower bound of batch, and a field that the toy does not have."""

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
    search=(  # the ends of edge are not short in decimal
        *(Log("weight", 0.1, 100.0), Uniform("edge", 0.1 + 0.2, 1 / 3)),
        *(Int("steps", 1, 8), Choice("rate", (1e-4, 1e-3))),
    ),
    fixed={"batch": 4, "widths": (4, 8)},
    start=({"weight": 10.0, "edge": 0.3, "steps": 2, "rate": 1e-3},),
    cohort=CohortChoice("brains", BrainsConfig(train=2)),
    references={"teacher_widths": (8, 8)},
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
    assert again == study and again.configs == study.configs
    assert again.to_json() == text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert again.digest == study.digest
    assert again.search[1].when == study.search[1].when


def test_the_keys_of_the_json() -> None:
    """Those that studies of earlier versions have."""
    values = json.loads(BOTH.to_json())
    assert set(values) == {field.name for field in fields(Study)} - {"configs", "allow_blind"}
    weight = {"kind": "Log", "name": "weight", "low": 0.1, "high": 100.0, "when": {"method": ["toy"]}}
    assert values["search"][1] == weight
    assert values["cohort"] == {"source": "brains", "config": {"size": "2mm", "train": 2}}
    assert values["constraints"][0] == {"metric": "psnr", "bound": "min", "value": "input"}


@dataclass(frozen=True, kw_only=True)
class GrownConfig(ToyConfig):
    """The toy with a field that was added later."""

    late: Annotated[float, Range(0, 9)] = 5.0
    EARLIER: ClassVar[dict[str, Any]] = {"late": 0.0}


def test_a_study_from_before_a_field_was_added_keeps_what_it_meant() -> None:
    grown = replace(TOY, method=lambda _: GrownConfig)
    old = Study.from_json(STUDY.to_json(), grown)  # of a method without the field
    assert old.point(old.start[0]).late == 0 and Study.from_json(old.to_json(), grown) == old
    new = replace(STUDY, configs=(GrownConfig,), search=(*STUDY.search, Uniform("late", 0.0, 9.0)))
    assert Study.from_json(new.to_json(), grown) == new and new.point({"late": 3.0}).late == 3
    assert new.point({}).late == 5
    before = replace(new, start=({"weight": 10.0, "late": 5.0},)).with_earlier_meanings()
    assert before.point(before.start[0]).late == 0 and before.search == STUDY.search


def test_equal_studies_give_equal_text_whatever_the_order_of_their_keys() -> None:
    assert replace(STUDY, fixed={"widths": (4, 8), "batch": 4}).to_json() == STUDY.to_json()
    assert replace(STUDY, objectives=STUDY.objectives[::-1]).to_json() != STUDY.to_json()


WHEN = {"form": ("a", "b"), "flag": (True,)}
DIMENSIONS: list[Dimension] = [
    *[Uniform("weight", 0.1, 100.0), Log("weight", 0.1, 101.0), Choice("flag", (False, True))],
    *[Int("steps", 1, 8), IntLog("steps", 1, 8), Choice("steps", (1, 8))],
    *[Uniform("weight", 0.1, 1.0, step=0.1 + 0.2), Int("steps", 1, 8, step=2)],
    *[Uniform("weight", 0.1, 1.0, step=0.25, when=WHEN), Log("weight", 0.1, 101.0, when=WHEN)],
    *[Int("steps", 1, 8, when=WHEN), IntLog("steps", 1, 8, when={"blocks": (1, 2)})],
    Choice("steps", (1, 8), when={"rate": (0.5,)}),
]

MORE: list[dict[str, Any]] = [
    *[{"gpu_hours": 2}, {"cost": 2, "cost_per_gpu_hour": 1}, {"cost": 2, "cost_per_gpu_hour": 2}],
    *[{"plateau_percent": 2, "plateau_trials": trials} for trials in (4, 5)],
]
CHANGES: list[dict[str, Any]] = [
    *[{"name": "toy-2"}, {"profile": None}, {"methods": ("other",)}, {"constraints": STUDY.constraints[:1]}],
    {"constraints": (replace(STUDY.constraints[0], bound="max"), STUDY.constraints[1])},
    {"scheduler": Scheduler()},
    *[{"scheduler": replace(STUDY.scheduler, **{name: 6})} for name in ("grace", "reduction", "brackets")],
    *[{"scheduler": replace(STUDY.scheduler, min_results=0)}, {"warm": ""}, {"deterministic": False}],
    *[{"objectives": STUDY.objectives[:1]}, {"sampler": "gp"}],
    *[*[{"search": (dimension,)} for dimension in DIMENSIONS], {"fixed": {"batch": 5, "widths": (4, 8)}}],
    *[{"start": ()}, {"cohort": CohortChoice("scans", BrainsConfig(train=2))}],
    *[{"cohort": CohortChoice("brains", BrainsConfig(train=3))}, {"references": {}}],
    *[{"resources": Resources(cpus=3, gpus=0.5)}, {"budget": Budget(trials=9, hours=1.5)}],
    *[*[{"budget": replace(STUDY.budget, **more)} for more in MORE], {"seed": 8}, {"allow_blind": True}],
    {"recovery": Recovery(save_minutes=2.0)},
]


def test_the_digest_ignores_the_path_and_nothing_else() -> None:
    assert replace(STUDY, path="elsewhere.yaml").digest == STUDY.digest
    digests = {STUDY.digest, *(replace(STUDY, **change).digest for change in CHANGES)}
    assert len(digests) == 1 + len(CHANGES)
    changed = {key for change in CHANGES for key in change}
    assert changed == {field.name for field in fields(Study)} - {"path", "configs"}


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_dimension_survives_json(dimension: Dimension) -> None:
    again = Study.from_json(replace(STUDY, search=(dimension,)).to_json(), TOY).search
    assert again == (dimension,) and type(again[0]) is type(dimension)


def test_a_saved_study_with_a_field_that_no_longer_exists_is_refused() -> None:
    with pytest.raises(InputError, match=r"bach: 4 .* did you mean batch"):
        Study.from_json(STUDY.to_json().replace('"batch"', '"bach"'), TOY)


def test_a_config_has_the_defaults_then_fixed_then_params() -> None:
    assert STUDY.point({"weight": 3, "steps": 8}) == ToyConfig(batch=4, widths=(4, 8), weight=3.0, steps=8)
    assert STUDY.point({"batch": 9}).batch == 9
    assert STUDY.refusal({"weight": 3}) == ""
    for params, message in (({"weight": 0.15}, "edge 0.2 must be below weight 0.15"), ({"wait": 1}, "wait")):
        with pytest.raises(InputError, match=message):
            STUDY.point(params | {"edge": 0.2})
        assert message in STUDY.refusal(params | {"edge": 0.2})
    assert STUDY.method == STUDY.method_of({}) == "toy"
    assert STUDY.point({"method": "toy"}) == STUDY.point({})


def test_a_config_has_the_fields_of_its_method_alone() -> None:
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
