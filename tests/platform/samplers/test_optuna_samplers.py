"""TPE and NSGA-III over a study in memory: the space's rules, determinism, and what Optuna receives."""

from collections.abc import Callable, Sequence
from functools import cache
from platform.pareto.dominance import hypervolume
from platform.samplers.base import Proposal
from platform.samplers.optuna_samplers import POPULATION, OptunaSampler, distribution
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform, active
from platform.study.observation import Observation, Params, Rung, SearchSpace, State
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import NSGAIIISampler, TPESampler
from optuna.trial import TrialState

DIMENSIONS: tuple[Dimension, ...] = (
    Choice("method", ("cut", "unsb")),
    Log("rate", 1e-4, 1.0),
    Int("layers", 2, 9, step=3),
    IntLog("width", 4, 64),
    Uniform("share", 0.0, 1.0, step=0.3),
    Uniform("tau", 0.1, 0.3, when={"method": ("unsb",)}),
    Choice("norm", ("none", "batch", "layer"), when={"method": ("cut",)}),
)
PLANE = (Uniform("x", 0.0, 1.0), Uniform("y", 0.0, 1.0))
GENERATION = "NSGAIIISampler:generation"
NAMES = pytest.mark.parametrize("name", ["tpe", "nsga3"])


def space(dimensions: tuple[Dimension, ...] = PLANE, seed: int = 0, **changes: Any) -> SearchSpace:
    return SearchSpace(dimensions, (2.0, 2.0), 60, seed, **changes)


def objectives(params: Params) -> tuple[float, float]:
    """A convex front along y = 0.3."""
    x, y = float(params["x"]), float(params["y"])
    return x**2 + (y - 0.3) ** 2, (x - 1) ** 2 + (y - 0.3) ** 2


def observed(
    proposal: Proposal, values: Sequence[float], *violations: float, state: State = "completed"
) -> Observation:
    return Observation(proposal.params, state, (Rung(1.0, tuple(values), violations),), proposal.memory)


def completed(proposal: Proposal) -> Observation:
    return observed(proposal, objectives(proposal.params))


def search(
    sampler: OptunaSampler, count: int, observe: Callable[[Proposal], Observation] = completed
) -> list[Observation]:
    """Proposals one at a time, each observed before the next."""
    trials: list[Observation] = []
    while len(trials) < count:
        trials.append(observe(sampler.propose(trials) or pytest.fail("no proposal")))
    return trials


@cache
def searched(name: str, seed: int = 0) -> list[Observation]:
    return search(OptunaSampler(space(seed=seed), name), 6 * POPULATION if name == "nsga3" else 41)


@NAMES
def test_proposals_are_exactly_the_active_parameters_each_in_its_domain(name: str) -> None:
    states: list[State] = ["completed", "completed", "paused", "failed", "running"] * 9

    def observe(proposal: Proposal) -> Observation:
        dimensions = active(DIMENSIONS, proposal.params)
        assert list(proposal.params) == [dimension.name for dimension in dimensions]
        for dimension in dimensions:
            assert dimension.holds(proposal.params[dimension.name]), (dimension, proposal.params)
        values = proposal.params["rate"], proposal.params["width"] / 64
        return observed(proposal, values, state=states.pop())

    trials = search(OptunaSampler(space(DIMENSIONS), name), 45, observe)
    assert {o.params["method"] for o in trials} == {"cut", "unsb"}
    assert {o.params["layers"] for o in trials} == {2, 5, 8}


@NAMES
@pytest.mark.parametrize(("x", "y", "count", "distinct"), [(0.25, 0.8, 30, 16), (0.02, 0.95, 8, 8)])
def test_refused_points_are_never_proposed(name: str, x: float, y: float, count: int, distinct: int) -> None:
    """Where a twentieth of the plane is accepted, or a thousandth, which only quasi-random points find."""
    refusing = space(refusal=lambda p: "" if p["x"] < x and p["y"] > y else "no")
    points = [o.params for o in search(OptunaSampler(refusing, name), count)]
    assert all(p["x"] < x and p["y"] > y for p in points)
    assert len({p["x"] for p in points}) >= distinct
    assert OptunaSampler(space(refusal=lambda p: "no"), name).propose([]) is None


@NAMES
def test_the_same_observations_give_the_same_proposal(name: str) -> None:
    for count in (0, 5, 25, 40):
        before, expected = searched(name)[:count], searched(name)[count]
        proposal = OptunaSampler(space(), name).propose(before)
        assert proposal == Proposal(expected.params, expected.memory)
        assert OptunaSampler(space(seed=1), name).propose(before) != proposal


CUBE = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(6))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """A front along the first, all others at 0.3."""
    x, *others = map(float, values)
    off = sum((other - 0.3) ** 2 for other in others)
    return x**2 + off, (x - 1) ** 2 + off


def optuna_alone(sampler: optuna.samplers.BaseSampler, count: int, names: Sequence[str], of: Any) -> Any:
    """The trials of one study of Optuna from first to last."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(lambda trial: of({name: trial.suggest_float(name, 0, 1) for name in names}), count)
    return study.trials


@NAMES
def test_it_finds_more_than_random_points_and_what_one_lasting_study_finds(name: str) -> None:
    ours, theirs, random = [], [], []
    for seed in range(2):
        trials = search(
            OptunaSampler(space(CUBE, seed), name), 80, lambda p: observed(p, spread([*p.params.values()]))
        )
        sampler = (
            TPESampler(seed=seed) if name == "tpe" else NSGAIIISampler(seed=seed, population_size=POPULATION)
        )
        lasting = optuna_alone(sampler, 80, [d.name for d in CUBE], lambda p: spread([*p.values()]))
        ours.append(hypervolume([o.rungs[0].values for o in trials], (1.0, 1.0)))
        theirs.append(hypervolume([trial.values for trial in lasting], (1.0, 1.0)))
        cubes = np.random.default_rng(seed).random((80, 6))
        random.append(hypervolume([spread(cube) for cube in cubes], (1.0, 1.0)))
    assert np.mean(ours) > 1.1 * np.mean(random), (ours, theirs, random)
    assert np.mean(ours) > 0.9 * np.mean(theirs), (ours, theirs, random)


def frozen(o: Observation) -> optuna.trial.FrozenTrial:
    return OptunaSampler(space(), "tpe")._frozen(o)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", TrialState.RUNNING),
        ("paused", TrialState.PRUNED),
        ("completed", TrialState.COMPLETE),
        ("failed", TrialState.FAIL),
    ],
)
def test_optuna_receives_states_and_the_values_of_completed_trials_only(
    state: State, expected: TrialState
) -> None:
    proposal = Proposal({"x": 0.5, "y": 0.25})
    trial = frozen(observed(proposal, (1.0, 2.0), state=state))
    assert (trial.state, trial.params) == (expected, proposal.params)
    assert trial.values == ([1.0, 2.0] if state == "completed" else None)
    assert frozen(Observation(proposal.params, "running")).state == TrialState.RUNNING


def test_optuna_receives_constraints() -> None:
    here, there = Proposal({"x": 0.5, "y": 0.25}), Proposal({"x": 0.1, "y": 0.1})
    trial = frozen(observed(here, (1.0, 2.0), -0.5, 0.25))
    assert trial.constraints == {"0": -0.5, "1": 0.25}
    assert frozen(observed(here, (1.0, 2.0))).constraints == {}
    study = optuna.create_study(directions=["minimize"] * 2)
    study.add_trials([trial, frozen(observed(there, (3.0, 4.0), 0.0, -1.0))])
    assert [trial.values for trial in study.best_trials] == [[3.0, 4.0]]


@NAMES
def test_constraints_change_proposals(name: str) -> None:
    """X >= 0.6, though low x is good for one objective and x = 0.5 for the sum."""

    def constrained(proposal: Proposal) -> Observation:
        return observed(proposal, objectives(proposal.params), 0.6 - float(proposal.params["x"]))

    def share(observe: Callable[[Proposal], Observation]) -> float:
        searches = [search(OptunaSampler(space(seed=seed), name), 50, observe)[25:] for seed in range(3)]
        return float(np.mean([o.params["x"] >= 0.6 for trials in searches for o in trials]))

    assert share(constrained) > share(completed) + 0.2


def test_nsgas_generations_are_those_of_one_lasting_study() -> None:
    """By the numbers that Optuna stores with each trial; these are plain JSON."""
    trials = searched("nsga3")[: 4 * POPULATION]
    lasting = optuna_alone(NSGAIIISampler(seed=0, population_size=POPULATION), len(trials), "xy", objectives)
    theirs = [trial.system_attrs[GENERATION] for trial in lasting]
    assert [o.memory[GENERATION] for o in trials] == theirs and theirs[-1] == 3
    for o in (*trials, *searched("tpe")):
        assert all(isinstance(key, str) and isinstance(value, int) for key, value in o.memory.items())


def test_nsgas_children_resemble_their_parents() -> None:
    """Crossover keeps coordinates near the parents': the front's, after some generations of selection."""
    for seed in range(3):
        first, *_, last = np.split(np.array([o.params["y"] for o in searched("nsga3", seed)]), 6)
        assert np.abs(last - 0.3).mean() < 0.5 * np.abs(first - 0.3).mean()


def test_start_points_are_of_nsgas_first_generation() -> None:
    """They have no memory; good ones become parents."""
    trials = [completed(Proposal({"x": k / 15, "y": 0.3})) for k in range(16)]
    proposals = [OptunaSampler(space(seed=seed), "nsga3").propose(trials) for seed in range(20)]
    assert all(p is not None and p.memory[GENERATION] == 1 for p in proposals)
    assert np.mean([abs(p.params["y"] - 0.3) < 1e-9 for p in proposals if p]) > 0.4


@pytest.mark.parametrize("state", ["paused", "running"])
def test_tpe_avoids_paused_and_running_trials(state: State) -> None:
    """Fewer of its proposals are close to its preferred points once trials are paused or running there."""

    def proposals(trials: Sequence[Observation], seeds: range) -> list[Params]:
        made = [OptunaSampler(space(seed=seed), "tpe").propose(trials) for seed in seeds]
        return [proposal.params for proposal in made if proposal]

    def cubes(params: Sequence[Params]) -> np.ndarray[Any, Any]:
        return np.array([list(each.values()) for each in params])

    trials = searched("tpe")[:30]
    preferred = proposals(trials, range(30))
    taken = [Observation(params, state) for params in preferred]
    before, after = (
        int((np.linalg.norm(points[:, None] - cubes(preferred), axis=2).min(1) < 0.03).sum())
        for points in (cubes(proposals(o, range(100, 140))) for o in (trials, [*trials, *taken]))
    )
    assert after < 0.75 * before, (before, after)


@pytest.mark.parametrize("dimension", [d for d in DIMENSIONS if d.size])
def test_a_distribution_has_the_dimensions_values(dimension: Dimension) -> None:
    assert dimension.size is not None
    values = [dimension.at((i + 0.5) / dimension.size) for i in range(dimension.size)]
    values = [4, 9, 64] if isinstance(dimension, IntLog) else values
    made = distribution(dimension)
    assert all(made._contains(made.to_internal_repr(value)) for value in values)
    if isinstance(made, FloatDistribution | IntDistribution):
        assert made.high == values[-1] and made.low == values[0]
