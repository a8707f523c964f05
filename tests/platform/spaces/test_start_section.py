"""Points to try first: completed by defaults, each once, with an earlier study; and their errors."""

import dataclasses
from pathlib import Path
from platform.spaces.loader import load_study
from typing import Any

import pytest

from tests.platform.spaces.toy_spaces import ONE, START, TWO, Case, both, load, require_refused, write
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
    options: dict[str, Any] = {"bases": (ToyConfig,), "frozen": True, "kw_only": True}
    strict = dataclasses.make_dataclass("Strict", [("needed", int)], **options)
    with pytest.raises(InputError, match=r"space.yaml:2: method: needed: .* no default"):
        load_study(write(tmp_path, text), classes=dataclasses.replace(TOYS, method=lambda _: strict))


NONE = "    start_from: none", 30
POINT = "steps: 2}", 19
CASES: list[Case] = [
    (("{weight: 10, steps: 2}", 18), "weight", "start_from ... weight ... a list of points"),
    (("{int: [1, 8]}", 10), "{int: [2, 8], step: 2}", "search.steps ... default 5 ... [2, 8] in steps of 2"),
    (("{int: [1, 8]}", 10), "{int: [1, 4]}", "search.steps ... the default 5 ... start_from"),
    (("{weight: 10,", 19), "{weight: 0.1, edge: 0.2,", "start_from[0] ... edge 0.2 must be below weight 0.1"),
    (NONE, "    start_from: nine", 'start_from ... "nine" ... defaults, none, a list'),
    (NONE, "    start_from: {studdy: a}", "start_from.studdy ... did you mean study?"),
    (NONE, "    start_from: {study: a/b}", "start_from.study ... a/b ... the name of"),
    (NONE, "    start_from: {points: []}", "start_from.study ... null ... the name of"),
    (NONE, "    start_from: {study: a, points: [{steps: 9}]}", "points[0].steps: 9 ... 1, 2"),
    (POINT, "steps: 9}", "start_from[0].steps ... 9 ... [1, 8]"),
    (POINT, "steps: 2.0}", "start_from[0].steps ... 2.0 ... an integer"),
    (POINT, "batch: 2}", "start_from[0].batch ... unknown key ... weight, edge, steps"),
]
OF_TWO: list[Case] = [
    (("limit: 20", 5), "limit: 0.01", "fixed ... weight 2.0 must be below limit 0.01"),
    (("[{}, {method: patch", 14), "[{}, {method: pitch", "start_from[1].method ... pitch ... bridge, patch"),
    (("flip: true}", 14), "generator: image}", "start_from[1].generator ... where method is bridge"),
    (("flip: true}", 14), "edge: 0.5}", "start_from[1].edge ... not searched here ... blocks is 1 or 3"),
    (("image, blocks: 3", 14), "image, blocks: 2", "start_from[2].blocks ... 2 is ... in steps of 2"),
    (("image, blocks: 3", 14), "image", "start_from[2].edge ... blocks is 1 or 3"),
]


@pytest.mark.parametrize(("text", "case"), both(CASES, OF_TWO))
def test_an_error_is_one_line(tmp_path: Path, text: str, case: Case) -> None:
    require_refused(tmp_path, text, case)
