"""The study's memory: folding, replacing, torn ends, one driver at a time, time spent."""

import json
import subprocess
import sys
import time
from pathlib import Path
from platform.storage.ledger import FILE, Ledger, Trial, fold, read_trials, spent
from typing import Any

import pytest

from trainers.errors import InputError

ROOT = Path(__file__).parents[3]

OPEN = """
import os, signal, sys
from pathlib import Path
from platform.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def report(step: int, fid: float = 1.0, seconds: float = 2.0) -> dict[str, Any]:
    return {"step": step, "seconds": seconds, "scores": {"1": {"fid": fid}, "2": {"fid": fid / 2}}}


def elsewhere(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def write(folder: Path, *entries: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_study_folds_into_its_trials(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {"lr": 0.1})
    ledger.reported(0, report(10, 5.0))
    ledger.proposed(2, {"lr": 0.2})
    ledger.reported(0, report(20, 4.0, seconds=3.0))
    ledger.ended(0, "completed")
    ledger.proposed(1, {"lr": 0.3})
    ledger.ended(2, "diverged", "loss is nan")
    first, second, third = (ledger.trials[n] for n in (0, 1, 2))
    assert first.scores == {1: {"fid": 4.0}, 2: {"fid": 2.0}} and first.seconds == 5.0
    assert (first.status, first.params, first.last) == (
        "completed",
        {"lr": 0.1},
        report(20, 4.0, seconds=3.0),
    )
    assert second == Trial(1, {"lr": 0.3})
    assert (second.scores, second.last, second.seconds) == ({}, None, 0)
    assert (third.status, third.reason) == ("diverged", "loss is nan")
    assert abs(third.ended_at - time.time()) < 60
    assert [t.number for t in ledger.of_status("completed", "open")] == [0, 1]
    assert read_trials(tmp_path) == ledger.trials


def test_a_trial_waits_goes_on_and_waits_again(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {"lr": 0.1}, {"generation": [1, 2]})
    ledger.reported(0, report(3))
    ledger.paused(0, "others did better")
    assert ledger.trials[0].reason == "others did better"
    assert [trial.number for trial in ledger.of_status("paused")] == [0] and ledger.trials[0].passed == 0
    assert ledger.trials[0].ended_at == 0
    ledger.continued(0, 3)
    assert (ledger.trials[0].status, ledger.trials[0].passed, ledger.trials[0].reason) == ("open", 3, "")
    ledger.reported(0, report(9))
    ledger.continued(0, 9)
    ledger.reported(0, report(12))
    ledger.paused(0)
    trial = read_trials(tmp_path)[0]
    assert trial == ledger.trials[0]
    assert (trial.status, trial.passed, list(trial.reports)) == ("paused", 9, [3, 9, 12])
    assert trial.memory == {"generation": [1, 2]}


def test_what_was_written_last_is_known_to_the_next_driver(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.newest == {}
    ledger.proposed(0, {})
    ledger.paused(0)
    assert ledger.newest == {}, "it is the earlier driver's"
    ledger.close()
    again = Ledger(tmp_path)
    assert (again.newest["event"], again.newest["trial"]) == ("paused", 0)
    again.close()


def test_reopening_tells_the_same(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {"lr": 1e-4, "norm": None, "big": 2**40})
    ledger.reported(0, report(3))
    ledger.close()
    again = Ledger(tmp_path)
    assert again.trials == ledger.trials
    again.ended(0, "failed", "worker died")
    assert read_trials(tmp_path)[0].reason == "worker died"


def test_a_rung_reported_twice_replaces_itself(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {})
    for fid, seconds in ((9.0, 100.0), (7.0, 2.0)):
        ledger.reported(0, report(10, fid, seconds))
    for trials in (ledger.trials, read_trials(tmp_path)):
        assert list(trials[0].reports) == [10]
        assert trials[0].scores[1] == {"fid": 7.0} and trials[0].seconds == 2.0


def test_an_older_rung_heard_late_is_not_the_newest(ledger: Ledger) -> None:
    ledger.proposed(0, {})
    ledger.reported(0, report(20, 1.0))
    ledger.reported(0, report(10, 9.0))
    assert ledger.trials[0].scores[1] == {"fid": 1.0}


def test_a_torn_last_line_is_as_if_never_written(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {})
    ledger.proposed(1, {})
    ledger.close()
    path = tmp_path / FILE
    whole = path.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert list(read_trials(tmp_path)) == [0]
        assert path.stat().st_size == size
    again = Ledger(tmp_path)
    assert list(again.trials) == [0]
    again.proposed(1, {"second": True})
    assert read_trials(tmp_path)[1].params == {"second": True}


def test_a_spoilt_proposal_costs_its_trial_and_no_other(tmp_path: Path) -> None:
    event = {"time": 5.0, "session": "1.0"}
    write(
        tmp_path,
        {"event": "proposed", "trial": 0, "params": {}, **event},
        {"event": "reported", "trial": 0, "report": report(1), **event},
        {"event": "proposed", "trial": 1, "params": {}, **event},
        {"event": "ended", "trial": 0, "status": "completed", "reason": "", **event},
    )
    path = tmp_path / FILE
    path.write_bytes(b"\x00" + path.read_bytes()[1:])
    assert list(read_trials(tmp_path)) == [1]
    ledger = Ledger(tmp_path)
    assert list(ledger.trials) == [1]


def test_a_second_driver_is_refused_while_the_first_lives(ledger: Ledger, tmp_path: Path) -> None:
    ledger.proposed(0, {})
    before = (tmp_path / FILE).read_bytes()
    refused = elsewhere(OPEN, tmp_path)
    told = refused.stderr.strip().splitlines()[-1]
    assert told == (
        f"trainers.errors.InputError: {tmp_path}: another process works on it; allowed: one at a time"
    )
    assert (tmp_path / FILE).read_bytes() == before
    with pytest.raises(InputError, match="another process works on it"):
        Ledger(tmp_path)
    ledger.close()
    assert elsewhere(OPEN + "print(len(ledger.trials))", tmp_path).stdout == "1\n"
    Ledger(tmp_path).close()


def test_a_killed_driver_leaves_no_lock(tmp_path: Path) -> None:
    killed = elsewhere(OPEN + "ledger.proposed(0, {})\nos.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert killed.returncode == -9
    ledger = Ledger(tmp_path)
    assert list(ledger.trials) == [0]
    ledger.close()


def test_trials_can_be_read_while_a_driver_writes(tmp_path: Path) -> None:
    program = OPEN + (
        "import time\n"
        "print('ready', flush=True)\n"
        "for n in range(2000):\n"
        "    time.sleep(0.0005)\n"  # a study's pace is slower still: the reader must see it grow
        "    ledger.proposed(n, {'pad': 'x' * 500})\n"
        "    ledger.ended(n, 'completed')\n"
    )
    seen = []
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None and driver.stdout.readline() == "ready\n"
        while driver.poll() is None:
            seen.append(len(read_trials(tmp_path)))
    assert driver.returncode == 0
    assert seen == sorted(seen) and len(set(seen)) > 2
    assert len(read_trials(tmp_path)) == 2000


def test_time_is_summed_over_drivers_without_the_pauses_between() -> None:
    def entry(session: str, when: float) -> dict[str, Any]:
        return {"event": "proposed", "trial": 0, "params": {}, "session": session, "time": when}

    entries = [entry("100.0", 103.0), entry("100.0", 110.5), entry("900.25", 901.0), entry("900.25", 930.25)]
    assert spent(entries) == pytest.approx(10.5 + 30)
    assert spent([]) == 0


def test_elapsed_starts_from_what_earlier_drivers_spent(tmp_path: Path) -> None:
    stamped = {"event": "proposed", "params": {}}
    write(
        tmp_path,
        {**stamped, "trial": 0, "session": "50.000", "time": 57.5},
        {**stamped, "trial": 1, "session": "90.000", "time": 92.0},
    )
    ledger = Ledger(tmp_path)
    assert ledger.elapsed == pytest.approx(9.5)
    time.sleep(0.05)
    ledger.proposed(2, {})
    ledger.close()
    again = Ledger(tmp_path)
    assert 9.5 + 0.04 < again.elapsed < 9.5 + 20
    again.close()


def test_fold_takes_entries_in_order() -> None:
    ended = {"event": "ended", "trial": 7, "status": "failed", "reason": "x", "time": 3.0}
    assert fold([{"event": "proposed", "trial": 7, "params": {"a": 1}}, ended]) == {
        7: Trial(7, {"a": 1}, "failed", "x", 3.0)
    }
    assert fold([]) == {}
