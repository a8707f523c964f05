"""A trial source: the ledger first, then the listeners, each event once."""

from collections.abc import Iterator
from pathlib import Path
from platform.execution.trial_source import LedgerSource, TrialPaths, not_finite
from platform.storage.ledger import FILE, Ledger, read_trials
from platform.storage.sealed_lines import read_log
from typing import Any

import pytest

from trainers.errors import EnvironmentFault
from trainers.report import Report

NAN = float("nan")


def report(step: int = 4, **scores: float) -> Report:
    values = {"fid": 2.0, "psnr": 20.0} | scores
    return Report(step, 4, {1: {"fid": 3.0}, 2: values}, {"D": 0.5}, 2.0, f"/c/{step}", 1.5)


@pytest.fixture
def source(tmp_path: Path, calls: Any) -> Iterator[LedgerSource]:
    """A source whose trial 0 runs."""
    ledger = Ledger(tmp_path)
    source = LedgerSource(ledger, TrialPaths(tmp_path, Path("c"), Path("r")), [calls])
    ledger.proposed(0, {})
    source.running.add(0)
    yield source
    ledger.close()


def test_each_event_is_recorded_once_and_none_after_the_end(source: LedgerSource, calls: Any) -> None:
    assert source.reported(0, report(step=2)), "it trains on"
    assert not source.reported(0, report())
    assert not source.reported(0, report(step=2)) and not source.reported(0, report(fid=NAN))
    source.ended(0, "failed", "too late")
    trial = read_trials(source.folder)[0]
    assert (trial.status, trial.reason, sorted(trial.reports)) == ("completed", "", [2, 4])
    assert [name for name, *_ in calls.calls] == ["reported", "reported", "ended"]
    assert source.running == set()


def test_a_score_that_is_not_finite_ends_the_trial_and_stays_out_of_the_ledger(
    source: LedgerSource, calls: Any
) -> None:
    source.reported(0, report(step=2))
    assert not source.reported(0, report(psnr=NAN)) and not source.reported(0, report())
    trial = read_trials(source.folder)[0]
    reason = "diverged at step 4: psnr at 2 refinement steps is nan"
    assert (trial.status, trial.reason, list(trial.reports)) == ("diverged", reason, [2])
    assert [name for name, *_ in calls.calls] == ["reported", "rejected", "ended"]


def test_which_score_is_not_finite() -> None:
    assert not_finite(report()) == ""
    assert not_finite(report(fid=float("-inf"))) == "diverged at step 4: fid at 2 refinement steps is -inf"


def test_an_interrupted_trial_waits_and_one_that_has_ended_or_paused_is_left_alone(
    source: LedgerSource, calls: Any
) -> None:
    checkpoints = source.paths.checkpoints(0)
    for step in (2, 4, 6):
        (checkpoints / f"step-{step:09d}").mkdir(parents=True)
    source.interrupted(0, EnvironmentFault("its worker died"))
    source.noted(0, "by 2 slices at a time")
    trial = source.ledger.trials[0]
    assert (trial.status, trial.reason, trial.interruptions) == ("open", "its worker died", 1)
    assert source.running == set() and source.retries.waiting and trial.notes == ("by 2 slices at a time",)
    source.raised(0, "KeyError: 'a bug'")
    assert trial.status == "open"
    source.raised(0, "KeyError: 'a bug'")
    assert (trial.status, trial.reason, trial.interruptions) == ("failed", "KeyError: 'a bug'", 3)
    assert len(list(checkpoints.iterdir())) == 2, "it may be tried again"
    before = len(read_log(source.folder / FILE).entries)
    source.interrupted(0, EnvironmentFault("late"))
    source.raised(0, "late")
    assert len(read_log(source.folder / FILE).entries) == before
    assert read_trials(source.folder) == source.ledger.trials
    assert [name for name, *_ in calls.calls] == ["ended"]


@pytest.mark.parametrize(("status", "left"), [("completed", [6]), ("diverged", []), ("failed", [4, 6])])
def test_checkpoints_that_stay_at_a_trials_end(source: LedgerSource, status: Any, left: list[int]) -> None:
    checkpoints = source.paths.checkpoints(0)
    for step in (2, 4, 6):
        (checkpoints / f"step-{step:09d}").mkdir(parents=True)
    source.ended(0, status)
    assert sorted(int(path.name[5:]) for path in checkpoints.iterdir()) == left
