"""What a study was run with, as tags."""

import importlib.metadata
import subprocess
from dataclasses import replace
from pathlib import Path
from platform.study.study import Study
from platform.tracking.provenance import environment, git_commit

import pytest

ROOT = Path(__file__).parents[3]


def test_the_environment_names_code_packages_and_spaces(smoke: Study) -> None:
    tags = environment(smoke)
    assert all(isinstance(value, str) for value in tags.values())
    assert (tags["space"], tags["profile"], tags["digest"]) == (smoke.path, "", smoke.digest)
    for name in ("torch", "ray", "optuna", "mlflow", "accelerate", "diffusers"):
        assert tags[name] == importlib.metadata.version(name)
    compared = environment(smoke, replace(smoke, path="other.yaml", seed=7))
    assert compared["space"] == f"{smoke.path}, other.yaml"
    first, second = compared["digest"].split(", ")
    assert first == smoke.digest != second


def test_the_commit_is_gits_and_without_git_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert git_commit() == (head.stdout.strip() if head.returncode == 0 else "unknown")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() == "unknown"

    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(subprocess, "run", hang)
    assert git_commit() == "unknown"
