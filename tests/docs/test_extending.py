"""docs/extending.md, followed word for word in a copy of this folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from platform.storage.ledger import read_trials

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("platform", "trainers", "search_spaces", "tests/trainers", "conftest.py", "pyproject.toml")
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, str, str]]:
    """Language, file and text of every block of the page, in order."""
    yield from BLOCK.findall((ROOT / "docs" / "extending.md").read_text())


def apply_diff(root: Path, text: str) -> None:
    """Change the one place of a file that has the diff's old lines."""
    header, *lines = text.splitlines()
    path = root / header.removeprefix("--- ")
    old, new = ("\n".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    content = path.read_text()
    assert content.count(old) == 1, (path, old)
    path.write_text(content.replace(old, new))


def run(root: Path, line: str) -> str:
    """The standard output of a command of the page; fails where it fails."""
    words = [sys.executable if word == "python" else word for word in line.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (line, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The copy with everything applied, and what each command printed."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source, target = ROOT / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    commands = []
    for language, file, text in blocks():
        if language == "diff":
            apply_diff(root, text)
        elif language == "sh":
            commands += text.splitlines()
        else:
            assert not (root / file).exists(), f"{file} is to be new"
            (root / file).write_text(text)
    return root, {line: run(root, line) for line in commands}


def test_the_contract_suite_finds_the_method(followed: tuple[Path, dict[str, str]]) -> None:
    (printed,) = (out for line, out in followed[1].items() if "pytest" in line)
    assert re.search(r"\[100%\]", printed) and "failed" not in printed


def test_the_cohort_is_prepared(followed: tuple[Path, dict[str, str]]) -> None:
    (printed,) = (out for line, out in followed[1].items() if "platform.prepare" in line)
    assert Path(re.findall(r"^cohort: (\S+)$", printed, re.MULTILINE)[0], "manifest.json").is_file()


def test_a_study_uses_all_of_them(followed: tuple[Path, dict[str, str]]) -> None:
    root, printed = followed
    (line,) = (line for line in printed if "platform.search" in line)
    assert "mae" in printed[line]
    folder = root / "runs" / "studies" / "extended"
    trials = read_trials(folder)
    assert len(trials) == 3 and {trial.status for trial in trials.values()} <= {"completed", "paused"}
    assert all(
        report.most_refined["mae"] > 0 for trial in trials.values() for report in trial.reports.values()
    )
