"""Criteria: the reference point and bounds in numbers, and what is kept as JSON."""

import json
from platform.study.criteria import SLOWEST, Bound, Criteria, EarlierTrial, bounds, reference_point
from platform.study.settings import Constraint, Objective

import pytest

REFERENCE = {"fid": 10.0, "ms_ssim": 0.1 + 0.2}
AT_LEAST, AT_MOST = Bound("psnr", "min", 20.0), Bound("fid", "max", 4.0)
KNOWN = (EarlierTrial({"lr": 0.1}, {1: {"fid": 2.0, "psnr": 21.0}, 2: {"fid": 1.0, "psnr": 19.0}}),)


@pytest.mark.parametrize(
    "criteria", [Criteria(REFERENCE), Criteria(REFERENCE, (AT_LEAST, AT_MOST), KNOWN, extended_at=7)]
)
def test_criteria_are_the_same_after_json_beside_other_keys(criteria: Criteria) -> None:
    assert Criteria.from_json(json.loads(json.dumps({**criteria.to_json(), "study": "..."}))) == criteria


@pytest.mark.parametrize(
    ("bound", "value", "violation"),
    [
        *[(AT_LEAST, 15.0, 0.25), (AT_LEAST, 25.0, -0.25), (AT_LEAST, 20.0, 0.0)],
        *[(AT_MOST, 5.0, 0.25), (AT_MOST, 1.0, -0.75), (AT_MOST, 4.0, 0.0)],
        *[(Bound("kid", "max", -0.5), -0.25, 0.5), (Bound("kid", "max", -0.5), -1.0, -1.0)],
        (Bound("kid", "max", 0.0), 0.003, 0.003),
    ],
)
def test_a_violation_is_relative_to_the_bounds_value(bound: Bound, value: float, violation: float) -> None:
    assert bound.violation({bound.metric: value}) == pytest.approx(violation, abs=1e-15)


def test_a_bound_at_the_input_has_the_untouched_inputs_value() -> None:
    constraints = Constraint("psnr", "min", "input"), Constraint("fid", "max", 0.5)
    expected = Bound("psnr", "min", 20.25), Bound("fid", "max", 0.5)
    assert bounds(constraints, {"psnr": 20.25, "fid": 2.0}) == expected


def test_the_reference_point_is_worse_than_the_untouched_input() -> None:
    expected = {  # the input's value, the reference's
        **{"fid": (0.4, 0.6), "kid": (-0.2, -0.1), "piqe": (40.0, 60.0)},
        **{"ms_ssim": (0.6, 0.4), "ms_ssim_t1": (0.8, 0.7), "psnr": (20.0, 17.0), "psnr_t2": (7.0, 4.0)},
    }
    better = {name: "maximize" if name[:2] in ("ms", "ps") else "minimize" for name in expected}
    objectives = [Objective(name, direction) for name, direction in better.items()]
    baseline = {name: value for name, (value, _) in expected.items()}
    point = reference_point(baseline, [*objectives, Objective("seconds_per_volume", "minimize")])
    assert point.pop("seconds_per_volume") == SLOWEST
    assert point == pytest.approx({name: value for name, (_, value) in expected.items()})
    for name, value in point.items():
        assert (value > baseline[name]) == (better[name] == "minimize")
    assert reference_point(baseline, objectives[:1]) == {"fid": pytest.approx(0.6)}
