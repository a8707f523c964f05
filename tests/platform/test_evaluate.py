"""The test split is opened once, for what was fixed before; validation stands against it."""

import json
from dataclasses import replace
from pathlib import Path
from platform import confirm, evaluate, promote
from platform.confirmation import test_report
from platform.confirmation.retraining import FOLDER, Checkpoint, Outcome
from platform.confirmation.test_report import Row
from platform.evaluate import Asked
from platform.pareto.front import Candidate, Front
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger, locked
from platform.storage.saved_study import freeze
from platform.study.criteria import Criteria
from platform.study.settings import Objective
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from trainers import weights
from trainers.errors import InputError
from trainers.metrics.frechet import Interval

OBJECTIVES = (Objective("fid", "minimize"), Objective("psnr", "maximize"))
POINTS = {(0, 1): (1.0, 5.0), (1, 1): (2.0, 8.0), (1, 2): (9.0, 1.0)}


@pytest.fixture
def study(smoke: Study) -> Study:
    """The smoke study with two objectives."""
    return replace(smoke, objectives=OBJECTIVES)


@pytest.fixture
def front() -> Front:
    """Trials 0 and 1; trial 1 at 2 steps is dominated."""
    found = [
        Candidate(*key, dict(zip(("fid", "psnr"), values, strict=True)), {}, f"/c/{key[0]}")
        for key, values in POINTS.items()
    ]
    return Front(OBJECTIVES, {"fid": 10.0, "psnr": 0.0}, found)


def confirmed(folder: Path, *keys: tuple[int, int]) -> None:
    """A confirmation that has written its report, its ledger empty."""
    Ledger(folder / FOLDER).close()
    path = folder / promote.CONFIRMED
    path.parent.mkdir(parents=True)
    ranked = [{"trial": trial, "steps": steps} for trial, steps in keys]
    path.write_text(json.dumps({"finalists": ranked, "seeds": 2}))
    begin(folder, *keys)


def begin(folder: Path, *keys: tuple[int, int]) -> None:
    """A confirmation that was asked for and has come to no end."""
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / confirm.TERMS).write_text(json.dumps({"candidates": keys, "seeds": 2}))


def test_without_a_confirmation_the_front_is_evaluated(study: Study, front: Front, tmp_path: Path) -> None:
    asked = evaluate.resolve(tmp_path, study, front, None)
    assert set(asked.keys) == {(0, 1), (1, 1)}
    assert asked.found.checkpoints == (Checkpoint(0, 0, "/c/0", True), Checkpoint(1, 0, "/c/1", True))
    picked = evaluate.resolve(tmp_path, study, front, "1/2")
    assert picked.keys == ((1, 2),)


def test_what_was_confirmed_is_evaluated(study: Study, front: Front, tmp_path: Path) -> None:
    confirmed(tmp_path, (1, 1))
    assert evaluate.resolve(tmp_path, study, front, None).keys == ((1, 1),)
    assert evaluate.resolve(tmp_path, study, front, "confirmed").keys == ((1, 1),)


def test_a_confirmation_that_was_only_begun_does_not_count(
    study: Study, front: Front, tmp_path: Path
) -> None:
    begin(tmp_path, (1, 1))
    assert set(evaluate.resolve(tmp_path, study, front, None).keys) == {(0, 1), (1, 1)}
    confirmed(tmp_path, (1, 1))
    begin(tmp_path, (1, 1), (0, 1))
    asked = evaluate.resolve(tmp_path, study, front, None)
    assert asked.keys == ((1, 1),) and {c.trial for c in asked.found.checkpoints} == {1}


def test_two_at_a_time_cannot_open_the_test_split(study: Study, tmp_path: Path) -> None:
    """A second evaluation is refused while one runs, before it has decided on anything."""
    storage = Storage.open(tmp_path)
    folder = storage.study(study.name)
    folder.mkdir(parents=True)
    freeze(folder, study, Criteria({"fid": 10.0, "psnr": 0.0}), tracking=storage.tracking)
    ledger = Ledger(folder)
    ledger.proposed(0, {})
    scores = {"1": {"fid": 1.0, "psnr": 5.0}}
    ledger.reported(0, {"step": 6, "steps": 6, "scores": scores, "seconds": 1.0, "checkpoint": "/c/0"})
    ledger.ended(0, "completed")
    ledger.close()
    (folder / "test").mkdir()
    told = "test: another process works on it; allowed: one at a time"
    with locked(folder / "test"), pytest.raises(InputError, match=told):
        evaluate.main([study.name, "--storage", str(tmp_path)])
    with locked(folder / "test"):
        pass


def test_once_the_test_split_was_opened_nothing_else_is_evaluated(
    study: Study, front: Front, tmp_path: Path
) -> None:
    asked = Asked(((0, 1),), Outcome((Checkpoint(0, 0, "/c/0", True),), {0: 1}, ()))
    evaluate.freeze(tmp_path, asked)
    confirmed(tmp_path, (1, 1))
    assert evaluate.resolve(tmp_path, study, front, None) == asked
    assert evaluate.resolve(tmp_path, study, front, "0/1") == asked
    with pytest.raises(InputError, match=r"--pick: 1/1 is not allowed once .* others; allowed: 0/1"):
        evaluate.resolve(tmp_path, study, front, "confirmed")


def results(folder: Path, estimate: float) -> None:
    """What an evaluation publishes."""
    draws = (estimate + np.linspace(-1, 1, 9)).tolist()
    scores = {"fid": [estimate, draws], "psnr": [estimate + 20, [d + 20 for d in draws]]}
    weights.publish(folder, {}, {"scores": scores, "extended": {}, "costs": {}, "subjects": 9})


def test_rows_stand_validation_against_test_with_the_same_trainings(
    study: Study, front: Front, tmp_path: Path
) -> None:
    trainings = tuple(Checkpoint(0, seed, "", seed == 0) for seed in (0, 1, 2))
    asked = Asked(((0, 1),), Outcome(trainings, {0: 0}, ()))
    tasks = evaluate.both(asked, (Path(), Path()), tmp_path)
    assert {split for split, _ in tasks} == {"val", "test"} and len(tasks) == 8
    for (split, key), task in tasks.items():
        seed = key[1] if isinstance(key, tuple) else 7
        results(task.folder, 10.0 * (split == "test") + 2.0 * seed)
    candidate, untouched = evaluate.rows(study, front, asked, tasks)
    assert candidate.searched == {"fid": 1.0, "psnr": 5.0} and candidate.trainings == 2
    assert candidate.validation["fid"].estimate == pytest.approx(3.0), "the new seeds' mean"
    assert candidate.test["fid"].estimate == pytest.approx(13.0)
    assert candidate.own == {"fid": 10.0, "psnr": 30.0}, "the search's own training on the test split"
    assert untouched.test["fid"].estimate == 24.0 and untouched.key is None
    assert candidate.test["fid"].low < 13.0 < candidate.test["fid"].high


ROWS = [
    Row(
        *("trial 0, 1 step", (0, 1), {"fid": 1.0, "psnr": 25.0}),
        {"fid": Interval(2.0, 1.5, 2.5), "psnr": Interval(24.0, 23.0, 25.0)},
        {"fid": Interval(3.0, 2.0, 4.0), "psnr": Interval(23.0, np.nan, np.nan)},
        *({"fid": 3.5, "psnr": 22.5}, 2),
    ),
    test_report.untouched({"fid": Interval(9.0, 8.0, 10.0)}, {"fid": Interval(9.5, 8.5, 10.5)}),
]


def test_the_table_has_a_line_for_each_candidate_and_objective() -> None:
    lines = test_report.markdown(ROWS, OBJECTIVES).splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]
    cells = [row for row in cells if row[0] != "---"]
    assert cells[0] == [
        *("FID ↓", "trial 0, 1 step", "1.000", "2.000 [1.500, 2.500]"),
        *("3.000 [2.000, 4.000]", "3.500", "2"),
    ]
    assert cells[1][:4] == ["FID ↓", "untouched input", "", "9.000 [8.000, 10.00]"]
    assert cells[2][3:5] == ["24.00 [23.00, 25.00]", "23.00"] and len(cells) == 4
    console = Console(width=120, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    console.print(test_report.terminal(ROWS, OBJECTIVES))
    assert "3.000 [2.000, 4.000]" in console.export_text()


def test_the_picture_and_the_page_are_written_even_for_one_objective(tmp_path: Path) -> None:
    page, picture = test_report.figure(ROWS, OBJECTIVES, tmp_path)
    assert picture.stat().st_size > 10_000 and "test = validation" in page.read_text()
    alone = [replace(row, test={"fid": row.test["fid"]}) for row in ROWS]
    assert test_report.figure(alone, OBJECTIVES, tmp_path / "one")[1].stat().st_size > 5_000


def test_json_and_metrics_leave_no_nan() -> None:
    kept: Any = json.loads(json.dumps([test_report.plain(row) for row in ROWS], allow_nan=False))
    assert kept[0]["test"]["psnr"] == {"estimate": 23.0, "low": None, "high": None}
    assert ROWS[0].place == "0_1" and ROWS[1].place == "input"
