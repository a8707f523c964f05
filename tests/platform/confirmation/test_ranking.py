"""Candidates are ranked by their new seeds; constraints and diverged trainings count."""

import json
from dataclasses import replace
from platform.confirmation.ranking import optimism, rank, ranking_metrics
from platform.confirmation.scoring import subject_intervals
from platform.study.criteria import Bound
from platform.study.settings import Objective

import pytest

from tests.platform.confirmation.examples import OBJECTIVES, finalist, front, scoring

SEARCHED = front((0, 1, 1.0, 8.0), (1, 1, 2.0, 7.0))
LUCKY = {
    **{(0, 0, 1): (1.0, 8.0), (0, 1, 1): (5.0, 4.0), (0, 2, 1): (5.2, 4.2)},
    **{(1, 0, 1): (2.0, 7.0), (1, 1, 1): (2.1, 7.1), (1, 2, 1): (1.9, 6.9)},
}
"""Trial 0 was the search's best by its seed alone."""


def test_candidates_are_ranked_by_two_new_seeds_alone_and_by_one_with_the_searchs_own() -> None:
    first, second = rank(scoring(LUCKY), SEARCHED)
    assert (first.trial, first.rank, second.trial, second.rank) == (1, 1, 0, 2)
    assert first.seeds == second.seeds == (1, 2)
    assert second.searched == {"fid": 1.0, "psnr": 8.0}
    assert second.values["fid"].estimate == pytest.approx(5.1) == second.fresh["fid"]
    assert first.nondominated > 0.9 > 0.1 > second.nondominated
    gaps = optimism([first, second], OBJECTIVES)
    assert gaps == pytest.approx({"fid": (4.1 + 0.0) / 2, "psnr": (3.9 + 0.0) / 2})
    one = {key: value for key, value in LUCKY.items() if key[1] < 2}
    lucky = next(f for f in rank(scoring(one), SEARCHED) if f.trial == 0)
    assert lucky.seeds == (0, 1) and lucky.values["fid"].estimate == pytest.approx(3.0)
    assert lucky.fresh["fid"] == 5.0


def test_diverged_trainings_lower_the_rank_but_not_the_probability() -> None:
    values = {(t, s, 1): (2.0 + 0.1 * s + 0.02 * t, 5.0) for t in (0, 1) for s in (0, 1, 2)}
    searched = front((0, 1, 2.0, 5.0), (1, 1, 2.02, 5.0))
    without, with_diverged = (rank(scoring(values, diverged), searched) for diverged in ({}, {0: 8}))
    assert [f.trial for f in without] == [0, 1] and [f.trial for f in with_diverged] == [1, 0]
    assert with_diverged[1].nondominated == without[0].nondominated and with_diverged[1].diverged == 8


def test_a_trials_step_counts_are_kept_apart_in_any_order() -> None:
    values = {(t, s, k): (t + k + 0.01 * s, 5.0 + k) for t in (3, 1) for s in (0, 1, 2) for k in (1, 2)}
    made = scoring(values)
    searched = front(*((t, k, values[t, 0, k][0], 5.0 + k) for t in (1, 3) for k in (1, 2)))
    for case in (made, replace(made, keys=[(3, 2), (1, 1), (3, 1), (1, 2)])):
        for each in rank(case, searched):
            assert each.values["fid"].estimate == pytest.approx(each.trial + each.steps + 0.015)
            assert each.searched["fid"] == each.trial + each.steps


def test_candidates_that_violate_a_constraint_are_last_by_violation_and_dominate_none() -> None:
    better = LUCKY | {(1, 1, 1): (0.5, 6.0), (1, 2, 1): (0.4, 5.8)}  # trial 1's means: .45, 5.9
    without = rank(scoring(better), SEARCHED)
    assert [f.trial for f in without] == [1, 0] and without[1].nondominated < 0.1
    first, second = rank(scoring(better), replace(SEARCHED, bounds=(Bound("psnr", "max", 5.0),)))
    assert (first.trial, first.rank, first.broken) == (0, 1, {}) and first.nondominated == 1
    assert (second.trial, second.rank, second.nondominated) == (1, 2, 0.0)
    assert second.broken == pytest.approx({"psnr": 5.9})
    bounds = (Bound("psnr", "min", 9.0), Bound("fid", "max", 5.0))
    least, most = rank(scoring(LUCKY), replace(SEARCHED, bounds=bounds))
    assert (least.trial, least.broken, most.trial) == (1, {"psnr": 7.0}, 0)
    assert most.broken == pytest.approx({"psnr": 4.1, "fid": 5.1})


def test_metrics_are_named_by_candidate_and_unknown_bounds_are_left_out_or_null() -> None:
    metrics = ranking_metrics([finalist()])
    expected = {"fid": 2.0, "fid_low": 1.5, "fid_high": 2.5, "p_nondominated": 0.75, "searched_fid": 1.0}
    assert metrics.items() >= {f"confirm/3_2/{name}": value for name, value in expected.items()}.items()
    assert "confirm/3_2/psnr_low" not in metrics
    written = json.loads(json.dumps(finalist().to_json(), allow_nan=False))
    assert written["values"]["psnr"] == {"estimate": 20.0, "low": None, "high": None}


def test_intervals_of_the_input_stay_in_a_metrics_range_and_include_a_measured_cost() -> None:
    names = {"fid": "minimize", "ms_ssim": "maximize", "seconds_per_volume": "minimize"}
    objectives = [Objective(*of) for of in names.items()]
    wide = {"fid": [0.1, [-5.0, 5.0]], "ms_ssim": [0.9, [0.1, 1.7]]}
    facts = {"scores": wide, "extended": {}, "costs": {"seconds_per_volume": 3.0}, "subjects": 2}
    intervals = subject_intervals(facts, objectives)
    assert intervals["fid"].low == 0.0 and intervals["ms_ssim"].high == 1.0
    assert intervals["seconds_per_volume"].estimate == 3.0
    assert subject_intervals({**facts, "scores": {}, "costs": {}}, objectives) == {}
    few = subject_intervals({**facts, "subjects": 16, "measured": {"fid": 2}}, objectives)["fid"]
    all_of_two = subject_intervals(facts, objectives)["fid"]
    assert few == all_of_two != subject_intervals({**facts, "subjects": 16}, objectives)["fid"]


def test_an_objective_is_of_the_subjects_that_have_a_value() -> None:
    made = scoring(LUCKY)
    assert made.subjects == [0, 4] and made.measured == {}
    some = {key: {**of, "psnr": replace(of["psnr"], total=9)} for key, of in made.scores.items()}
    assert replace(made, scores=some).measured == {"psnr": "4 of 9 subjects"}
