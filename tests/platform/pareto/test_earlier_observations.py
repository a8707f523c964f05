"""Trials of an earlier study as samplers observe them, and fronts by a study's criteria."""

from platform.pareto.front import Candidate, Front
from platform.pareto.observations import earlier_observations
from platform.study.criteria import Bound, Criteria, EarlierTrial
from platform.study.settings import Objective

import pytest

OBJECTIVES = (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
REFERENCE = {"fid": 10.0, "ms_ssim": 0.3}
BOUNDS = (Bound("psnr", "min", 20.0), Bound("fid", "max", 4.0))


def earlier(lr: float, *rows: tuple[float, float, float]) -> EarlierTrial:
    """``(fid, ms_ssim, psnr)`` of each refinement step count."""
    scores = {n: dict(zip(("fid", "ms_ssim", "psnr"), row, strict=True)) for n, row in enumerate(rows, 1)}
    return EarlierTrial({"lr": lr}, scores)


KNOWN = earlier(0.1, (2.0, 0.5, 21.0), (1.0, 0.4, 19.0)), earlier(0.2, (8.0, 0.9, 10.0))


def test_a_front_has_the_criterias_reference_point_and_bounds() -> None:
    candidate = Candidate(3, 1, {"fid": 3.0, "ms_ssim": 0.8, "psnr": 19.0}, {}, "")
    assert Front.of(Criteria(REFERENCE), OBJECTIVES, [candidate]).hypervolume == pytest.approx(7 * 0.5)
    bounded = Front.of(Criteria(REFERENCE, BOUNDS), OBJECTIVES, [candidate])
    assert (bounded.hypervolume, bounded.members) == (0, [])


def test_earlier_trials_are_observed_as_completed_ones_at_the_end_of_their_training() -> None:
    first, second = earlier_observations(Criteria(REFERENCE, BOUNDS, KNOWN), OBJECTIVES)
    assert (first.params, first.state, second.params) == ({"lr": 0.1}, "completed", {"lr": 0.2})
    (rung,), (infeasible,) = first.rungs, second.rungs
    # of the first, one step: two steps dominate more, but violate a bound
    assert (rung.share, rung.values) == (1.0, (2.0, -0.5)) and rung.feasible
    assert rung.violations == pytest.approx((-0.05, -0.5))
    assert infeasible.violations == pytest.approx((0.5, 1.0)) and not infeasible.feasible


def test_without_bounds_the_candidate_that_dominates_most_is_observed() -> None:
    (rung,) = earlier_observations(Criteria(REFERENCE, (), KNOWN), OBJECTIVES)[0].rungs
    assert rung.values == (2.0, -0.5) and rung.violations == ()  # (10 - 2) x 0.2 against (10 - 1) x 0.1
    assert earlier_observations(Criteria(REFERENCE), OBJECTIVES) == []
