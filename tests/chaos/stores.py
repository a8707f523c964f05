"""Faults of stores and disks: races, servers that fail, kills within a write, damage, no room."""

import errno
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from platform.driver import lease
from platform.driver.lock import lock
from platform.storage.ledger import Ledger, read_trials
from typing import Any

import torch

from tests import servers
from tests.chaos.row import Outcome, Row
from tests.servers import FaultProxy, Server
from trainers import checkpoint, weights
from trainers.errors import EnvironmentFault, InputError
from trainers.places import mounts, s3_objects
from trainers.places.mounts import Mount
from trainers.places.objects import open_objects

FORK = multiprocessing.get_context("fork")
RACERS = 4
STEP = "step-000000001"


@contextmanager
def s3(server: Server, buckets: Path | None = None) -> Iterator[Server]:
    """A server with the bucket ``bucket`` in the block, and the keys to it."""
    os.environ |= {"AWS_ACCESS_KEY_ID": servers.KEY, "AWS_SECRET_ACCESS_KEY": servers.SECRET}
    if buckets is not None:
        (buckets / "bucket").mkdir(parents=True)
    server.start()
    try:
        if buckets is None:
            servers.make_bucket(server, "bucket")
        os.environ["AWS_ENDPOINT_URL"] = server.url
        yield server
    finally:
        server.kill()
        mounts._mounts.clear()


def published(folder: Path, value: float, size: int = 4000) -> None:
    """A checkpoint of three files, each of ``size`` bytes."""
    groups = {name: {"w": torch.full((size // 4,), value)} for name in ("networks", "averaged")}
    step = int(folder.name.removeprefix("step-"))
    weights.publish(folder, groups, {"key": "k", "step": step, "value": value}, "checkpoint")


def value_of(folder: Path) -> float:
    """The value of an intact checkpoint; raises InputError for one that is not, or not of one value."""
    facts = weights.verify(folder)
    found = {float(weights.read_tensors(folder, name)["w"][0]) for name in ("networks", "averaged")}
    if found != {facts["value"]}:
        raise InputError(f"{folder}: of several values: {found}")
    return float(facts["value"])


def race(folder: Path, barrier: Barrier, without_locks: bool, found: Any) -> None:
    """One driver among several that start at once."""
    if without_locks:

        def refuse(*_: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        import fcntl

        fcntl.flock = refuse  # type: ignore[assignment]
    lease.BEAT, lease.PATIENCE = 0.1, 2.0
    mount = mounts.of(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if mount is not None:  # a machine of its own: the lock of this one must not decide
        own = Mount(mount.root.with_name(f"machine-{os.getpid()}"), mount.url)
        folder = mounts.add(own).root / folder.name
        folder.mkdir(parents=True)
    barrier.wait()
    try:
        held = lock(folder)
    except InputError:
        found.put(0)
        return
    found.put(1)
    time.sleep(0.5)
    held.close()


def drivers(root: Path, count: int) -> Outcome:
    """Four drivers of one study start at once, on three kinds of storage."""
    stood = 0
    with s3(servers.moto()):
        mounts.add(Mount(root / "copy", "s3://bucket/races"))
        for kind in ("local", "no locks", "bucket"):
            for number in range(count):
                folder = root / ("copy" if kind == "bucket" else kind) / str(number)
                barrier, found = FORK.Barrier(RACERS), FORK.Queue()
                given = folder, barrier, kind == "no locks", found
                racers = [FORK.Process(target=race, args=given) for _ in range(RACERS)]
                for each in racers:
                    each.start()
                stood += sum(found.get(timeout=60) for _ in racers) == 1
                for each in racers:
                    each.join()
    return Outcome(stood, 3 * count, "local, no file locks, bucket")


FAULTS = {
    "500": servers.answers("500 Internal Server Error", "InternalError"),
    "503": servers.answers("503 Slow Down", "SlowDown"),
    "403": servers.answers("403 Forbidden", "AccessDenied"),
    "clock": servers.answers("403 Forbidden", "RequestTimeTooSkewed"),
    "reset": servers.resets,
    "broken off": servers.breaks_off,
    "stall": servers.stalls(2.0),
}


def server_faults(root: Path, count: int) -> Outcome:
    """A checkpoint is published and read while the server fails 1 to 8 times in a row."""
    rng, stood, refused = random.Random(8), 0, 0
    s3_objects.SETTINGS = s3_objects.SETTINGS.merge(s3_objects.Config(read_timeout=1))
    with s3(servers.rclone(root / "buckets"), root / "buckets") as server:
        proxy = FaultProxy(server.port)
        with proxy.serving() as url:
            for number in range(count):
                os.environ["AWS_ENDPOINT_URL"] = url
                one, two = (
                    mounts.add(Mount(root / f"{name}-{number}", f"s3://bucket/{number}")).root
                    for name in ("one", "two")
                )
                proxy.faults[:] = [rng.choice(list(FAULTS.values()))] * rng.randint(1, 8)
                try:
                    published(one / STEP, float(number))
                    complete = True
                except EnvironmentFault as fault:
                    complete, refused = False, refused + 1
                    assert "\n" not in str(fault), fault
                proxy.faults[:] = [rng.choice(list(FAULTS.values()))] * rng.randint(0, 3)
                stood += _reads(two / STEP, complete, float(number), proxy)
    return Outcome(stood, count, f"{refused} times one line, else after repeats; {proxy.met} faults met")


def _reads(folder: Path, complete: bool, value: float, proxy: FaultProxy) -> bool:
    """Whether another machine finds the whole, or nothing where it was not published completely."""
    for _ in range(5):
        try:
            there = weights.is_published(folder)
            return value_of(folder) == value if there else not complete
        except EnvironmentFault as fault:
            assert "\n" not in str(fault), fault
            proxy.faults.clear()
    return False


def kills_within_a_publication(root: Path, count: int) -> Outcome:
    """SIGKILL at random moments of replacing a checkpoint; half of them in a bucket."""
    rng, stood = random.Random(9), 0
    with s3(servers.rclone(root / "buckets"), root / "buckets"):
        for number in range(count):
            bucket = number % 2 == 1
            one, two = root / f"one-{number}", root / f"two-{number}"
            if bucket:
                mounts.add(Mount(one, f"s3://bucket/{number}"))
                mounts.add(Mount(two, f"s3://bucket/{number}"))
            name = f"t/{STEP}"
            published(one / name, 1.0, 4 << 20)
            process = FORK.Process(target=published, args=(one / name, 2.0, 4 << 20))
            process.start()
            time.sleep(rng.uniform(0, 0.25 if bucket else 0.06))
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            checkpoint.sweep(one / "t")
            reader = two if bucket else one
            try:
                stood += value_of(reader / name) in (1.0, 2.0) and not list(one.rglob(".step-*"))
            except InputError as error:
                print(f"kill {number}: {error}")
            for each in (one, two):
                shutil.rmtree(each, ignore_errors=True)
        left = open_objects("s3://bucket").sweep("", 0)
    return Outcome(stood, count, f"half of them in a bucket; {left} unfinished uploads swept")


def damage(root: Path, count: int) -> Outcome:
    """A damaged newest checkpoint is never used, the one before it is; intact ones raise no alarm."""
    rng, stood, alarms = random.Random(10), 0, 0
    kinds: tuple[Callable[[Path, random.Random], None], ...] = (flip, cut, zero_tail, swap, stale_manifest)
    trial = root / "trial"
    for step in (1, 2):
        published(checkpoint.folder_of(trial, step), float(step))
    whole = {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()}
    for number in range(count):
        found = checkpoint.latest(trial, "k")
        alarms += found is None or found.step != 2
        kinds[number % len(kinds)](checkpoint.folder_of(trial, 2), rng)
        found = checkpoint.latest(trial, "k")
        stood += found is not None and found.step == 1 and value_of(found.folder) == 1.0
        for path, content in whole.items():
            path.write_bytes(content)
    return Outcome(stood, count, f"{alarms} false alarms on {count} intact")


def _any_file(folder: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path for path in folder.iterdir()))


def flip(folder: Path, rng: random.Random) -> None:
    path = _any_file(folder, rng)
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(folder: Path, rng: random.Random) -> None:
    path = _any_file(folder, rng)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def zero_tail(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(("networks.safetensors", "averaged.safetensors"))
    content = path.read_bytes()
    size = rng.randint(1, len(content) // 2)
    path.write_bytes(content[:-size] + bytes(size))


def swap(folder: Path, rng: random.Random) -> None:
    """A file of another checkpoint in the place of its own."""
    name = rng.choice(("networks.safetensors", "averaged.safetensors"))
    shutil.copyfile(folder.with_name(STEP) / name, folder / name)


def stale_manifest(folder: Path, rng: random.Random) -> None:
    shutil.copyfile(folder.with_name(STEP) / weights.MANIFEST, folder / weights.MANIFEST)
    manifest = json.loads((folder / weights.MANIFEST).read_text())
    (folder / weights.MANIFEST).write_text(json.dumps(manifest | {"step": 2}))


def full_disks(root: Path, count: int) -> Outcome:
    """A limit of file sizes, in the place of a full disk, meets ledger, checkpoint or a driver's file."""
    rng, stood = random.Random(11), 0
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in range(count):
        trial, study = root / str(number) / "trial", root / str(number) / "study"
        published(checkpoint.folder_of(trial, 1), 1.0, 1 << 16)
        ledger = Ledger(study)
        for each in range(20):
            ledger.proposed(each, {"weight": float(each)})
        size = (study / "ledger.jsonl").stat().st_size
        message = ""
        with ExitStack() as stack:
            room = rng.randrange(8, 100)
            limit = size + room if number % 2 else rng.randrange(1 << 10, 1 << 16)
            stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                if number % 2:
                    for each in range(20, 30):
                        ledger.proposed(each, {"weight": float(each)})
                else:
                    published(checkpoint.folder_of(trial, 2), 2.0, 1 << 16)
            except (EnvironmentFault, OSError) as fault:
                message = str(fault)
        ledger.proposed(40, {"weight": 40.0})  # there is room again
        ledger.close()
        published(checkpoint.folder_of(trial, 3), 3.0, 1 << 16)
        kept = read_trials(study)
        intact = value_of(checkpoint.folder_of(trial, 1)) == 1.0 and {*range(20), 40} <= kept.keys()
        named = str(root) in message and any(letter.isdigit() for letter in message)
        stood += bool(intact and named and "\n" not in message)
    return Outcome(stood, count, "path and bytes named, what was before intact, goes on with room")


ROWS = (
    Row("7", "four drivers start at once: one runs", 20, 2, drivers),
    Row("8", "S3 server fails: 500, 503, 403, clock, reset, half an answer, stall", 200, 10, server_faults),
    Row("9", "SIGKILL within a publication, local and S3", 100, 6, kills_within_a_publication),
    Row("10", "damaged checkpoints", 1600, 40, damage),
    Row("11", "no room", 30, 4, full_disks),
)
