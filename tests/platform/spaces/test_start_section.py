"""Points to try first: completed by defaults, each once, with an earlier study; and their errors."""

import dataclasses
from pathlib import Path
from platform.spaces.loader import load_study

import pytest

from tests.platform.spaces.toy_spaces import ONE, START, TWO, Case, load, require_refused, write
from tests.platform.toys import TOYS, ToyConfig
from trainers.errors import InputError

DEFAULTS = {"weight": 1.0, "edge": 0.1, "steps": 5, "updates": 1, "form": "image", "order": 1}


@pytest.mark.parametrize(
    ("start", "points"),
    [
        (START, (DEFAULTS | {"weight": 10.0, "steps": 2}, DEFAULTS)),
        ("", (DEFAULTS,)),
        ("start_from: defaults\n", (DEFAULTS,)),
        ("start_from: none\n", ()),
        (  # equal points, once they are completed, are tried once
            "start_from: [{}, {weight: 10, steps: 2}, {steps: 5}, {weight: 10.0, steps: 2}]\n",
            (DEFAULTS, DEFAULTS | {"weight": 10.0, "steps": 2}),
        ),
    ],
)
def test_points_are_completed_by_the_defaults(tmp_path: Path, start: str, points: tuple[object, ...]) -> None:
    study = load(tmp_path, ONE.replace(START, start))
    assert (study.start, study.warm) == (points, "")


def test_points_have_the_first_method_unless_they_name_one(tmp_path: Path) -> None:
    first, *others = load(tmp_path, TWO).start
    assert first == {"method": "bridge", "weight": 1.0, "idt": True, "generator": "residual"}
    image = first | {"generator": "image", "blocks": 3, "latent": 256, "edge": 0.5}
    assert others == [{"method": "patch", "weight": 2.0, "idt": False, "flip": True}, image]
    assert load(tmp_path, TWO[: TWO.index("start_from")]).start == (first,)


@pytest.mark.parametrize(
    ("start", "domain", "points"),
    [
        ("{study: early-1}", "[1, 8]", (DEFAULTS,)),
        ("{study: early-1}", "[1, 4]", ()),  # the default, 5, is outside
        ("{study: early-1, points: [{steps: 2}, {}]}", "[1, 8]", (DEFAULTS | {"steps": 2}, DEFAULTS)),
        ("{study: early-1, points: none}", "[1, 8]", ()),
    ],
)
def test_with_an_earlier_study_the_defaults_are_tried_where_they_fit(
    tmp_path: Path, start: str, domain: str, points: tuple[object, ...]
) -> None:
    study = load(tmp_path, ONE.replace(START, f"start_from: {start}\n").replace("[1, 8]", domain))
    assert (study.warm, study.start) == ("early-1", points)


def test_a_wrong_default_of_the_method_itself_is_an_error(tmp_path: Path) -> None:
    text = ONE.replace("fixed: {batch: 4, rate: 1e-4}\n", "").replace("    fixed: {weight: 2}\n", "")
    strict = dataclasses.make_dataclass(
        "Strict", [("needed", int)], bases=(ToyConfig,), frozen=True, kw_only=True
    )
    with pytest.raises(InputError, match=r"space.yaml:2: method: needed: .* no default"):
        load_study(write(tmp_path, text), classes=dataclasses.replace(TOYS, method=lambda _: strict))


CASES: list[Case] = [
    ("{weight: 10", "{wight: 10", 19, "start_from[0].wight ... did you mean weight?"),
    ("{weight: 10, steps: 2}", "weight", 18, "start_from ... weight ... a list of points"),
    ("{int: [1, 8]}", "{int: [2, 8], step: 2}", 10, "search.steps ... default 5 ... [2, 8] in steps of 2"),
    ("    start_from: none", "    start_from: nine", 30, 'start_from ... "nine" ... defaults, none, a list'),
    ("    start_from: none", "    start_from: {studdy: a}", 30, "start_from.studdy ... did you mean study?"),
    ("    start_from: none", "    start_from: {study: a/b}", 30, "start_from.study ... a/b ... the name of"),
    ("    start_from: none", "    start_from: {points: []}", 30, "start_from.study ... null ... the name of"),
    (
        "    start_from: none",
        "    start_from: {study: a, points: [{steps: 9}]}",
        30,
        "points[0].steps: 9 ... 1, 2",
    ),
    ("weight: 10", "weight: 0.01", 19, "start_from[0].weight ... 0.01 ... [0.1, 100.0]"),
    ("steps: 2}", "steps: 9}", 19, "start_from[0].steps ... 9 ... [1, 8]"),
    ("steps: 2}", "steps: 2.0}", 19, "start_from[0].steps ... 2.0 ... an integer"),
    ("steps: 2}", "batch: 2}", 19, "start_from[0].batch ... unknown key ... weight, edge, steps"),
    ("{int: [1, 8]}", "{int: [1, 4]}", 10, "search.steps ... the default 5 ... start_from"),
    ("{weight: 10,", "{weight: 0.1, edge: 0.2,", 19, "start_from[0] ... edge 0.2 must be below weight 0.1"),
]
OF_TWO: list[Case] = [
    ("limit: 20", "limit: 0.01", 5, "fixed ... weight 2.0 must be below limit 0.01"),
    ("flip: true}", "flip: 1}", 14, "start_from[1].flip ... 1 is ... true or false"),
    ("flip: true}", "generator: image}", 14, "start_from[1].generator ... where method is bridge"),
    ("flip: true}", "edge: 0.5}", 14, "start_from[1].edge ... not searched here ... blocks is 1 or 3"),
    ("[{}, {method: patch", "[{}, {method: pitch", 14, "start_from[1].method ... pitch ... bridge, patch"),
    ("[{}, {method: patch", "[{}, {method: 3", 14, "start_from[1].method ... 3 ... text"),
    ("image, blocks: 3", "image, blocks: 2", 14, "start_from[2].blocks ... 2 is ... in steps of 2"),
    ("image, blocks: 3", "legacy, blocks: 3", 14, "start_from[2].blocks ... where generator is image"),
    ("image, blocks: 3", "image", 14, "start_from[2].edge ... blocks is 1 or 3"),
]


@pytest.mark.parametrize(
    ("text", "case"), [*((ONE, case) for case in CASES), *((TWO, case) for case in OF_TWO)]
)
def test_an_error_is_one_line(tmp_path: Path, text: str, case: Case) -> None:
    require_refused(tmp_path, text, case)
