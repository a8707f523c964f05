"""One driver at a time, also where no files can be locked, and in a bucket: races of real processes."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from platform.driver import lease
from platform.driver.lease import FolderBoard, Lease, StoreBoard
from platform.driver.lock import lock, locked
from platform.storage.ledger import FILE, Ledger
from typing import Any

import pytest

from tests.servers import Server
from trainers.errors import EnvironmentFault, InputError
from trainers.places import mounts
from trainers.places.mounts import Mount

BEAT, PATIENCE = 0.1, 3.0
"""Seconds; patient enough for a machine that does much else."""
RACERS = 4


def refuse(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def without_locks() -> None:
    """In this process no file can be locked, and leases are short."""
    fcntl.flock = refuse  # type: ignore[assignment]
    lease.BEAT, lease.PATIENCE = BEAT, PATIENCE


@pytest.fixture(params=["locks", "no locks", "bucket"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, s3_environment: None) -> str:
    """Of the storage; in the bucket each process has another machine's copy."""
    monkeypatch.setattr(lease, "BEAT", BEAT)
    monkeypatch.setattr(lease, "PATIENCE", PATIENCE)
    monkeypatch.setattr(mounts, "_mounts", {})
    if request.param == "no locks":
        monkeypatch.setattr(fcntl, "flock", refuse)
    if request.param == "bucket":
        server: Server = request.getfixturevalue("moto")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return str(request.param)


def folder_of(kind: str, root: Path, machine: int, name: str) -> Path:
    """The folder of the study ``name`` on a machine, in this process."""
    folder = root / name
    if kind == "bucket":
        folder = mounts.add(Mount(root / f"machine-{machine}", f"s3://bucket/{root.name}")).root / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_second_driver_is_refused_until_the_first_ends(kind: str, tmp_path: Path) -> None:
    one, two = (folder_of(kind, tmp_path, machine, "s") for machine in (1, 2))
    with locked(one):
        for other in (one, two):
            with pytest.raises(InputError, match="another process works on it"):
                lock(other)
    with locked(two):
        assert (two / "lock").exists()
        assert bool(list(two.glob("lease-*"))) == (kind == "no locks")


def racer(kind: str, root: Path, number: int, race: str, barrier: Barrier, found: Any) -> None:
    if kind == "no locks":
        without_locks()
    folder = folder_of(kind, root, number, race)
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
def test_of_drivers_that_start_at_once_one_runs(kind: str, stale: bool, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("fork")
    for race in "a" if stale else "abc":
        barrier, found = processes.Barrier(RACERS), processes.Queue()
        if stale:
            left = json.dumps({"host": "another", "pid": 1, "count": 7, "released": False})
            folder = folder_of(kind, tmp_path, 0, race)
            mount = mounts.of(folder)
            (FolderBoard(folder) if mount is None else StoreBoard(mount, folder)).create(7, left)
        given = [(kind, tmp_path, number, race, barrier, found) for number in range(RACERS)]
        running = [processes.Process(target=racer, args=arguments) for arguments in given]
        for each in running:
            each.start()
        assert sum(found.get(timeout=60) for _ in running) == 1, race
        for each in running:
            each.join()


def test_the_lease_of_a_dead_process_of_this_host_is_free_at_once(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    process.start()
    process.join()
    left = {"host": socket.gethostname(), "pid": process.pid, "count": 1, "released": False}
    (tmp_path / "lease-000003").write_text(json.dumps(left))
    started = time.monotonic()
    held = Lease(FolderBoard(tmp_path))
    assert time.monotonic() - started < 1 and [p.name for p in tmp_path.iterdir()] == ["lease-000004"]
    held.close()


def test_a_bucket_that_cannot_see_to_it_needs_the_users_word(
    rclone: Server, s3_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", rclone.url)
    monkeypatch.setattr(mounts, "_mounts", {})
    url = f"s3://bucket/{tmp_path.name}"
    folder = mounts.add(Mount(tmp_path / "one", url)).root / "s"
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match="two drivers could start at once; allowed: with --single-driver"):
        lock(folder)
    assert mounts.add(Mount(tmp_path / "two", url, single_driver=True)).objects.names("") == []
    (tmp_path / "two" / "s").mkdir(parents=True)
    with locked(tmp_path / "two" / "s"):
        pass


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
            patch.setattr(lease, "BEAT", BEAT)
            patch.setattr(lease, "PATIENCE", PATIENCE)
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
