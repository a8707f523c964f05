"""``study.json``: written once, whole or not at all; another budget is the one thing that changes it."""

import json
from dataclasses import replace
from pathlib import Path
from platform.pareto.front import Bound
from platform.storage.saved_study import FILE, extend, freeze, load_saved
from platform.study.criteria import Criteria
from platform.study.settings import Constraint, Scheduler
from platform.study.study import Study

import pytest

TERMS = Criteria({"fid": 0.1 + 0.2}, (Bound("psnr", "min", 20.25),), ({"params": {"a": 1}, "scores": {}},))


@pytest.fixture
def study(smoke: Study) -> Study:
    constraints = (Constraint("psnr", "min", "input"),)
    scheduler = Scheduler(name="asha", grace=2)
    return replace(smoke, constraints=constraints, scheduler=scheduler, warm="earlier", deterministic=True)


def test_a_study_is_read_as_it_was_frozen(study: Study, tmp_path: Path) -> None:
    assert freeze(tmp_path, study, TERMS, tracking="sqlite:////db", cohort="a hash", slots=3) == TERMS
    found, saved = load_saved(tmp_path)
    assert found == study and Criteria.from_plain(saved) == TERMS
    assert (saved["tracking"], saved["cohort"], saved["slots"]) == ("sqlite:////db", "a hash", 3)
    assert [path.name for path in tmp_path.glob("*.json*")] == [FILE]


def test_it_is_frozen_once(study: Study, tmp_path: Path) -> None:
    """The input's value, to which a constraint was bound, and all that was known stay as they were."""
    freeze(tmp_path, study, TERMS, cohort="a hash")
    before = (tmp_path / FILE).read_bytes()
    other = replace(study, seed=99)
    again = freeze(tmp_path, other, Criteria({"fid": 9.0}, (Bound("psnr", "min", 1.0),)), cohort="another")
    assert again == TERMS and (tmp_path / FILE).read_bytes() == before


def test_more_budget_changes_nothing_else(study: Study, tmp_path: Path) -> None:
    freeze(tmp_path, study, TERMS, tracking="sqlite:////db", cohort="a hash", slots=3)
    longer = replace(study, budget=replace(study.budget, trials=99))
    extend(tmp_path, longer, extended_at=4)
    found, saved = load_saved(tmp_path)
    assert found == longer and Criteria.from_plain(saved) == replace(TERMS, extended_at=4)
    assert (saved["tracking"], saved["cohort"], saved["slots"]) == ("sqlite:////db", "a hash", 3)


def test_a_failed_extension_leaves_the_study_whole(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(tmp_path, study, TERMS, cohort="a hash")
    monkeypatch.setattr(Path, "replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extend(tmp_path, replace(study, seed=7), 4)
    assert json.loads((tmp_path / FILE).read_text())["extended_at"] == 0
    assert load_saved(tmp_path)[0] == study
