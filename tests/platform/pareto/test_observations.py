"""How a trial stands: which candidate speaks for it, at which rungs, and by how much it breaks bounds."""

from platform.pareto.front import Bound, candidates_at
from platform.pareto.observations import Judged, observation, result, rung
from platform.storage.ledger import Status, Trial
from platform.study.criteria import Criteria
from platform.study.settings import Objective
from typing import Any

import numpy as np
import pytest

OBJECTIVES = (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
REFERENCE = {"fid": 10.0, "ms_ssim": 0.0}


def judged(*bounds: Bound) -> Judged:
    return lambda found: Criteria(REFERENCE, bounds).front(OBJECTIVES, found)


def report(step: int, *rows: tuple[float, float]) -> dict[str, Any]:
    scores = {str(n): {"fid": fid, "ms_ssim": ssim} for n, (fid, ssim) in enumerate(rows, 1)}
    return {"step": step, "steps": 24, "scores": scores, "checkpoint": f"/c/{step}"}


def trial(*steps: int, status: Status = "open") -> Trial:
    """Better by 1 in FID with each rung."""
    reports = {step: report(step, (9.0 - n, 0.5)) for n, step in enumerate(steps)}
    return Trial(0, {"lr": 0.1}, status, passed=0, memory={"generation": 3}, reports=reports)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("open", "running"),
        ("paused", "paused"),
        ("completed", "completed"),
        ("diverged", "failed"),
        ("failed", "failed"),
    ],
)
def test_a_trials_status_is_a_samplers_state(status: Status, state: str) -> None:
    seen = observation(trial(3, status=status), (3, 9), judged())
    assert (seen.state, seen.params, seen.memory) == (state, {"lr": 0.1}, {"generation": 3})


def test_a_sampler_sees_the_levels_and_the_newest_rung() -> None:
    seen = observation(trial(3, 6, 9, 12, 18), (3, 9), judged())
    assert [(r.share, r.values) for r in seen.rungs] == [
        (3 / 24, (9.0, -0.5)),
        (9 / 24, (7.0, -0.5)),
        (18 / 24, (5.0, -0.5)),
    ]
    assert seen.last == seen.rungs[-1]


def test_without_levels_the_newest_rung_alone_counts() -> None:
    assert [r.share for r in observation(trial(6, 12, 24), (), judged()).rungs] == [1.0]
    assert observation(trial(), (3, 9), judged()).rungs == ()


def test_the_candidate_that_alone_dominates_most_speaks_for_a_rung() -> None:
    one = Trial(0, {}, reports={3: report(3, (9.0, 0.9), (5.0, 0.5), (1.0, 0.1))})
    (found,) = observation(one, (3,), judged()).rungs
    assert found.values == (5.0, -0.5) and found.violations == () and found.feasible


def test_one_that_keeps_the_bounds_speaks_before_one_that_does_not() -> None:
    one = Trial(0, {}, reports={3: report(3, (9.0, 0.9), (5.0, 0.5), (1.0, 0.1))})
    (found,) = observation(one, (3,), judged(Bound("ms_ssim", "min", 0.9))).rungs
    assert found.values == (9.0, -0.9) and found.violations == (0.0,) and found.feasible
    (none,) = observation(one, (3,), judged(Bound("ms_ssim", "min", 1.0))).rungs
    assert none.values == (9.0, -0.9) and none.violations == pytest.approx((0.1,)) and not none.feasible


def test_the_scheduler_is_told_all_candidates_that_keep_the_bounds() -> None:
    one = Trial(0, {}, reports={3: report(3, (9.0, 0.9), (5.0, 0.5), (1.0, 0.1)), 9: report(9, (0.5, 0.5))})
    told = result(one, 3, judged())
    np.testing.assert_array_equal(told.points, [[9.0, -0.9], [5.0, -0.5], [1.0, -0.1]])
    assert told.violation == 0
    kept = result(one, 3, judged(Bound("ms_ssim", "min", 0.5)))
    np.testing.assert_array_equal(kept.points, [[9.0, -0.9], [5.0, -0.5]])
    assert kept.violation == 0


def test_where_none_keeps_them_it_is_told_the_one_that_breaks_them_least() -> None:
    one = Trial(0, {}, reports={3: report(3, (9.0, 0.9), (5.0, 0.5), (1.0, 0.1))})
    told = result(one, 3, judged(Bound("fid", "max", 0.8), Bound("ms_ssim", "min", 1.0)))
    np.testing.assert_array_equal(told.points, [[1.0, -0.1]])
    assert told.violation == pytest.approx(0.2 / 0.8 + 0.9)


def test_a_rung_is_told_for_its_own_share() -> None:
    one = Trial(0, {}, reports={3: report(3, (4.0, 0.5))})
    assert rung(judged()(candidates_at(one, 3)), 0.125).share == 0.125
