"""A storage: whether it can be written, locked and read back, and whether what it holds is intact."""

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from platform.diagnosis.finding import Finding, State
from platform.driver.lock import ORPHANED, FileLock
from platform.storage.layout import Storage
from platform.storage.ledger import FILE, Ledger
from platform.storage.saved_study import FILE as STUDY
from platform.storage.saved_study import load_saved
from platform.storage.sealed_lines import read_log
from platform.tracking.moved import elsewhere, relocate

from trainers import checkpoint, weights
from trainers.errors import EnvironmentFault, InputError
from trainers.files import write_bytes
from trainers.places import mounts
from trainers.places.mounts import Mount
from trainers.places.objects import gives_back

LEAST, FEW = 1e9, 20e9
"""Free bytes below which a study will stop soon, or may."""


def check(storage: Storage) -> Iterator[Finding]:
    """Of the folder or bucket itself, of MLflow's database in it, and of each study."""
    if mount := mounts.of(storage.root):
        yield from _store(mount, storage)
        return
    if not storage.root.exists():
        yield Finding("storage", "warning", f"{storage.root} does not exist yet; the first command makes it")
        return
    yield _round_trip(storage.root)
    yield _lock(storage.root)
    free = shutil.disk_usage(storage.root).free
    state, text = (
        "ok" if free >= FEW else "warning" if free >= LEAST else "problem",
        f"{free / 1e9:.1f} GB free",
    )
    yield Finding("storage", state, text)  # type: ignore[arg-type]
    yield from _database(storage)
    for folder in studies(storage):
        yield from _study(folder)


def repair(storage: Storage) -> Iterator[Finding]:
    """Mend what can be: MLflow's places, ledgers with damaged lines, what killed processes have left."""
    try:
        if relocate(storage.database, artifacts := storage.artifacts(storage.tracking)):
            yield Finding("mlflow", "ok", f"its artifacts are in {artifacts} now")
    except sqlite3.Error as error:
        yield Finding("mlflow", "warning", f"left as it is: {error}")
    if (mount := mounts.of(storage.root)) and (count := mount.objects.sweep("", ORPHANED)):
        yield Finding("storage", "ok", f"{count} unfinished uploads are removed")
    for folder in studies(storage):
        subject = f"study {folder.name}"
        try:
            Ledger(folder).close()
        except InputError as error:
            yield Finding(subject, "warning", f"left as it is: {error}")
            continue
        for trial in folder.glob("trials/*"):
            checkpoint.sweep(trial)
        for file in (folder / FILE, folder / STUDY):
            file.chmod(0o600)
        yield Finding(subject, "ok", "its ledger is whole, nothing half-written is left")


def studies(storage: Storage) -> list[Path]:
    """The folders of all studies, as they were left."""
    return [storage.brought(storage.study(name)) for name in storage.names()]


def _store(mount: Mount, storage: Storage) -> Iterator[Finding]:
    """Of a bucket."""
    started = time.perf_counter()
    try:
        same = gives_back(mount.objects, 1 << 20)
        seconds = time.perf_counter() - started
        once = mount.objects.creates_once()
    except EnvironmentFault as fault:
        yield Finding("storage", "problem", str(fault))
        return
    if not same:
        yield Finding("storage", "problem", f"{mount.url} gives back other bytes than were written")
        return
    yield Finding("storage", "ok", f"{mount.url} gives back a megabyte that was written in {seconds:.2f} s")
    if once:
        yield Finding("storage", "ok", "it takes conditional puts: one driver a study")
    else:
        text = "its server takes conditional puts for any others: commands need --single-driver"
        yield Finding("storage", "warning", text)
    free = shutil.disk_usage(next(path for path in mount.root.parents if path.exists())).free
    state: State = "ok" if free >= FEW else "warning"
    yield Finding("storage", state, f"{free / 1e9:.1f} GB free for this machine's copy in {mount.root}")
    for folder in studies(storage):
        yield from _study(folder)


def _round_trip(folder: Path) -> Finding:
    path, content = folder / f".doctor-{secrets.token_hex(4)}", secrets.token_bytes(1 << 20)
    try:
        write_bytes(path, content)
        same = path.read_bytes() == content
    except OSError as error:
        return Finding("storage", "problem", f"{folder} cannot be written: {error.strerror}")
    finally:
        path.unlink(missing_ok=True)
    if not same:
        return Finding("storage", "problem", f"{folder} gives back other bytes than were written")
    return Finding("storage", "ok", f"{folder} gives back what was written")


def _lock(folder: Path) -> Finding:
    probe = folder / f".doctor-{secrets.token_hex(4)}"
    probe.mkdir()
    try:
        FileLock(probe).close()
    except OSError as error:
        text = f"files cannot be locked ({error.strerror}): drivers take leases, after a crash 20 s later"
        return Finding("storage", "warning", text)
    finally:
        shutil.rmtree(probe)
    return Finding("storage", "ok", "files can be locked: one driver a study")


def _database(storage: Storage) -> Iterator[Finding]:
    if not storage.database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{storage.database.as_uri()}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            moved = elsewhere(connection, storage.artifacts(storage.tracking))
    except sqlite3.Error as error:
        answer, moved = str(error), set()
    if answer != "ok":
        yield Finding("mlflow", "problem", f"{storage.database} is damaged or locked: {answer}")
    elif moved:
        yield Finding(
            "mlflow", "warning", "the storage has moved: --repair lets MLflow find its artifacts here"
        )
    else:
        yield Finding("mlflow", "ok", f"{storage.database} is intact")


def _study(folder: Path) -> Iterator[Finding]:
    subject = f"study {folder.name}"
    for file in (folder / FILE, folder / STUDY):
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding(subject, "warning", f"{file.name} can be read by others: --repair, or chmod 600")
    try:
        load_saved(folder)
        log = read_log(folder / FILE)
    except InputError as error:
        yield Finding(subject, "problem", str(error))
        return
    if log.lost:
        lines = ", ".join(map(str, log.damaged)) or "some"
        yield Finding(subject, "warning", f"lines {lines} of its ledger are damaged or missing: --repair")
    damaged = [each for each in _checkpoints(folder) if not _is_intact(each)]
    for each in damaged:
        yield Finding(subject, "warning", f"{each} is damaged; the one before it is used, if any")
    left = len([path for path in folder.glob("trials/*/.step-*") if path.is_dir()])
    if left:
        yield Finding(subject, "warning", f"{left} half-written checkpoints, unless it runs now: --repair")
    if not (log.lost or damaged or left):
        yield Finding(subject, "ok", f"{len(log.entries)} lines of its ledger and all checkpoints are intact")


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"trials/*/step-*/{weights.MANIFEST}"))


def _is_intact(folder: Path) -> bool:
    try:
        weights.verify(folder)
    except InputError:
        return not os.path.exists(folder)  # a running study has removed it
    return True
