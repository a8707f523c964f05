"""The import contracts of pyproject.toml hold, and each of them fails when it is broken."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAW = "The law: trainers never imports platform, nor the driver's libraries"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the packages of a folder, by our contracts."""
    script = ROOT / "tests" / "architecture" / "lint_imports.py"
    command = [sys.executable, script, "--no-cache", "--config", ROOT / "pyproject.toml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages in a folder of their own."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("platform", "trainers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


BREACHES = [
    ("trainers/losses/gan.py", "import platform.study.study", LAW),
    ("trainers/losses/gan.py", "import mlflow", LAW),
    ("trainers/losses/gan.py", "import ray", "Of trainers, only trainers.trial imports Ray"),
    ("trainers/data/store.py", "import trainers.loop", "Layers of trainers"),
    ("trainers/metrics/judge.py", "import trainers.methods.cut", "Layers of trainers"),
    (
        "trainers/cohorts/simulation/physics.py",
        "import trainers.cohorts.scans.splits",
        "Layers of trainers.cohorts",
    ),
    (
        "trainers/methods/cut.py",
        "import trainers.cohorts.base",
        "Training does not import trainers.cohorts",
    ),
    ("platform/study/study.py", "import platform.pareto.front", "Layers of platform"),
    ("platform/samplers/gp.py", "import platform.schedulers.asha", "Layers of platform"),
    ("platform/search.py", "import platform.confirm", "Layers of platform"),
    ("platform/cohorts/build.py", "import ray", "Of platform, only execution imports Ray"),
    ("platform/storage/ledger.py", "import mlflow", "Of platform, only tracking and models import MLflow"),
    ("platform/surrogate/forecast.py", "import optuna", "Of platform, only samplers import Optuna"),
    (
        "platform/study/budget.py",
        "import platform.study.study",
        "No cycles among the modules of a package",
    ),
]


def test_every_contract_holds_and_has_a_breach_below(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    names = {contract["name"] for contract in config["contracts"]}
    assert f"Contracts: {len(names)} kept, 0 broken." in done.stdout
    assert {contract for _, _, contract in BREACHES} == names


@pytest.mark.parametrize(("file", "line", "contract"), BREACHES)
def test_a_broken_contract_is_found(file: str, line: str, contract: str, copy: Path) -> None:
    path = copy / file
    text = path.read_text()
    path.write_text(f"{text}\n\ndef late() -> None:\n    {line}\n")
    try:
        done = lint(copy)
    finally:
        path.write_text(text)
    assert done.returncode == 1, done.stdout
    broken = [row for row in done.stdout.splitlines() if "BROKEN" in row]
    assert any(row.startswith(f"{contract} BROKEN") for row in broken), broken
