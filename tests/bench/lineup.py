"""All contenders by name, and the source files that each result depends on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from platform.samplers.factory import make_sampler
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.study.observation import SearchSpace

from tests.bench import foreign
from tests.bench.contender import Contender
from tests.bench.ours import halved, sampler
from tests.bench.problems import Problem, fidelity_problems, full_problems
from tests.bench.recorded import recorded_problems, with_learning_rate

Make = Callable[[Problem, int, int], Contender]
"""From a problem, a seed and the number of trials."""

UNLIMITED = 1000
TPE, RANDOM, NO_STOPPING = "Optuna TPE", "random", "no stopping"
AUTO, HALVED = "ours auto", "ours gp + halving"
RAW, FORECAST = "ours, by rungs", "ours, by forecasts"
DESIGNS = (
    *(f"platform/samplers/{name}.py" for name in ("base", "designs", "factory")),
    "platform/study/observation.py",
)
PROCESSES = ("platform/surrogate/gaussian_process.py", "platform/surrogate/encoding.py")
BAYESIAN = (*DESIGNS, *PROCESSES, "platform/samplers/gp.py", "platform/surrogate/acquisition.py")
EVOLUTION = (*DESIGNS, "platform/samplers/optuna_samplers.py")
HALVING = (
    *(f"platform/schedulers/{name}.py" for name in ("base", "asha", "ranking")),
    *(f"platform/pareto/{name}.py" for name in ("observations", "selection")),
)
FORECASTS = (*HALVING, *PROCESSES, "platform/surrogate/forecast.py")
FOREIGN = ("tests/bench/foreign.py", "tests/bench/halving.py", "tests/bench/syne.py")


@dataclass(frozen=True)
class Entry:
    """A contender."""

    make: Make
    sources: tuple[str, ...]
    """Files that determine its behaviour, besides the benchmark's own."""
    trials: int = UNLIMITED
    seeds: int = UNLIMITED
    """At most, where a proposal takes long."""


LIMITS = {"Optuna GP": (50,), "Syne Tune EHVI": (50, 3)}
"""Trials, and seeds, of contenders that take a second or more for a proposal."""
SAMPLERS = {"gp": BAYESIAN, "tpe": EVOLUTION, "nsga3": EVOLUTION, "sobol": DESIGNS, "random": DESIGNS}


@cache
def entries() -> dict[str, Entry]:
    """All contenders whose libraries are installed."""
    found = {
        **{f"ours {name}": Entry(partial(sampler, name), sources) for name, sources in SAMPLERS.items()},
        AUTO: Entry(partial(sampler, "auto"), (*BAYESIAN, *EVOLUTION)),
        RAW: Entry(partial(halved, "listed", forecast=False), HALVING),
        FORECAST: Entry(partial(halved, "listed"), FORECASTS),
        HALVED: Entry(partial(halved, "gp"), (*BAYESIAN, *FORECASTS)),
        "ours tpe + halving": Entry(partial(halved, "tpe"), (*EVOLUTION, *FORECASTS)),
    }
    for name, make in {**foreign.samplers(), **foreign.halvings()}.items():
        found[name] = Entry(_for_any_trials(make), FOREIGN, *LIMITS.get(name, ()))
    return found


def _for_any_trials(make: foreign.Factory) -> Make:
    return lambda problem, seed, trials: make(problem, seed)


def chosen(problem: Problem, trials: int) -> str:
    """The contender that ``auto`` chooses for a problem; the two share their runs."""
    made = make_sampler("auto", SearchSpace(problem.search, problem.reference, trials, 0))
    if isinstance(made, GaussianProcessSampler):
        return "ours gp"
    return f"ours {made._name}" if isinstance(made, OptunaSampler) else AUTO


@cache
def problems() -> dict[str, Problem]:
    """All problems by name."""
    recorded = (*recorded_problems(), with_learning_rate())
    return {p.name: p for p in (*full_problems(), *fidelity_problems(), *recorded)}
