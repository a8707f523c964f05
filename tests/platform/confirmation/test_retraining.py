"""Which candidates are retrained with which seeds, and the results that the ledger holds."""

import json
from pathlib import Path
from platform.confirmation.retraining import FOLDER, Checkpoint, new_seeds, results, trainings
from platform.confirmation.run import REQUEST_FILE, ConfirmationRequest
from platform.confirmation.scoring import Places, evaluations
from platform.storage.ledger import Ledger
from platform.storage.trials import TrialStatus
from platform.study.study import Study

from tests.platform.confirmation.examples import front, scoring
from trainers.metrics.names import BASELINES
from trainers.report import Report

ENDS: tuple[TrialStatus, ...] = ("completed", "diverged", "failed")


def test_every_trial_is_trained_with_its_first_new_seed_before_any_with_a_second(smoke: Study) -> None:
    searched = front((0, 1, 1.0, 1.0), (1, 1, 2.0, 2.0), (1, 2, 3.0, 3.0), params={"lambda_DMD": 1.5})
    made = trainings(smoke, searched, [(0, 1), (1, 1), (1, 2)], 2)
    expected = [(f"confirm trial {trial}", f"trial {trial}", seed) for seed in (1, 2) for trial in (0, 1)]
    assert [(t.system, t.label, t.seed) for t in made] == expected
    assert {t.config.lambda_DMD for t in made} == {1.5} and [t.config.seed for t in made] == [1, 1, 2, 2]
    assert new_seeds(0, 3) == [1, 2, 3] and new_seeds(1, 3) == [0, 2, 3] and new_seeds(9, 2) == [0, 1]
    assert {t.method for t in made} == {smoke.methods[0]}


def test_results_are_what_finished_diverged_and_failed(smoke: Study, tmp_path: Path) -> None:
    searched, keys, ledger = front((0, 1, 1.0, 1.0)), [(0, 1)], Ledger(tmp_path / FOLDER)
    for number, training in enumerate(trainings(smoke, searched, keys, 4)):
        ledger.proposed(number, training.params)
        ledger.reported(number, Report(5, 5, {1: {"fid": 1.0}}, {}, 1.0, f"/confirm/{number}"))
    for number, status in enumerate(ENDS):
        ledger.ended(number, status, "why")
    ledger.close()
    own = Checkpoint(0, 0, "/c/0", True)
    found = results(tmp_path, smoke, searched, keys, 4)
    assert found.checkpoints == (own, Checkpoint(0, 1, "/confirm/0", False))
    assert found.diverged == {0: 1} and found.failed == ("confirm trial 0, seed 3: why",)
    assert results(tmp_path, smoke, searched, keys, 0).checkpoints == (own,)


def test_a_confirmations_request_is_saved(tmp_path: Path) -> None:
    assert ConfirmationRequest.read(tmp_path) == ConfirmationRequest((), 0)
    (tmp_path / FOLDER).mkdir()
    request = ConfirmationRequest(((3, 2),), 4)
    request.write(tmp_path)
    assert ConfirmationRequest.read(tmp_path) == request
    assert json.loads((tmp_path / FOLDER / REQUEST_FILE).read_text()) == {"candidates": [[3, 2]], "seeds": 4}


def test_each_training_is_evaluated_at_its_trials_step_counts_and_so_is_the_input(tmp_path: Path) -> None:
    made = scoring({(t, s, k): (1.0, 1.0) for t, k in ((0, 1), (0, 2), (1, 3)) for s in (0, 1)})
    tasks = evaluations(
        made.keys, made.retrainings, Places(Path("c"), Path("r"), Path("b")), tmp_path, "val", 2
    )
    assert tasks.keys() == {*BASELINES, *made.scores}
    assert {(task.split, task.measures) for task in tasks.values()} == {("val", 2)}
    assert len({task.folder for task in tasks.values()}) == 6 + len(BASELINES)
    assert tasks["supervised"].bound == Path("b")
    earlier = evaluations(made.keys, made.retrainings, Places(), tmp_path, "val", 1)
    assert earlier.keys() == {"input", *made.scores}
    assert tasks[0, 1, 2].steps == 2 and tasks["input"].translator == "input"
