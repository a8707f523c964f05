"""A study in words, for the terminal."""

from collections.abc import Iterator, Mapping
from platform.schedulers.asha import KEPT
from platform.study.budget import Budget
from platform.study.dimensions import condition
from platform.study.study import Study

from rich.console import Group
from rich.table import Table
from rich.text import Text


def describe(study: Study) -> Group:
    """The resolved study: what is searched, what is fixed, and the resources."""
    head = Table.grid(padding=(0, 2))
    resources = study.resources
    facts = {
        "study": f"{study.name} ({study.path}, profile {study.profile or 'none'})",
        "method": study.method,
        "objectives": ", ".join(f"{o.name} ({o.direction})" for o in study.objectives)
        + ", allow_blind" * study.allow_blind,
        "constraints": ", ".join(map(str, study.constraints)) or "none",
        "sampler": f"{study.sampler}, seed {study.seed}{', deterministic' * study.deterministic}",
        "scheduler": _schedule(study),
        "starts from": f"the trials of {study.warm}" if study.warm else "",
        "cohort": f"{study.cohort.source} {_pairs(vars(study.cohort.config))}",
        "references": _pairs(study.references) or "defaults",
        "fixed": _pairs(study.fixed) or "nothing",
        "trial": f"{resources.cpus} cpus, {resources.gpus:g} gpus, {resources.workers} workers",
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
    parts: list[str] = [chosen.name]
    if chosen.name == "asha":
        parts.append(f"{100 * chosen.reduction**-KEPT:.0f} % of a rung's trials continue")
        parts.append(f"{chosen.brackets} bracket{'s' * (chosen.brackets > 1)}")
    parts.append(f"nothing ends before {chosen.least_results} results")
    return f"{', '.join(parts)}; rungs at {rungs} of {max(study.steps)} steps"


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


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
