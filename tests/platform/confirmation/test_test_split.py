"""The test split is opened once, for what was fixed before; validation is beside it."""

import json
from dataclasses import replace
from pathlib import Path
from platform.confirmation.picks import CONFIRMED
from platform.confirmation.retraining import FOLDER, Retrainings
from platform.confirmation.run import ConfirmationRequest
from platform.confirmation.scoring import Places
from platform.confirmation.test_split import EvaluationRequest, each_split, resolve, rows
from platform.pareto.front import CandidateKey
from platform.storage.ledger import Ledger
from platform.study.settings import Objective
from platform.study.study import Study

import numpy as np
import pytest

from tests.platform.confirmation.examples import OBJECTIVES, checkpoints, front
from trainers import weights
from trainers.errors import InputError
from trainers.metrics.names import BASELINES

FRONT = front((0, 1, 1.0, 5.0), (1, 1, 2.0, 8.0), (1, 2, 9.0, 1.0))
"""Trial 1 at 2 steps is dominated."""


@pytest.fixture
def study(smoke: Study) -> Study:
    return replace(smoke, objectives=OBJECTIVES)


def start_confirmation(folder: Path, *keys: CandidateKey) -> None:
    """One that was requested and has not ended."""
    (folder / FOLDER).mkdir(exist_ok=True)
    ConfirmationRequest(keys, 2).write(folder)


def confirm(folder: Path, *keys: CandidateKey) -> None:
    """One that has written its report, its ledger empty."""
    start_confirmation(folder, *keys)
    Ledger(folder / FOLDER).close()
    (folder / CONFIRMED).parent.mkdir(parents=True)
    ranked = [{"trial": trial, "steps": steps} for trial, steps in keys]
    (folder / CONFIRMED).write_text(json.dumps({"finalists": ranked, "seeds": 2}))


def test_without_a_confirmation_the_front_is_evaluated(study: Study, tmp_path: Path) -> None:
    request = resolve(tmp_path, study, FRONT, None)
    assert set(request.keys) == {(0, 1), (1, 1)}
    assert request.retrainings.checkpoints == checkpoints((0, 0), (1, 0))
    assert resolve(tmp_path, study, FRONT, "1/2").keys == ((1, 2),)


def test_the_finished_confirmation_is_evaluated_and_one_that_only_started_is_not(
    study: Study, tmp_path: Path
) -> None:
    start_confirmation(tmp_path, (1, 1))
    assert set(resolve(tmp_path, study, FRONT, None).keys) == {(0, 1), (1, 1)}
    confirm(tmp_path, (1, 1))
    assert resolve(tmp_path, study, FRONT, "confirmed").keys == ((1, 1),)
    start_confirmation(tmp_path, (1, 1), (0, 1))
    request = resolve(tmp_path, study, FRONT, None)
    assert request.keys == ((1, 1),) and {c.trial for c in request.retrainings.checkpoints} == {1}


def test_once_the_test_split_was_opened_nothing_else_is_evaluated(study: Study, tmp_path: Path) -> None:
    request = EvaluationRequest(((0, 1),), Retrainings(checkpoints((0, 0)), {0: 1}, ()))
    (tmp_path / "test").mkdir()
    request.write(tmp_path)
    saved = json.loads((tmp_path / "test" / "asked.json").read_text())
    assert saved.keys() == {"candidates", "trainings", "splits", "diverged"}
    confirm(tmp_path, (1, 1))
    assert resolve(tmp_path, study, FRONT, None) == request
    assert resolve(tmp_path, study, FRONT, "0/1") == request
    with pytest.raises(InputError, match=r"--pick: 1/1 is not allowed once .* others; allowed: 0/1"):
        resolve(tmp_path, study, FRONT, "confirmed")


def publish(folder: Path, estimate: float) -> None:
    """What an evaluation publishes."""
    draws = (estimate + np.linspace(-1, 1, 9)).tolist()
    scores = {"fid": [estimate, draws], "psnr": [estimate + 20, [d + 20 for d in draws]]}
    facts = {"scores": scores, "extended": {}, "costs": {}, "subjects": 9}
    weights.publish(folder, {}, facts, "evaluation")


def test_rows_have_validation_and_test_of_the_same_trainings(study: Study, tmp_path: Path) -> None:
    retrainings = Retrainings(checkpoints((0, 0), (0, 1), (0, 2)), {0: 0}, ())
    request = EvaluationRequest(((0, 1),), retrainings, ("val", "test", "shifted"))
    (tmp_path / "test").mkdir()
    request.write(tmp_path)
    assert EvaluationRequest.read(tmp_path) == request
    tasks = each_split(request, Places(), tmp_path, 2)
    count = 3 + len(BASELINES)
    assert {split: len(of_split) for split, of_split in tasks.items()} == dict.fromkeys(request.splits, count)
    assert len({task.folder for of_split in tasks.values() for task in of_split.values()}) == 3 * count
    for split, of_split in tasks.items():
        for key, task in of_split.items():
            seed = key[1] if isinstance(key, tuple) else 7
            publish(task.folder, 10.0 * request.splits.index(split) + 2.0 * seed)
    candidate, untouched, *others = rows(study, FRONT, request, tasks)
    assert candidate.label == "trial 0, 1 step" and candidate.trainings == 2
    assert candidate.searched == {"fid": 1.0, "psnr": 5.0}
    assert candidate.validation["fid"].estimate == pytest.approx(3.0), "the new seeds' mean"
    assert candidate.test["fid"].estimate == pytest.approx(13.0)
    assert candidate.shifted["fid"].estimate == pytest.approx(23.0)
    assert candidate.test["fid"].low < 13.0 < candidate.test["fid"].high
    assert candidate.own == {"fid": 10.0, "psnr": 30.0}, "the search's own training on the test split"
    assert untouched.test["fid"].estimate == 24.0 and untouched.key is None
    assert [row.baseline for row in (untouched, *others)] == list(BASELINES)
    unmeasured = replace(study, objectives=(*OBJECTIVES, Objective("lesion_extent", "maximize")))
    with pytest.raises(InputError, match="lesion_extent was not measured on the val split; allowed: "):
        rows(unmeasured, FRONT, request, tasks)
