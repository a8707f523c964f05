"""``study.json``: written once, whole or not at all; only an extended budget changes it."""

import json
from dataclasses import replace
from pathlib import Path
from platform.storage.saved_study import (
    FILE,
    SavedStudy,
    StartFacts,
    is_saved,
    load_saved,
    save_extended,
    save_new,
)
from platform.study.criteria import Bound, Criteria, EarlierTrial
from platform.study.settings import Constraint, Scheduler
from platform.study.study import Study

import pytest

from trainers.errors import InputError
from trainers.metrics.names import VERSION
from trainers.seal import FORMAT

KNOWN = EarlierTrial({"a": 1}, {1: {"fid": 0.1 + 0.2}})
CRITERIA = Criteria({"fid": 0.1 + 0.2}, (Bound("psnr", "min", 20.25),), (KNOWN,))
FACTS = StartFacts("sqlite:////db", "a hash", 3)


@pytest.fixture
def study(smoke: Study) -> Study:
    constraints = (Constraint("psnr", "min", "input"),)
    scheduler = Scheduler(name="asha", grace=2)
    return replace(smoke, constraints=constraints, scheduler=scheduler, warm="earlier", deterministic=True)


def test_a_study_is_saved_once_and_read_as_it_was_saved(study: Study, tmp_path: Path) -> None:
    """Also the untouched input's value in a bound and the known trials stay as they were."""
    assert not is_saved(tmp_path)
    saved = SavedStudy(tmp_path, study, CRITERIA, FACTS)
    assert save_new(tmp_path, study, CRITERIA, FACTS) == saved == load_saved(tmp_path)
    assert is_saved(tmp_path) and [path.name for path in tmp_path.glob("*.json*")] == [FILE]
    before = (tmp_path / FILE).read_bytes()
    other = Criteria({"fid": 9.0}, (Bound("psnr", "min", 1.0),))
    assert save_new(tmp_path, replace(study, seed=99), other, replace(FACTS, cohort="another")) == saved
    assert (tmp_path / FILE).read_bytes() == before


def test_the_keys_of_the_file(study: Study, tmp_path: Path) -> None:
    """Those that studies of earlier versions have, but for the measures: theirs are of version 1."""
    save_new(tmp_path, study, CRITERIA, FACTS)
    values = json.loads((tmp_path / FILE).read_text())
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert (values.pop("measures"), values.pop("format")) == (VERSION, FORMAT) and VERSION > 1
    assert len(values.pop("seal")) == 64
    (tmp_path / FILE).write_text(json.dumps(values))
    assert load_saved(tmp_path).facts == replace(FACTS, measures=1)
    assert values == {
        "study": study.to_json(),
        **{"tracking": "sqlite:////db", "cohort": "a hash", "slots": 3},
        "reference_point": {"fid": 0.1 + 0.2},
        "bounds": [{"metric": "psnr", "bound": "min", "value": 20.25}],
        "known": [{"params": {"a": 1}, "scores": {"1": {"fid": 0.1 + 0.2}}}],
        "extended_at": 0,
    }


@pytest.mark.parametrize(("old", "new"), [('"slots": 3', '"slots": 7'), ('"format"', '"gormat"'), ("{", "z")])
def test_a_damaged_file_is_refused(study: Study, tmp_path: Path, old: str, new: str) -> None:
    save_new(tmp_path, study, CRITERIA, FACTS)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"study\.json: damaged \(.*; allowed: the file as"):
        load_saved(tmp_path)


def test_an_extension_changes_the_budget_alone(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_new(tmp_path, study, CRITERIA, FACTS)
    longer = replace(study, budget=replace(study.budget, trials=99))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *paths: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_extended(tmp_path, longer, 4)
    assert load_saved(tmp_path) == SavedStudy(tmp_path, study, CRITERIA, FACTS), "whole after a failure"
    extended = SavedStudy(tmp_path, longer, replace(CRITERIA, extended_at=4), FACTS)
    assert save_extended(tmp_path, longer, 4) == extended == load_saved(tmp_path)
