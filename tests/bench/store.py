"""Runs, each saved in a file named by what it depends on, so that an interrupted benchmark can be resumed."""

import ast
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

from tests.bench import lineup
from tests.bench.experiments import Job
from tests.bench.lineup import entries, problems
from tests.bench.simulator import Run, simulate

ROOT = Path(__file__).parents[2]
COMMON = (
    *(f"tests/bench/{name}.py" for name in ("problems", "landscapes", "cube", "contender", "simulator")),
    "platform/study/dimensions.py",
    "platform/pareto/dominance.py",
)
RECORDED = (
    *(f"tests/bench/{name}" for name in ("recorded.py", "recorded.json", "recorded_lr.json")),
    "platform/study/criteria.py",
)
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pymoo", "optuna")
FOREIGN_LIBRARIES = ("ray", "syne-tune", "botorch")


def run(job: Job) -> Run:
    """The run itself."""
    problem = problems()[job.problem]
    contender = entries()[job.contender].make(problem, job.seed, job.trials)
    return simulate(problem, contender, job.seed, job.trials, budget=job.budget)


def run_all(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, Run]]:
    """Each as soon as it has ended; processes of their own hide the libraries' warnings."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        yield from ((futures[future], future.result()) for future in as_completed(futures))


def _quiet() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


class Store:
    """A folder of runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, job: Job) -> Run | None:
        """A saved run; None where there is none, or where code that it depends on has changed."""
        path = self._path(job)
        return Run(**json.loads(path.read_text())["run"]) if path.exists() else None

    def save(self, job: Job, run: Run) -> None:
        """Write a run, atomically."""
        path = self._path(job)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"job": _plain(job), "run": asdict(run)}))
        partial.replace(path)

    def _path(self, job: Job) -> Path:
        key = json.dumps([_plain(job), depends(job)], sort_keys=True)
        return self._folder / f"{blake2b(key.encode(), digest_size=12).hexdigest()}.json"


def _plain(job: Job) -> dict[str, object]:
    return {**asdict(job), "budget": None if math.isinf(job.budget) else job.budget}


def depends(job: Job) -> dict[str, str]:
    """What determines a run besides the job itself: code, recorded trials, versions of libraries."""
    sources = entries()[job.contender].sources
    ours = () if sources == lineup.FOREIGN else ("tests/bench/ours.py",)
    recorded = RECORDED if problems()[job.problem].family in ("recorded", "surrogate") else ()
    found = {name: code(ROOT / name) for name in (*COMMON, *sources, *ours, *recorded)}
    return {**found, **versions(LIBRARIES if ours else (*LIBRARIES, *FOREIGN_LIBRARIES))}


@cache
def code(path: Path) -> str:
    """A digest of a file; of Python code without comments, layout and docstrings."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
        text = ast.unparse(tree)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@cache
def versions(names: Sequence[str]) -> dict[str, str]:
    """Of libraries; empty for one that is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
