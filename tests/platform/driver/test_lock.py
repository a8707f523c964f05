"""One driver at a time, also on a file system that locks no files: races of real processes."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from platform.storage import driver_lock
from platform.storage.driver_lock import Lease, lock, locked
from platform.storage.ledger import FILE, Ledger
from typing import Any

import pytest

from trainers.errors import EnvironmentFault, InputError

BEAT, PATIENCE = 0.1, 3.0
"""Seconds; patient enough for a machine that does much else."""
RACERS = 4


def refuse(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def without_locks() -> None:
    """In this process no file can be locked, and leases are short."""
    fcntl.flock = refuse  # type: ignore[assignment]
    driver_lock.BEAT, driver_lock.PATIENCE = BEAT, PATIENCE


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system locks files."""
    monkeypatch.setattr(fcntl, "flock", fcntl.flock if request.param else refuse)
    monkeypatch.setattr(driver_lock, "BEAT", BEAT)
    monkeypatch.setattr(driver_lock, "PATIENCE", PATIENCE)
    return bool(request.param)


def test_a_second_driver_is_refused_until_the_first_ends(locks: bool, tmp_path: Path) -> None:
    with locked(tmp_path):
        for _ in range(2):
            with pytest.raises(InputError, match="another process works on it"):
                lock(tmp_path)
    with locked(tmp_path):
        assert (tmp_path / "lock").exists()
        assert bool(list(tmp_path.glob("lease-*"))) != locks


def racer(folder: Path, barrier: Barrier, locks: bool, found: Any) -> None:
    if not locks:
        without_locks()
    barrier.wait()
    try:
        held = lock(folder)
    except InputError:
        found.put(False)
    else:
        found.put(True)
        time.sleep(1)
        held.close()


@pytest.mark.parametrize("stale", [False, True], ids=["new", "left by a dead host"])
def test_of_drivers_that_start_at_once_one_runs(locks: bool, stale: bool, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("fork")
    for race in range(1 if stale else 3):
        folder, barrier, found = tmp_path / str(race), processes.Barrier(RACERS), processes.Queue()
        folder.mkdir()
        if stale:
            left = {"host": "another", "pid": 1, "count": 7, "released": False}
            (folder / "lease-000007").write_text(json.dumps(left))
        running = [
            processes.Process(target=racer, args=(folder, barrier, locks, found)) for _ in range(RACERS)
        ]
        for each in running:
            each.start()
        assert sum(found.get(timeout=30) for _ in running) == 1, race
        for each in running:
            each.join()


def test_the_lease_of_a_dead_process_of_this_host_is_free_at_once(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    process.start()
    process.join()
    left = {"host": driver_lock.socket.gethostname(), "pid": process.pid, "count": 1, "released": False}
    (tmp_path / "lease-000003").write_text(json.dumps(left))
    started = time.monotonic()
    lease = Lease(tmp_path)
    assert time.monotonic() - started < 1 and [p.name for p in tmp_path.iterdir()] == ["lease-000004"]
    lease.close()


def stand(folder: Path, ready: Any, found: Any) -> None:
    without_locks()
    ledger = Ledger(folder)
    ledger.proposed(0, {"weight": 1.0})
    ready.set()
    time.sleep(1)
    try:
        ledger.proposed(1, {"weight": 1.0})
    except EnvironmentFault as error:
        found.put(str(error))
    else:
        found.put("")


def test_a_driver_that_stood_still_writes_nothing_once_another_has_taken_over(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("fork")
    ready, found = processes.Event(), processes.Queue()
    slow = processes.Process(target=stand, args=(tmp_path, ready, found))
    slow.start()
    assert ready.wait(30) and slow.pid
    os.kill(slow.pid, signal.SIGSTOP)

    def take_over() -> None:
        without = pytest.MonkeyPatch()
        with without.context() as patch:
            patch.setattr(fcntl, "flock", refuse)
            patch.setattr(driver_lock, "BEAT", BEAT)
            patch.setattr(driver_lock, "PATIENCE", PATIENCE)
            ledgers.append(Ledger(tmp_path))
            ledgers[0].proposed(1, {"weight": 2.0})

    ledgers: list[Ledger] = []
    thread = threading.Thread(target=take_over)
    thread.start()
    thread.join(30)
    os.kill(slow.pid, signal.SIGCONT)
    assert "taken it over" in found.get(timeout=30)
    slow.join()
    assert [ledgers[0].trials[n].params["weight"] for n in (0, 1)] == [1.0, 2.0]
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 3
    ledgers[0].close()
