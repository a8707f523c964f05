"""confirm, kill, resume, evaluate twice, promote: the front with new seeds, on real Ray and MLflow."""

import json
from pathlib import Path
from platform import evaluate
from platform.pareto.selection import saved_front
from platform.storage.saved_study import load_saved
from typing import Any

import pytest

from tests.system.conftest import entries, hidden_test_split, kill_once
from trainers.errors import InputError

pytestmark = pytest.mark.slow

NAME = "first"


def ledger(storage: Path) -> list[dict[str, Any]]:
    """The entries of the confirmation's ledger."""
    return entries(storage / "studies" / NAME / "confirm")


def dominated(storage: Path) -> str:
    """A candidate that is not on the front."""
    front = saved_front(load_saved(storage / "studies" / NAME))
    return next(f"{c.trial}/{c.steps}" for c in front.candidates if c not in front.members)


def of(storage: Path, event: str) -> list[int]:
    return [entry["trial"] for entry in ledger(storage) if entry["event"] == event]


@pytest.fixture(scope="module")
def confirmed(command: Any, start: Any, finished: str, storage: Path) -> str:
    """The output of a confirmation that was killed midway and started again, the test split out of reach."""
    words = ("platform.confirm", NAME, "--storage", str(storage), "--top", "2", "--seeds", "2")
    with hidden_test_split(storage):
        kill_once(start(*words), lambda: bool(of(storage, "reported")))
        before = ledger(storage)
        done = command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert before and ledger(storage)[: len(before)] == before
    return str(done.stdout)


def test_a_kill_loses_and_repeats_no_training(confirmed: str, storage: Path) -> None:
    kept = json.loads((storage / "studies" / NAME / "confirm/finalists.json").read_text())
    trials = {trial for trial, _ in kept["candidates"]}
    expected = {(f"confirm trial {trial}", seed) for trial in trials for seed in (1, 2)}
    proposed = [entry["params"] for entry in ledger(storage) if entry["event"] == "proposed"]
    assert {(p["system"], p["seed"]) for p in proposed} == expected and len(proposed) == len(expected)
    assert sorted(of(storage, "ended")) == sorted(of(storage, "proposed"))


def test_the_report_ranks_the_candidates_with_their_intervals(confirmed: str, storage: Path) -> None:
    assert "Confirmed with new seeds" in confirmed and "winner's curse" in confirmed
    report = storage / "studies" / NAME / "confirm/report"
    found = json.loads((report / "confirm.json").read_text())["finalists"]
    front = json.loads((storage / "studies" / NAME / "report/front.json").read_text())["front"]
    searched = {(c["trial"], c["steps"]): c["values"] for c in front}
    assert [f["rank"] for f in found] == list(range(1, len(found) + 1))
    for finalist in found:
        assert finalist["seeds"] == [1, 2] and 0 <= finalist["nondominated"] <= 1
        for name, value in finalist["values"].items():
            assert value["low"] < value["estimate"] < value["high"]
            assert finalist["searched"][name] == searched[finalist["trial"], finalist["steps"]][name]
    assert {p.name for p in report.iterdir()} == {"table.md", "confirm.json", "confirm.png", "confirm.html"}


def test_the_studys_own_mlflow_run_shows_the_intervals(confirmed: str, storage: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("64mT-to-3T")
    runs = client.search_runs([experiment.experiment_id], f"tags.study = '{NAME}'")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(runs) == 1 + 4, "the retrainings are no trials of the study"
    report = storage / "studies" / NAME / "confirm/report/confirm.json"
    for finalist in json.loads(report.read_text())["finalists"]:
        place = f"confirm/{finalist['trial']}_{finalist['steps']}"
        metrics = parent.data.metrics
        assert metrics[f"{place}/p_nondominated"] == pytest.approx(finalist["nondominated"])
        for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            assert metrics[f"{place}/fid{end}"] == pytest.approx(finalist["values"]["fid"][key])
    stored = {file.path for file in client.list_artifacts(parent.info.run_id, "confirm")}
    assert {"confirm/table.md", "confirm/confirm.png", "confirm/confirm.html"} <= stored
    again = client.search_runs([experiment.experiment_id], f"tags.study = 'confirmation {NAME}'")
    names = {run.info.run_name for run in again if "mlflow.parentRunId" in run.data.tags}
    proposed = [entry["params"] for entry in ledger(storage) if entry["event"] == "proposed"]
    assert names == {f"{params['system']}, seed {params['seed']}" for params in proposed}


def test_the_test_split_is_opened_once(command: Any, confirmed: str, storage: Path) -> None:
    words = ("platform.evaluate", NAME, "--storage", str(storage))
    first = command(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Validation against test" in first.stdout and "untouched input" in first.stdout
    with hidden_test_split(storage):
        second = command(*words)
        with pytest.raises(InputError, match=r"--pick: .* is not allowed once the test split was opened"):
            evaluate.main([*words[1:], "--pick", dominated(storage)])
    assert second.returncode == 0, second.stdout + second.stderr
    table = first.stdout[first.stdout.index("Validation against test") :]
    assert second.stdout == table, "printed again, and nothing was evaluated"
    report = storage / "studies" / NAME / "test/report"
    assert {p.name for p in report.iterdir()} == {"table.md", "test.json", "test.png", "test.html"}


def test_the_first_of_the_ranking_is_promoted_with_its_interval(
    command: Any, confirmed: str, storage: Path
) -> None:
    from mlflow.tracking import MlflowClient

    done = command("platform.promote", NAME, "--storage", str(storage), "--pick", "confirmed")
    assert done.returncode == 0, done.stdout + done.stderr
    report = storage / "studies" / NAME / "confirm/report/confirm.json"
    best = json.loads(report.read_text())["finalists"][0]
    assert f"trial {best['trial']} at {best['steps']} steps" in done.stdout
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    tags = client.get_model_version_by_alias(NAME, "champion").tags
    assert tags["trial"] == str(best["trial"]) and tags["confirmed.fid"].count("[") == 1
