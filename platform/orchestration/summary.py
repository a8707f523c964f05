"""A study in words, and where it runs: for the terminal, for MLflow's tags."""

import importlib.metadata
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from platform.schedulers.asha import KEPT
from platform.study.dimensions import condition
from platform.study.study import Budget, Study

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainers import VERSION

PACKAGES = ("torch", "ray", "optuna", "mlflow", "accelerate", "diffusers")


def describe(study: Study) -> Group:
    """The resolved study: what is searched, held, and with what means."""
    head = Table.grid(padding=(0, 2))
    means = study.resources
    facts = {
        "study": f"{study.name} ({study.path}, profile {study.profile or 'none'})",
        "method": study.method,
        "objectives": ", ".join(f"{o.name} ({o.direction})" for o in study.objectives),
        "constraints": ", ".join(map(str, study.constraints)) or "none",
        "sampler": f"{study.sampler}, seed {study.seed}{', deterministic' * study.deterministic}",
        "scheduler": _schedule(study),
        "starts from": f"the trials of {study.warm}" if study.warm else "",
        "cohort": f"{study.cohort.source} {_pairs(vars(study.cohort.config))}",
        "references": _pairs(study.references) or "defaults",
        "fixed": _pairs(study.fixed) or "nothing",
        "trial": f"{means.cpus} cpus, {means.gpus:g} gpus, {means.workers} workers",
        "budget": ", ".join(_limits(study.budget)),
    }
    for name, text in facts.items():
        if text:
            head.add_row(Text(name, style="bold"), Text(text))
    return Group(head, _space(study))


def _space(study: Study) -> Table:
    """A row for every searched field; its condition has a column where there is any."""
    conditional = any(dimension.when for dimension in study.search)
    space = Table("searched", "domain", "first", *["only where"] * conditional, box=None, padding=(0, 2))
    for dimension in study.search:
        kind = type(dimension).__name__.lower()
        first = ", ".join(str(point.get(dimension.name, "-")) for point in study.start[:3])
        row = [Text(dimension.name), Text(f"{kind} {dimension}"), Text(first)]
        space.add_row(*row, *[Text(condition(dimension))] * conditional)
    return space


def _schedule(study: Study) -> str:
    """The scheduler with its rungs."""
    chosen = study.scheduler
    if chosen.name == "none":
        return chosen.name
    rungs = ", ".join(map(str, study.levels))
    if not rungs:
        return f"{chosen.name}, without rungs: trials are too short"
    share = f"{100 * chosen.reduction**-KEPT:.0f} % of a rung's trials go on"
    brackets = f"{chosen.brackets} bracket{'s' * (chosen.brackets > 1)}"
    least = f"nothing ends before {chosen.least_results} results"
    return f"{chosen.name}, {share}, {brackets}, {least}; rungs at {rungs} of {max(study.steps)} steps"


def _limits(budget: Budget) -> Iterator[str]:
    yield f"{budget.trials} trials"
    if budget.hours:
        yield f"{budget.hours:g} h"
    if budget.gpu_hours:
        yield f"{budget.gpu_hours:g} GPU-hours"
    if budget.cost:
        yield f"cost {budget.cost:g} at {budget.cost_per_gpu_hour:g} a GPU-hour"
    if budget.plateau_trials:
        yield f"hypervolume up by less than {budget.plateau_percent:g} % in {budget.plateau_trials} trials"


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
