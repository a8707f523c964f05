"""Trials as samplers and schedulers read them: the best candidate, share and violations of a rung."""

from collections.abc import Sequence
from functools import partial
from platform.pareto.front import Front, MakeFront
from platform.pareto.observations import earlier_observations, observation, rung_result
from platform.storage.trials import Trial, TrialStatus
from platform.study.criteria import Bound, Criteria, EarlierTrial
from platform.study.observation import Observation, Rung
from platform.study.settings import Objective

import numpy as np
import pytest

from trainers.report import Report

OBJECTIVES = (Objective("fid", "minimize"), Objective("ms_ssim", "maximize"))
REFERENCE = {"fid": 10.0, "ms_ssim": 0.0}
ROWS = (9.0, 0.9), (5.0, 0.5), (1.0, 0.1)
"""The second dominates most by itself."""


def made(*bounds: Bound) -> MakeFront:
    return partial(Front.of, Criteria(REFERENCE, bounds), OBJECTIVES)


def scores(rows: Sequence[tuple[float, float]]) -> dict[int, dict[str, float]]:
    return {n: {"fid": fid, "ms_ssim": ssim} for n, (fid, ssim) in enumerate(rows, 1)}


def report(step: int, *rows: tuple[float, float]) -> Report:
    return Report(step, 24, scores(rows), {}, 1.0, f"/c/{step}")


def trial(*steps: int, status: TrialStatus = "open") -> Trial:
    """FID improves by 1 with each rung."""
    reports = {step: report(step, (9.0 - n, 0.5)) for n, step in enumerate(steps)}
    return Trial(0, {"lr": 0.1}, status, memory={"generation": 3}, reports=reports)


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
def test_a_trials_status_becomes_a_state(status: TrialStatus, state: str) -> None:
    observed = observation(trial(3, status=status), (3, 9), made())
    assert (observed.state, observed.params, observed.memory) == (state, {"lr": 0.1}, {"generation": 3})


def test_rungs_are_the_levels_and_the_newest_report() -> None:
    observed = observation(trial(3, 6, 9, 12, 18), (3, 9), made())
    expected = [(3 / 24, (9.0, -0.5)), (9 / 24, (7.0, -0.5)), (18 / 24, (5.0, -0.5))]
    assert [(r.share, r.values) for r in observed.rungs] == expected and observed.last == observed.rungs[-1]
    assert [r.share for r in observation(trial(6, 12, 24), (), made()).rungs] == [1.0], "without levels"
    assert observation(trial(), (3, 9), made()).rungs == ()


@pytest.mark.parametrize(
    ("bounds", "row", "violations", "points", "violation"),
    [
        ((), ROWS[1], (), ROWS, 0),
        ([Bound("ms_ssim", "min", 0.9)], ROWS[0], (0.0,), ROWS[:1], 0),
        ([Bound("ms_ssim", "min", 0.5)], ROWS[1], (0.0,), ROWS[:2], 0),
        ([Bound("ms_ssim", "min", 1.0)], ROWS[0], (0.1,), ROWS[:1], 0.1),
        (
            [Bound("fid", "max", 0.8), Bound("ms_ssim", "min", 1.0)],
            ROWS[2],
            (0.25, 0.9),
            ROWS[2:],
            0.25 + 0.9,
        ),
    ],
)
def test_a_rung_is_its_best_candidate_and_a_result_all_feasible_ones(
    bounds: Sequence[Bound],
    row: tuple[float, float],
    violations: tuple[float, ...],
    points: Sequence[tuple[float, float]],
    violation: float,
) -> None:
    """Samplers read one candidate, schedulers all feasible ones, else the least infeasible one."""
    one = Trial(0, {}, reports={3: report(3, *ROWS), 9: report(9, (0.5, 0.5))})
    rung = observation(one, (3,), made(*bounds)).rungs[0]
    assert rung.share == 3 / 24 and rung.values == (row[0], -row[1])
    assert rung.violations == pytest.approx(violations) and rung.feasible == (violation == 0)
    result = rung_result(one, 3, made(*bounds))
    np.testing.assert_array_equal(result.points, [(fid, -ssim) for fid, ssim in points])
    assert result.violation == pytest.approx(violation)


def test_trials_of_an_earlier_study_are_completed_observations_of_their_best_candidate() -> None:
    earlier = EarlierTrial({"lr": 0.2}, scores(ROWS))
    criteria = Criteria(REFERENCE, (Bound("ms_ssim", "min", 0.9),), (earlier,))
    expected = Observation({"lr": 0.2}, "completed", (Rung(1.0, (9.0, -0.9), (0.0,)),))
    assert earlier_observations(criteria, OBJECTIVES) == [expected]
    assert earlier_observations(Criteria(REFERENCE), OBJECTIVES) == []
