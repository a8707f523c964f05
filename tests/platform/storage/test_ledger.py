"""The ledger: trials after all entries, incomplete last lines, one driver at a time, occupied time."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from platform.storage.ledger import FILE, Ledger, read_trials
from platform.storage.sealed_lines import read_log
from platform.storage.trials import Trial, Trials
from typing import Any

import pytest

from trainers.errors import InputError
from trainers.report import Report

ROOT = Path(__file__).parents[3]

OPEN = """
import os, signal, sys, time
from pathlib import Path
from platform.storage.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def report(step: int, fid: float = 1.0, seconds: float = 2.0) -> Report:
    return Report(step, 24, {1: {"fid": fid}, 2: {"fid": fid / 2}}, {"gan": 0.25}, seconds, f"/c/{step}", 1.5)


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The program in another process that has opened the ledger as ``ledger``."""
    command = [sys.executable, "-c", OPEN + program, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def entry(event: str, trial: int, when: float, session: str = "100.000", **values: Any) -> dict[str, Any]:
    return {"event": event, "trial": trial, "time": when, "session": session, **values}


def proposal(trial: int, when: float, session: str = "100.000") -> dict[str, Any]:
    return entry("proposed", trial, when, session, params={})


def write(folder: Path, *entries: dict[str, Any]) -> Path:
    (folder / FILE).write_text("".join(json.dumps(each) + "\n" for each in entries))
    return folder / FILE


def test_trials_follow_from_the_entries_for_this_driver_and_the_next(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {"lr": 1e-4, "norm": None, "big": 2**40})
    ledger.reported(0, report(10, 5.0))
    ledger.proposed(2, {"lr": 0.2})
    ledger.reported(0, report(24, 4.0, seconds=3.0))
    ledger.ended(0, "completed")
    ledger.proposed(1, {"lr": 0.3})
    ledger.ended(2, "diverged", "loss is nan")
    first, second, third = (ledger.trials[n] for n in (0, 1, 2))
    assert first.scores == {1: {"fid": 4.0}, 2: {"fid": 2.0}} and first.seconds == 5.0
    assert (first.status, first.last) == ("completed", report(24, 4.0, seconds=3.0))
    assert first.params == {"lr": 1e-4, "norm": None, "big": 2**40}
    assert second == Trial(1, {"lr": 0.3})
    assert (second.scores, second.last, second.seconds) == ({}, None, 0)
    assert (third.status, third.reason) == ("diverged", "loss is nan")
    assert 0 == second.ended < first.ended < third.ended
    assert [t.number for t in ledger.of_status("completed", "open")] == [0, 1]
    assert read_trials(tmp_path) == ledger.trials and ledger.newest == {}
    ledger.close()
    again = Ledger(tmp_path)
    assert again.trials == ledger.trials
    assert (again.newest["event"], again.newest["trial"]) == ("ended", 2), "of an earlier driver"
    again.ended(1, "failed", "worker died")
    assert read_trials(tmp_path)[1].reason == "worker died"


def test_a_saved_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The names of events and keys in the file of a study that an earlier version started."""
    scores = {"1": {"fid": 2.0}, "2": {"fid": 1.0}}
    saved = {"step": 3, "steps": 24, "scores": scores, "losses": {"gan": 0.5}, "seconds": 2.5}
    saved |= {"checkpoint": "/c/3", "training_seconds": 2.0}
    entries = [
        entry("proposed", 7, 101.0, params={"a": 1}, memory={"generation": [1, 2]}),
        entry("started", 7, 102.0),
        entry("reported", 7, 103.0, report=saved),
        entry("paused", 7, 104.0, reason="others did better"),
        entry("went_on", 7, 105.0, step=3),
        entry("ended", 7, 106.0, status="failed", reason="worker died"),
    ]
    reports = {3: Report(3, 24, {1: {"fid": 2.0}, 2: {"fid": 1.0}}, {"gan": 0.5}, 2.5, "/c/3", 2.0)}
    trial = Trial(7, {"a": 1}, "failed", "worker died", 6, 3, {"generation": [1, 2]}, reports)
    before = write(tmp_path, *entries).read_bytes()
    assert read_trials(tmp_path) == {7: trial} and Trials.of([]) == {}
    ledger = Ledger(tmp_path)
    assert ledger.trials == read_trials(tmp_path) == {7: trial} and ledger.elapsed == 6
    assert (tmp_path / "ledger.format-1-1.jsonl").read_bytes() == before
    ledger.proposed(0, {"a": 1}, {"generation": [1, 2]})
    ledger.started(0)
    ledger.reported(0, reports[3])
    ledger.paused(0, "others did better")
    ledger.continued(0, 3)
    ledger.ended(0, "failed", "worker died")
    lines = read_log(tmp_path / FILE).entries
    own = "time", "session", "seq", "elapsed"
    for old, new in zip(lines[:6], lines[6:], strict=True):
        kept = {"params": {"a": 1}, "memory": {"generation": [1, 2]}} if old["event"] == "started" else {}
        assert {k: v for k, v in new.items() if k not in own} == {
            k: v for k, v in {**old, "trial": 0, **kept}.items() if k not in own
        }


def test_checkpoints_move_with_their_study(tmp_path: Path) -> None:
    """Of this version, whose ledger has no absolute path, and of an earlier one."""
    here, there = tmp_path / "here", tmp_path / "there"
    ledger = Ledger(here)
    for number in range(2):
        ledger.proposed(number, {})
    place = here / "trials" / "00000" / "step-000000024"
    place.mkdir(parents=True)
    ledger.reported(0, replace(report(24), checkpoint=str(place)))
    ledger.reported(1, report(24))
    ledger.close()
    assert str(tmp_path) not in (here / FILE).read_text()
    assert read_trials(here)[0].last == replace(report(24), checkpoint=str(place)) == ledger.trials[0].last
    here.rename(there)
    moved = str(there / "trials" / "00000" / "step-000000024")
    assert [trial.last and trial.last.checkpoint for trial in read_trials(there).values()] == [moved, "/c/24"]
    earlier = {"step": 24, "steps": 24, "scores": {}, "losses": {}, "seconds": 2.5, "checkpoint": str(place)}
    write(there, proposal(0, 1.0), entry("reported", 0, 3.0, report=earlier))
    (trial,) = read_trials(there).values()
    assert trial.last and trial.last.checkpoint == moved


def test_a_trial_pauses_continues_and_pauses_again(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {"lr": 0.1}, {"generation": [1, 2]})
    trial = ledger.trials[0]
    ledger.reported(0, report(3))
    ledger.paused(0, "others did better")
    assert [each.number for each in ledger.of_status("paused")] == [0]
    assert (trial.reason, trial.continued_past, trial.ended) == ("others did better", 0, 0)
    ledger.continued(0, 3)
    assert (trial.status, trial.continued_past, trial.reason) == ("open", 3, "")
    ledger.reported(0, report(9))
    ledger.continued(0, 9)
    ledger.reported(0, report(12))
    ledger.paused(0)
    assert (trial.status, trial.continued_past, list(trial.reports)) == ("paused", 9, [3, 9, 12])
    assert trial.memory == {"generation": [1, 2]} and read_trials(tmp_path)[0] == trial


def test_a_second_report_of_a_step_replaces_the_first(ledger: Ledger, tmp_path: Path) -> None:
    """And a late report of an earlier step is not the newest."""
    ledger.proposed(0, {})
    for step, fid, seconds in ((20, 9.0, 100.0), (20, 7.0, 2.0), (10, 8.0, 1.0)):
        ledger.reported(0, report(step, fid, seconds))
    for trials in (ledger.trials, read_trials(tmp_path)):
        assert list(trials[0].reports) == [20, 10]
        assert trials[0].scores[1] == {"fid": 7.0} and trials[0].seconds == 3.0


def test_an_incomplete_last_line_is_as_if_never_written(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {})
    ledger.proposed(1, {})
    ledger.close()
    path = tmp_path / FILE
    whole = path.read_bytes()
    for size in range(whole[:-1].rindex(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert list(read_trials(tmp_path)) == [0]
        assert path.stat().st_size == size
    again = Ledger(tmp_path)
    assert list(again.trials) == [0]
    again.proposed(1, {"second": True})
    assert read_trials(tmp_path)[1].params == {"second": True}


def damage(folder: Path, *events: str) -> None:
    """A flipped bit in the first line of each event."""
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    for event in events:
        place = next(n for n, line in enumerate(lines) if f'"event":"{event}"'.encode() in line)
        lines[place] = bytes([lines[place][0] ^ 1]) + lines[place][1:]
    (folder / FILE).write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (["proposed"], "completed"),  # the line of its start says the same
        (["started"], "completed"),
        (["reported"], "open"),  # its worker repeats the report of its checkpoint
        (["ended"], "open"),
        (["proposed", "started"], None),
    ],
)
def test_a_damaged_line_costs_nothing_that_is_said_elsewhere(
    ledger: Ledger, tmp_path: Path, events: list[str], status: str | None
) -> None:
    ledger.proposed(0, {"lr": 0.5}, {"generation": 1})
    ledger.started(0)
    ledger.reported(0, report(24))
    ledger.ended(0, "completed")
    ledger.proposed(1, {})
    ledger.close()
    damage(tmp_path, *events)
    for trials in (read_trials(tmp_path), Ledger(tmp_path).trials):
        assert list(trials) == [*([0] if status else []), 1] and trials[1] == Trial(1, {})
        if status:
            assert (trials[0].status, trials[0].params, trials[0].memory) == (
                status,
                {"lr": 0.5},
                {"generation": 1},
            )


def test_the_number_of_a_lost_proposal_is_not_given_again(ledger: Ledger, tmp_path: Path) -> None:
    """MLflow may know it, with other parameters; neither by this driver nor by a later one."""
    ledger.proposed(0, {"lr": 0.5})
    assert ledger.next_number == 1
    ledger.close()
    damage(tmp_path, "proposed")
    for _ in range(2):
        ledger = Ledger(tmp_path)
        assert ledger.trials == {} and ledger.next_number == 1
        ledger.close()
    assert [entry["event"] for entry in read_log(tmp_path / FILE).entries] == ["repaired"]


def test_a_second_driver_is_refused_while_the_first_runs(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {})
    before = (tmp_path / FILE).read_bytes()
    message = f"{tmp_path}: another process works on it; allowed: one at a time"
    refused = run("", tmp_path).stderr.strip().splitlines()[-1]
    assert refused == f"trainers.errors.InputError: {message}"
    with pytest.raises(InputError, match="another process works on it"):
        Ledger(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    ledger.close()
    assert run("print(len(ledger.trials))", tmp_path).stdout == "1\n"


def test_a_killed_driver_leaves_no_lock(tmp_path: Path) -> None:
    killed = run("ledger.proposed(0, {})\nos.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert killed.returncode == -9
    assert list(Ledger(tmp_path).trials) == [0]


def test_trials_can_be_read_while_a_driver_writes(tmp_path: Path) -> None:
    program = OPEN + (
        "print('ready', flush=True)\n"
        "for n in range(300):\n"
        "    time.sleep(0.001)\n"  # slowly, so that the reader sees it grow
        "    ledger.proposed(n, {'pad': 'x' * 500})\n"
        "    ledger.ended(n, 'completed')\n"
    )
    counts = []
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == "ready\n"
        while driver.poll() is None:
            counts.append(len(read_trials(tmp_path)))
    assert driver.returncode == 0
    assert counts == sorted(counts) and len(set(counts)) > 2
    assert len(read_trials(tmp_path)) == 300


def test_a_clock_that_jumps_changes_no_time_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", iter(range(10**6, 0, -(10**5))).__next__)
    for driver in range(3):
        ledger = Ledger(tmp_path)
        assert 0.04 * driver <= ledger.elapsed < 10
        ledger.proposed(driver, {})
        ledger.started(driver)
        time.sleep(0.05)
        ledger.ended(driver, "failed")
        assert 0.04 * (1 + driver) < ledger.occupied < 10
        ledger.close()
