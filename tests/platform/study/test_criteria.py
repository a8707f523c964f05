"""By what a study is judged: kept as JSON, applied to fronts, and to what was known before."""

import json
from platform.pareto.front import Bound, Candidate
from platform.study.criteria import Criteria
from platform.study.settings import Objective
from typing import Any

import pytest

OBJECTIVES = (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
REFERENCE = {"fid": 10.0, "ms_ssim": 0.1 + 0.2}
BOUNDS = (Bound("psnr", "min", 20.0), Bound("fid", "max", 4.0))


def known(lr: float, **scores: tuple[float, float, float]) -> dict[str, Any]:
    """``a=(fid, ms_ssim, psnr)``, a letter a refinement step count."""
    names = ("fid", "ms_ssim", "psnr")
    by_count = {str(n): dict(zip(names, row, strict=True)) for n, row in enumerate(scores.values(), 1)}
    return {"params": {"lr": lr}, "scores": by_count}


KNOWN = (known(0.1, a=(2.0, 0.5, 21.0), b=(1.0, 0.4, 19.0)), known(0.2, a=(8.0, 0.9, 10.0)))


@pytest.mark.parametrize("criteria", [Criteria(REFERENCE), Criteria(REFERENCE, BOUNDS, KNOWN, 7)])
def test_they_are_the_same_after_json(criteria: Criteria) -> None:
    assert Criteria.from_plain(json.loads(json.dumps({**criteria.plain(), "study": "..."}))) == criteria


def test_a_front_is_judged_by_reference_and_bounds() -> None:
    candidate = Candidate(3, 1, {"fid": 3.0, "ms_ssim": 0.8, "psnr": 19.0}, {}, "")
    assert Criteria(REFERENCE).front(OBJECTIVES, [candidate]).hypervolume == pytest.approx(7 * 0.5)
    assert Criteria(REFERENCE, BOUNDS).front(OBJECTIVES, [candidate]).hypervolume == 0
    assert Criteria(REFERENCE, BOUNDS).front(OBJECTIVES, [candidate]).members == []


def test_known_trials_are_completed_ones_at_the_end_of_their_training() -> None:
    first, second = Criteria(REFERENCE, BOUNDS, KNOWN).seen(OBJECTIVES)
    assert (first.params, first.state, second.params) == ({"lr": 0.1}, "completed", {"lr": 0.2})
    (rung,), (broken,) = first.rungs, second.rungs
    # of the first, one step: two steps dominate more, but break a bound
    assert (rung.share, rung.values) == (1.0, (2.0, -0.5)) and rung.feasible
    assert rung.violations == pytest.approx((-0.05, -0.5))
    assert broken.violations == pytest.approx((0.5, 1.0)) and not broken.feasible


def test_without_bounds_a_known_trial_stands_for_what_dominates_most() -> None:
    (first, _) = Criteria(REFERENCE, (), KNOWN).seen(OBJECTIVES)
    assert first.rungs[0].values == (2.0, -0.5)  # (10 - 2) x 0.2 against (10 - 1) x 0.1
    assert first.rungs[0].violations == ()


def test_nothing_is_known_by_default() -> None:
    assert Criteria(REFERENCE).seen(OBJECTIVES) == [] and Criteria(REFERENCE).extended_at == 0
