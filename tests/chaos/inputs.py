"""Rows that the tests have in full, and hostile checkpoints: malformed scans, spaces and archives."""

import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import ones

from tests.chaos.row import Outcome, Row
from trainers import weights
from trainers.errors import InputError
from trainers.files import file_sha256
from trainers.seal import sealed


def of_tests(*places: str) -> Any:
    """A row that is a part of the tests."""

    def run(folder: Path, count: int) -> Outcome:
        command = [sys.executable, "-m", "pytest", *places, "--basetemp", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
        assert counts, done.stdout + done.stderr
        return Outcome(counts.get("passed", 0), sum(counts.values()), "as in the tests")

    return run


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def hostile_checkpoints(root: Path, count: int) -> Outcome:
    """Pickles under every name, huge or lying headers, manifests that name files elsewhere."""
    rng, stood, canary = random.Random(15), 0, root / "canary"
    for number in range(count):
        folder = root / str(number)
        weights.publish(folder, {"averaged": {"w": ones(1000)}}, {"key": "k", "step": 1}, "checkpoint")
        path = folder / "averaged.safetensors"
        kind = number % 4
        if kind == 0:
            path.write_bytes(pickle.dumps(Payload(canary)))
        elif kind == 1:
            path.write_bytes(struct.pack("<Q", rng.randrange(1 << 40, 1 << 62)) + rng.randbytes(100))
        elif kind == 2:
            outside = root / f"outside-{number}.safetensors"
            save_file({"w": ones(10)}, outside)
            path.unlink()
            path.symlink_to(outside)
        else:
            lie = b'{"w":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'
            path.write_bytes(struct.pack("<Q", len(lie)) + lie)
        if number % 2:  # with a manifest that vouches for it
            manifest = json.loads((folder / weights.MANIFEST).read_text())
            manifest["sha256"] = {path.name: file_sha256(path)}
            (folder / weights.MANIFEST).write_text(json.dumps(sealed(manifest)))
        try:
            weights.verify(folder)
            weights.read_tensors(folder, "averaged")
        except InputError as error:
            stood += "\n" not in str(error) and not canary.exists()
    return Outcome(stood, count, "no code was run")


SECRETS = "tests/platform/diagnosis", "tests/platform/execution/test_cluster.py"
ROWS = (
    Row("5", "MLflow away", 1, 1, of_tests("tests/platform/tracking")),
    Row("12", "malformed NIfTI", 1, 1, of_tests("tests/trainers/cohorts/preprocessing/test_nifti.py")),
    Row("13", "malformed YAML", 1, 1, of_tests("tests/platform/spaces")),
    Row("14", "hostile archives", 1, 1, of_tests("tests/platform/cohorts/test_extract.py")),
    Row(
        "16",
        "doctor, binds, tokens, secrets",
        1,
        1,
        of_tests(*SECRETS),
    ),
    Row("15", "hostile checkpoints", 40, 8, hostile_checkpoints),
)
