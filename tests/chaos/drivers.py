"""Faults of processes: drivers and workers that are killed or told to stop, at random moments."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from platform.storage.ledger import read_trials
from typing import Any

import torch

from tests.chaos.row import Outcome, Row
from tests.system.conftest import SPACE, entries, launch
from tests.trainers.conftest import TINY_REFERENCES
from tests.trainers.small import SMALL
from trainers import checkpoint, trial, weights
from trainers.cohorts.phantom import PhantomConfig, prepare
from trainers.loop import Task
from trainers.methods.unsb import Config
from trainers.references import store
from trainers.seal import checksum_of

FORK = multiprocessing.get_context("fork")
TRIALS = 6


def search(root: Path, name: str, *more: str) -> "subprocess.Popen[str]":
    """A search of six trials, or its resumption."""
    space = root / f"{name}.yaml"
    space.write_text(SPACE.replace("{trials: 4}", f"{{trials: {TRIALS}}}"))
    started = (root / "studies" / name / "study.json").exists()
    what = ["--resume", name] if started else ["--space", str(space), "--name", name]
    return launch("platform.search", *what, "--storage", str(root), *more)


def trained_twice(root: Path, name: str) -> int:
    """Rungs that two trainings have reported, and trials that ended more than once."""
    reports: dict[tuple[int, int], set[float]] = {}
    ends: Counter[int] = Counter()
    for entry in entries(root / "studies" / name):
        if entry["event"] == "reported":
            report = entry["report"]
            reports.setdefault((entry["trial"], report["step"]), set()).add(report["seconds"])
        ends[entry["trial"]] += entry["event"] == "ended"
    return sum(len(each) > 1 for each in reports.values()) + sum(n > 1 for n in ends.values())


def killed_drivers(root: Path, count: int) -> Outcome:
    """SIGKILL to driver and workers at random moments, three a study, until it ends."""
    rng, stood, twice, kills = random.Random(1), 0, 0, 0
    number = 0
    while kills < count:
        name = f"study{number}"
        number += 1
        for attempt in range(4):
            process = search(root, name)
            last = attempt == 3 or kills >= count
            if not last:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=rng.uniform(12, 40))
                if process.poll() is None:
                    kills += 1
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    continue
            out, _ = process.communicate(timeout=1200)
            trials = read_trials(root / "studies" / name)
            whole = sorted(trials) == list(range(TRIALS))
            complete = whole and all(trial.status == "completed" for trial in trials.values())
            repeated = trained_twice(root, name)
            twice += repeated
            stood += bool(process.returncode == 0 and complete and not repeated and "Pareto front" in out)
            break
    return Outcome(stood, number, f"studies, {kills} kills in all; {twice} rungs or ends twice")


def stopped_drivers(root: Path, count: int) -> Outcome:
    """Ctrl-C or SIGTERM while trials train: a clean stop, its exit code, nothing done again."""
    stood, slowest = 0, 0.0
    for number in range(count):
        name, which = f"study{number}", (signal.SIGINT, signal.SIGTERM)[number % 2]
        process = search(root, name)
        folder = root / "studies" / name
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and process.poll() is None:
            if any(entry["event"] == "reported" for entry in entries(folder)):
                break
            time.sleep(0.1)
        started = time.monotonic()
        process.send_signal(which)
        out, _ = process.communicate(timeout=300)
        slowest = max(slowest, time.monotonic() - started)
        hint = "to resume: python -m platform.search --resume" in out
        again = search(root, name)
        again.communicate(timeout=1200)
        good = process.returncode == 128 + which and hint and again.returncode == 0
        stood += bool(good and not trained_twice(root, name))
    return Outcome(stood, count, f"slowest stop {slowest:.1f} s")


def train(text: str) -> None:
    """A trial of one process, without Ray."""
    torch.set_num_threads(1)
    for _ in trial.results(trial.decode(text)):
        pass


def sums(folder: Path) -> Any:
    """What a finished trial has: its networks, and its losses and scores without clocks."""
    newest = checkpoint.folder_of(folder, checkpoint.newest_step(folder))
    facts = weights.verify(newest)
    report = facts["report"]
    scores = {n: {**s, "seconds_per_volume": 0} for n, s in report["scores"].items()}
    return facts["sha256"]["networks.safetensors"], checksum_of({"l": report["losses"], "s": scores})


def killed_workers(root: Path, count: int) -> Outcome:
    """SIGKILL to a trial at random moments until it ends: bit for bit as if uninterrupted."""
    rng = random.Random(3)
    cohort = prepare(PhantomConfig(train=3, val=2, test=2, anatomy="first"), root)
    for part in (*store.parts(TINY_REFERENCES), store.RESTORATION):
        store.train_part(part, cohort, TINY_REFERENCES, root, lambda step: None)
    references = next((root / "references").iterdir())
    config = Config(**SMALL | {"steps": 60, "rungs": 3, "refinement_steps": 2})
    whole = Task("unsb", config, cohort, references, root / "whole", save_seconds=0.5)
    started = time.monotonic()
    process = FORK.Process(target=train, args=(trial.encode(whole),))
    process.start()
    process.join()
    seconds, expected = time.monotonic() - started, sums(root / "whole")
    kills = stood = trainings = 0
    while kills < count:
        folder = root / f"trial-{trainings}"
        trainings += 1
        text = trial.encode(Task("unsb", config, cohort, references, folder, save_seconds=0.5))
        while True:
            process = FORK.Process(target=train, args=(text,))
            process.start()
            process.join(rng.uniform(0.3, 1.0) * seconds)
            if process.exitcode is not None:
                break
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        stood += process.exitcode == 0 and sums(folder) == expected
    return Outcome(stood, trainings, f"trainings, {kills} kills in all")


ROWS = (
    Row("1", "SIGKILL to driver and workers", 20, 2, killed_drivers),
    Row("2", "Ctrl-C and SIGTERM", 6, 2, stopped_drivers),
    Row("3", "SIGKILL to a worker: bit for bit as uninterrupted", 50, 4, killed_workers),
)
