"""Confirmation and promotion where a study has outcome constraints, or finds nothing that keeps them."""

import json
from dataclasses import replace
from pathlib import Path
from platform import confirm, evaluate, promote
from platform.confirmation.ranking import confirm as confirmed
from platform.confirmation.ranking import plain
from platform.confirmation.seed_report import markdown
from platform.pareto.front import Bound
from platform.pareto.selection import saved_front
from platform.study.criteria import Criteria
from platform.study.settings import Constraint
from platform.study.study import Study

import pytest

from tests.platform.confirmation.test_ranking import (
    CORNER,
    LUCKY,
    OBJECTIVES,
    begin,
    finalist,
    front,
    scoring,
)
from trainers.errors import InputError

SEARCHED = front((0, 1, 1.0, 8.0), (1, 1, 2.0, 7.0))


def test_what_breaks_a_constraint_by_its_new_seeds_is_last_and_dominates_nobody() -> None:
    better = LUCKY | {(1, 1, 1): (0.5, 6.0), (1, 2, 1): (0.4, 5.8)}  # trial 1's means: .45, 5.9
    unbound = confirmed(scoring(better), SEARCHED)
    assert [f.trial for f in unbound] == [1, 0] and unbound[1].nondominated < 0.1
    fast = replace(SEARCHED, bounds=(Bound("psnr", "max", 5.0),))
    first, second = confirmed(scoring(better), fast)
    assert (first.trial, first.rank, first.broken) == (0, 1, {}) and first.nondominated == 1
    assert (second.trial, second.rank, second.nondominated) == (1, 2, 0.0)
    assert second.broken == pytest.approx({"psnr": 5.9})


def test_of_those_that_break_it_the_least_broken_is_first() -> None:
    bound = replace(SEARCHED, bounds=(Bound("psnr", "min", 9.0), Bound("fid", "max", 5.0)))
    first, second = confirmed(scoring(LUCKY), bound)
    assert (first.trial, second.trial) == (1, 0)
    assert first.broken == {"psnr": 7.0} and second.broken == pytest.approx({"psnr": 4.1, "fid": 5.1})


def test_tables_say_what_is_broken() -> None:
    text = markdown([finalist(broken={"ms_ssim": 0.5})], OBJECTIVES, {})
    assert "| breaks a constraint: MS-SSIM 0.5000 |" in text and "| 0.75 |" not in text


def test_nothing_that_breaks_a_constraint_is_promoted(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, objectives=OBJECTIVES)
    folder = begin(study, tmp_path, "completed", "completed")
    criteria = Criteria(CORNER, (Bound("psnr", "max", 5.5),))
    judged = saved_front(folder, study, criteria.plain())
    best = promote.pick("best-psnr", judged, folder)
    assert (best.trial, best.values["psnr"]) == (0, 5.0), "trial 1 has 6, more than is allowed"
    with pytest.raises(InputError, match=r"'best-ms_ssim', but ms_ssim was not measured; allowed: of fid"):
        promote.pick("best-ms_ssim", judged, folder)
    path = folder / promote.CONFIRMED
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"finalists": [plain(finalist(trial=0, broken={"psnr": 5.9}))]}))
    with pytest.raises(InputError, match=r"every finalist of 'smoke' breaks a constraint .* --top"):
        promote.pick("confirmed", judged, folder)


def test_a_study_without_a_front_cannot_be_confirmed_evaluated_or_promoted(
    smoke: Study, tmp_path: Path
) -> None:
    study = replace(smoke, objectives=OBJECTIVES, constraints=(Constraint("psnr", "min", 30.0),))
    folder = begin(study, tmp_path, "completed")
    saved = json.loads((folder / "study.json").read_text())
    saved["bounds"] = Criteria(CORNER, (Bound("psnr", "min", 30.0),)).plain()["bounds"]
    (folder / "study.json").write_text(json.dumps(saved))
    for command in (confirm, evaluate, promote):
        with pytest.raises(InputError, match=r"no completed trial of 'smoke' keeps .*psnr >= 30\); allowed"):
            command.main(["smoke", "--storage", str(tmp_path)])
