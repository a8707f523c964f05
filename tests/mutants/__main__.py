"""Plant every fault of the table and run the tests that must notice it (``make mutants``).

Writes docs/evidence/mutants.md; exit code 1 if a fault was not noticed, 2 where the table is stale or a named
test fails without any fault. Words as arguments plant only the faults whose description holds one of them,
and write no page.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from platform.reporting.console import console, counting_bar
from platform.reporting.tables import markdown_table

from tests.mutants.faults import FAULTS as TRAINING
from tests.mutants.faults import Fault
from tests.simulation.mutants import BUGS
from trainers.errors import InputError

FAULTS = (*TRAINING, *BUGS)
ROOT = Path(__file__).parents[2]
COPIED = ("trainers", "platform", "tests", "search_spaces", "pyproject.toml", "conftest.py")
PAGE = ROOT / "docs" / "evidence" / "mutants.md"
LIMIT = 120.0
"""Seconds after which a fault's tests are ended: they do not, as they would without it."""
UNNOTICED = "**not noticed**"


def copied(folder: Path) -> Path:
    """A copy of what tests need; without bytecode, which two writes within a second may leave stale."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def planted(fault: Fault, source: str) -> str:
    """The file with the fault; raises InputError unless its text occurs once."""
    if (found := source.count(fault.text)) != 1:
        raise InputError(f"{fault.file}: {fault.text!r} is there {found} times; allowed: once")
    return source.replace(fault.text, fault.replacement)


def first_failure(folder: Path, tests: Sequence[str], limit: float | None) -> str:
    """The first test that fails in the copy; empty if none does. Raises InputError where none could run."""
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        run = subprocess.run(
            command, cwd=folder, env=environment, timeout=limit, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"no end within {limit:g} s"
    if run.returncode not in (0, 1):
        raise InputError(f"{', '.join(tests)}: pytest ended with {run.returncode}\n{run.stdout[-2000:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", run.stdout, re.MULTILINE)
    return failed[1] if failed and run.returncode else ""


def noticed(folder: Path, fault: Fault) -> str:
    """Which test notices a fault, planted in the copy and taken back."""
    path = folder / fault.file
    source = path.read_text("utf-8")
    path.write_text(planted(fault, source), "utf-8")
    try:
        return first_failure(folder, [fault.test], LIMIT)
    finally:
        path.write_text(source, "utf-8")


def page(rows: Sequence[tuple[Fault, str]]) -> str:
    """docs/evidence/mutants.md."""
    found = sum(bool(test) for _, test in rows)
    lines = [
        (fault.breaks, f"`{fault.file}`", test.partition("::")[2] or test or UNNOTICED)
        for fault, test in rows
    ]
    table = markdown_table(["fault", "file", "noticed by"], lines, left=3)
    return f"""# Planted faults

Faults of `tests/mutants/faults.py`, planted one at a time in a copy of the source, and the first test that
fails with each: {found} of {len(rows)} are noticed. `make mutants` computes this page.

{table}
"""


def main(words: Sequence[str]) -> int:
    """Plant the faults; the exit code."""
    chosen = [f for f in FAULTS if not words or any(word in f.breaks for word in words)]
    rows = []
    with tempfile.TemporaryDirectory() as name, counting_bar(console) as progress:
        folder = copied(Path(name))
        task = progress.add_task("without faults", total=len(chosen))
        if failed := first_failure(folder, sorted({fault.test for fault in chosen}), None):
            raise InputError(f"{failed}: fails without any fault; allowed: tests that pass")
        for fault in chosen:
            progress.update(task, description=fault.breaks)
            rows.append((fault, noticed(folder, fault)))
            console.print(f"{fault.breaks}: {rows[-1][1] or UNNOTICED}")
            progress.advance(task)
    if not words:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(rows), "utf-8")
    return int(not all(test for _, test in rows))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        console.print(f"error: {error}")
        sys.exit(2)
