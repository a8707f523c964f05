"""A search with halving: killed, resumed, extended, and the start of another; on real Ray and MLflow."""

import json
from collections import Counter
from pathlib import Path
from platform.storage.ledger import read_trials
from platform.storage.trials import Trial
from typing import Any

import pytest

from tests.system.conftest import entries, hidden_test_split, kill_once

pytestmark = pytest.mark.slow

NAME, TRIALS = "halved", 8


def ledger(storage: Path, name: str = NAME) -> list[dict[str, Any]]:
    """The entries of a study's ledger."""
    return entries(storage / "studies" / name)


def trials_of(storage: Path, name: str = NAME) -> dict[int, Trial]:
    return read_trials(storage / "studies" / name)


def count(storage: Path, *statuses: str) -> int:
    return sum(trial.status in statuses for trial in trials_of(storage).values())


def of_study(storage: Path, name: str) -> list[Any]:
    """MLflow's runs of the study's trials."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("64mT-to-3T")
    runs = client.search_runs([experiment.experiment_id], f"tags.study = '{name}'")
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def require_recorded(storage: Path, name: str) -> None:
    """MLflow has the same of each trial as the ledger."""
    trials = trials_of(storage, name)
    runs = {int(run.data.tags["trial"]): run for run in of_study(storage, name)}
    assert runs.keys() == trials.keys()
    expected = {"completed": ("FINISHED", "completed"), "paused": ("KILLED", "stopped")}
    for number, trial in trials.items():
        assert (runs[number].info.status, runs[number].data.tags["status"]) == expected[trial.status]
        assert ("others did better there" in runs[number].data.tags["reason"]) == (trial.status == "paused")


@pytest.fixture(scope="module")
def halving(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny space with a scheduler, and no rungs but the scheduler's."""
    path = tmp_path_factory.mktemp("halving") / f"{NAME}.yaml"
    text = space.read_text().replace("rungs: 2", "rungs: 1")
    text = text.replace("budget: {trials: 4}", f"budget: {{trials: {TRIALS}}}")
    path.write_text(text + "scheduler: {name: asha, grace: 2, min_results: 2}\n")
    return path


@pytest.fixture(scope="module")
def resumed(
    command: Any, start: Any, finished: str, storage: Path, halving: Path
) -> tuple[list[dict[str, Any]], str]:
    """The ledger of a search at the moment when it was killed, and the output of its resumption.

    All of it without the files of the test split, which a search never reads.
    """
    with hidden_test_split(storage):
        process = start("platform.search", "--space", str(halving), "--storage", str(storage))
        path = storage / "studies" / NAME / "ledger.jsonl"
        both = ("completed", "paused")
        kill_once(process, lambda: path.exists() and all(count(storage, status) for status in both))
        before = ledger(storage)
        assert all(count(storage, status) for status in both) and len(trials_of(storage)) <= TRIALS
        assert not (storage / "studies" / NAME / "report").exists(), "it ended before it was killed"
        done = command("platform.search", "--resume", NAME, "--storage", str(storage))
    assert done.returncode == 0, done.stdout + done.stderr
    return before, str(done.stdout)


def test_some_are_stopped_and_some_completed(resumed: Any, storage: Path) -> None:
    trials = trials_of(storage)
    statuses = Counter(trial.status for trial in trials.values())
    assert len(trials) == TRIALS and statuses.keys() == {"completed", "paused"}
    for trial in trials.values():
        steps = sorted(trial.reports)
        assert steps == ([2, 6, 12] if trial.status == "completed" else [2, 6][: len(steps)])
    steps = sum(max(trial.reports) for trial in trials.values())
    line = f"{statuses['paused']} of {TRIALS} trials were stopped early: {steps} of {12 * TRIALS} steps"
    assert line in resumed[1] and "Pareto front" in resumed[1]
    front = json.loads((storage / "studies" / NAME / "report/front.json").read_text())["front"]
    assert {trials[c["trial"]].status for c in front} == {"completed"}


def test_a_kill_trains_nothing_twice(resumed: Any, storage: Path) -> None:
    before, after = resumed[0], ledger(storage)
    assert after[: len(before)] == before
    ended = {entry["trial"] for entry in before if entry["event"] == "ended"}
    assert ended and not ended & {entry["trial"] for entry in after[len(before) :]}
    proposed = [entry["trial"] for entry in after if entry["event"] == "proposed"]
    assert proposed == list(range(TRIALS))
    reports: dict[tuple[int, int], list[Any]] = {}
    for entry in after:
        if entry["event"] == "reported":
            report = entry["report"]
            reports.setdefault((entry["trial"], report["step"]), []).append(report["seconds"])
    # a rung reported twice was trained once: its time is the same to the last digit
    assert all(len(set(seconds)) == 1 for seconds in reports.values())


def test_stopped_trials_are_killed_runs_of_mlflow(resumed: Any, storage: Path) -> None:
    require_recorded(storage, NAME)


@pytest.fixture(scope="module")
def extended(command: Any, resumed: Any, storage: Path) -> str:
    """The output of the study with two more trials."""
    words = ("--resume", NAME, "--storage", str(storage), "--extend", "trials=2")
    done = command("platform.search", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_an_extended_study_continues(extended: str, resumed: Any, storage: Path) -> None:
    trials = trials_of(storage)
    assert len(trials) == TRIALS + 2
    assert f"of {TRIALS + 2} trials were stopped early" in extended
    assert len(of_study(storage, NAME)) == TRIALS + 2
    require_recorded(storage, NAME)


def test_another_study_starts_from_it(command: Any, extended: str, halving: Path, storage: Path) -> None:
    space = halving.with_name("warmed.yaml")
    cold = "start_from: [{refinement_steps: 2}]"
    text = halving.read_text().replace(cold, f"start_from: {{study: {NAME}}}").replace("tpe", "auto")
    space.write_text(text.replace(f"budget: {{trials: {TRIALS}}}", "budget: {trials: 2}"))
    done = command("platform.search", "--space", str(space), "--storage", str(storage))
    assert done.returncode == 0, done.stdout + done.stderr
    completed = count(storage, "completed")
    line = f"warm start: {completed} of {completed} finished trials of '{NAME}' are known"
    assert line in done.stdout.replace("\n", " ") and len(trials_of(storage, "warmed")) == 2
    known = json.loads((storage / "studies/warmed/study.json").read_text())["known"]
    assert len(known) == completed
    require_recorded(storage, "warmed")
