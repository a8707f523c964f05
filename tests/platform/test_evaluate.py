"""The evaluate command lets one process at a time open the test split."""

from pathlib import Path
from platform import evaluate
from platform.driver.lock import locked
from platform.study.study import Study
from platform.tracking import store

import pytest

from tests.platform.confirmation.examples import save_study
from trainers.errors import InputError


def test_a_second_evaluation_is_refused_before_it_decides_on_anything(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "prepare", lambda *_: "experiment")
    saved = save_study(tmp_path, smoke, "completed")
    (saved.folder / "test").mkdir()
    message = "test: another process works on it; allowed: one at a time"
    with locked(saved.folder / "test"), pytest.raises(InputError, match=message):
        evaluate.main([saved.study.name, "--storage", str(tmp_path)])
    assert not (saved.folder / "test" / "asked.json").exists()
    with locked(saved.folder / "test"):
        pass
