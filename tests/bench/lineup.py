"""Everyone who takes part, by name, and what each result depends on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.samplers.suggester import make_sampler
from platform.study.observation import SearchSpace

from tests.bench import foreign
from tests.bench.contender import Contender
from tests.bench.ours import halved, sampler
from tests.bench.problems import Problem, fidelity_problems, full_problems
from tests.bench.recorded import recorded_problems, with_learning_rate

Make = Callable[[Problem, int, int], Contender]
"""From a problem, a seed and how many trials there will be."""

UNLIMITED = 1000
TPE, RANDOM, NO_STOPPING = "Optuna TPE", "random", "no stopping"
AUTO, HALVED = "ours auto", "ours gp + halving"
RAW, FORECAST = "ours, by rungs", "ours, by forecasts"
PROPOSE = ("platform/samplers/designs.py", "platform/study/observation.py")
PROCESSES = ("platform/surrogate/gaussian_process.py", "platform/surrogate/encoding.py")
BAYESIAN = (*PROPOSE, *PROCESSES, "platform/samplers/gp.py", "platform/surrogate/acquisition.py")
EVOLUTION = (*PROPOSE, "platform/samplers/optuna_samplers.py")
HALVE = ("platform/schedulers/asha.py",)
FORESEE = (*HALVE, *PROCESSES, "platform/surrogate/forecast.py")
THEIRS = ("tests/bench/foreign.py", "tests/bench/halving.py", "tests/bench/syne.py")


@dataclass(frozen=True)
class Entry:
    """A contender."""

    make: Make
    sources: tuple[str, ...]
    """Files that decide what it does, beside the bench's own."""
    trials: int = UNLIMITED
    seeds: int = UNLIMITED
    """At most so many, where a proposal takes long."""


LIMITS = {"Optuna GP": (50,), "Syne Tune EHVI": (50, 3)}
"""Trials, and seeds, of those that take a second and more a proposal."""
KINDS = {"gp": BAYESIAN, "tpe": EVOLUTION, "nsga3": EVOLUTION, "sobol": PROPOSE, "random": PROPOSE}


@cache
def entries() -> dict[str, Entry]:
    """All contenders; those whose library is missing are not among them."""
    found = {
        **{f"ours {kind}": Entry(partial(sampler, kind), sources) for kind, sources in KINDS.items()},
        AUTO: Entry(partial(sampler, "auto"), (*BAYESIAN, *EVOLUTION, "platform/samplers/suggester.py")),
        RAW: Entry(partial(halved, "listed", forecast=False), HALVE),
        FORECAST: Entry(partial(halved, "listed"), FORESEE),
        HALVED: Entry(partial(halved, "gp"), (*BAYESIAN, *FORESEE)),
        "ours tpe + halving": Entry(partial(halved, "tpe"), (*EVOLUTION, *FORESEE)),
    }
    for name, make in {**foreign.samplers(), **foreign.halvings()}.items():
        found[name] = Entry(_whatever_trials(make), THEIRS, *LIMITS.get(name, ()))
    return found


def _whatever_trials(make: foreign.Factory) -> Make:
    return lambda problem, seed, trials: make(problem, seed)


def chosen(problem: Problem, trials: int) -> str:
    """The contender that ``auto`` is here: where it is one of the others, its runs are theirs."""
    proposer = make_sampler("auto", SearchSpace(problem.search, problem.reference, trials, 0))
    if isinstance(proposer, GaussianProcessSampler):
        return "ours gp"
    return f"ours {proposer._kind}" if isinstance(proposer, OptunaSampler) else AUTO


@cache
def problems() -> dict[str, Problem]:
    """All problems by name."""
    recorded = (*recorded_problems(), with_learning_rate())
    return {p.name: p for p in (*full_problems(), *fidelity_problems(), *recorded)}
