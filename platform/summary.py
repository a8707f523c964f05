"""A study in words, and where it runs: for the terminal, for MLflow's tags."""

import importlib.metadata
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from platform.study import Study

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainers import VERSION

PACKAGES = ("torch", "ray", "optuna", "mlflow", "accelerate", "diffusers")


def describe(study: Study) -> Group:
    """The resolved study: what is searched, held, and with what means."""
    head = Table.grid(padding=(0, 2))
    means = study.resources
    hours = f", {study.budget.hours:g} h" if study.budget.hours else ""
    facts = {
        "study": f"{study.name} ({study.path}, profile {study.profile or 'none'})",
        "method": study.method,
        "objectives": ", ".join(f"{o.name} ({o.direction})" for o in study.objectives),
        "sampler": f"{study.sampler}, seed {study.seed}",
        "cohort": f"{study.cohort.source} {_pairs(vars(study.cohort.config))}",
        "references": _pairs(study.references) or "defaults",
        "fixed": _pairs(study.fixed) or "nothing",
        "trial": f"{means.cpus} cpus, {means.gpus:g} gpus, {means.workers} workers",
        "budget": f"{study.budget.trials} trials{hours}",
    }
    for name, text in facts.items():
        head.add_row(Text(name, style="bold"), Text(text))
    space = Table("searched", "domain", "first", box=None, padding=(0, 2))
    for dimension in study.search:
        kind = type(dimension).__name__.lower()
        first = ", ".join(str(point[dimension.name]) for point in study.start[:3])
        space.add_row(dimension.name, Text(f"{kind} {dimension}"), Text(first))
    return Group(head, space)


def environment(*studies: Study) -> dict[str, str]:
    """Tags that say from what a search's study, or a comparison's, came: spaces, code, packages, host."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "space": ", ".join(study.path for study in studies),
        "profile": studies[0].profile or "",
        "digest": ", ".join(study.digest for study in studies),
        "code": VERSION,
        "git_commit": git_commit(),
        "python": sys.version.split()[0],
        "host": socket.gethostname(),
        **versions,
    }


def git_commit() -> str:
    """The checkout's commit, or "unknown" outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
