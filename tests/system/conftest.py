"""Commands as a user runs them: subprocesses from the repository's root, on a tiny space."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from platform.storage.sealed_lines import read_log
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPACE = """
method: unsb
objectives: {fid: minimize, ms_ssim: maximize, psnr: maximize}
sampler: tpe
search:
  lambda_DMD: {log: [0.05, 4]}
  tau_m: {uniform: [0.03, 0.2]}
  T_m: {uniform: [0.01, 0.05]}
  refinement_steps: {int: [1, 3]}
start_from: [{refinement_steps: 2}]
cohort: {source: phantom, train: 3, val: 2, test: 2, anatomy: first}
references:
  crop: 32
  teacher_steps: 4
  teacher_batch: 2
  teacher_patch: 2
  teacher_widths: [16, 16]
  teacher_layers: 1
  teacher_attention: false
  teacher_check: false
  encoder_steps: 4
  encoder_batch: 4
  encoder_width: 8
  bound: 0.1
fixed:
  steps: 12
  rungs: 2
  batch_size: 2
  crop: 32
  nce_patches: 16
  generator_width: 4
  generator_blocks: 1
  discriminator_width: 4
  latent: 8
budget: {trials: 4}
allow_blind: true # two subjects tell nothing
"""

LIMIT = 900
"""Seconds that a command may take: it hangs beyond. Two cores that others use take minutes for a search."""

Start = Callable[..., "subprocess.Popen[str]"]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def launch(*words: str) -> "subprocess.Popen[str]":
    """A command of the platform, in a process group of its own."""
    # Ray's idle first workers take seconds of the cores that the trials need.
    environment = {"OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0", "RAY_prestart_worker_first_driver": "0"}
    command = [sys.executable, "-m", *words]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def entries(folder: Path) -> list[dict[str, Any]]:
    """The complete entries of the ledger in a folder; none where there is no ledger yet."""
    return read_log(folder / "ledger.jsonl").entries


def kill_once(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    """SIGKILL to a command and all that it started as soon as ``reached``, or at its end."""
    deadline = time.monotonic() + LIMIT
    while not reached() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@contextmanager
def hidden_test_split(storage: Path) -> Iterator[None]:
    """The files of the test split are elsewhere during the block."""
    cohort = next(storage.glob("cohorts/*/manifest.json")).parent
    (cohort / "test").rename(storage / "hidden")
    try:
        yield
    finally:
        (storage / "hidden").rename(cohort / "test")


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts a command and does not wait for it."""
    return launch


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs a command to its end."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        process = launch(*words)
        out, err = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One storage for the session, so that cohort and references are made once."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny space."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def finished(command: Command, storage: Path, space: Path) -> str:
    """The output of the search ``first`` of four trials, run to its end."""
    done = command("platform.search", "--space", str(space), "--storage", str(storage), "--name", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)
