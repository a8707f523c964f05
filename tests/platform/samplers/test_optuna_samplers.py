"""TPE and NSGA-III over a study in memory: the space's rules, determinism, and what Optuna is told."""

from collections.abc import Sequence
from platform.pareto.dominance import hypervolume
from platform.samplers.optuna_samplers import POPULATION, OptunaSampler, distribution
from platform.study.dimensions import Choice, Dimension, Int, IntLog, Log, Uniform, active
from platform.study.observation import Observation, Params, Point, Rung, SearchSpace, State
from typing import Any

import numpy as np
import optuna
import pytest
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
KINDS = ("tpe", "nsga3")


def space(dimensions: tuple[Dimension, ...] = PLANE, seed: int = 0, **changes: Any) -> SearchSpace:
    return SearchSpace(dimensions, (2.0, 2.0), 60, seed, **changes)


def objectives(params: Params) -> tuple[float, ...]:
    """A convex front along y = 0.3."""
    x, y = float(params["x"]), float(params["y"])
    return x**2 + (y - 0.3) ** 2, (x - 1) ** 2 + (y - 0.3) ** 2


def observed(point: Point, values: Sequence[float], state: State = "completed", **rung: Any) -> Observation:
    return Observation(point.params, state, (Rung(1.0, tuple(values), **rung),), point.memory)


def search(sampler: OptunaSampler, count: int) -> list[Observation]:
    seen: list[Observation] = []
    for _ in range(count):
        point = sampler.propose(seen)
        assert point is not None
        seen.append(observed(point, objectives(point.params)))
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_proposals_hold_exactly_the_active_parameters_each_in_its_domain(kind: str) -> None:
    seen: list[Observation] = []
    sampler = OptunaSampler(space(DIMENSIONS), kind)
    for index in range(45):
        point = sampler.propose(seen)
        assert point is not None
        names = [dimension.name for dimension in active(DIMENSIONS, point.params)]
        assert list(point.params) == names
        for dimension in active(DIMENSIONS, point.params):
            assert dimension.holds(point.params[dimension.name]), (dimension, point.params)
        state: State = ("completed", "completed", "paused", "failed", "running")[index % 5]  # type: ignore[assignment]
        seen.append(observed(point, (point.params["rate"], point.params["width"] / 64), state))
    assert {o.params["method"] for o in seen} == {"cut", "unsb"}
    assert {o.params["layers"] for o in seen} == {2, 5, 8}


@pytest.mark.parametrize("kind", KINDS)
def test_refused_corners_are_never_proposed(kind: str) -> None:
    """All but a twentieth of the plane, and the objectives' best points with it."""
    refused = space(refusal=lambda p: "" if p["x"] < 0.25 and p["y"] > 0.8 else "no")
    for observation in search(OptunaSampler(refused, kind), 30):
        assert observation.params["x"] < 0.25 and observation.params["y"] > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_where_one_point_in_a_thousand_is_taken_the_search_goes_on(kind: str) -> None:
    """What the sampler itself does not find, quasi-random points do."""
    rare = space(refusal=lambda p: "" if p["x"] < 0.02 and p["y"] > 0.95 else "no")
    points = [observation.params for observation in search(OptunaSampler(rare, kind), 8)]
    assert all(p["x"] < 0.02 and p["y"] > 0.95 for p in points)
    assert len({p["x"] for p in points}) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_that_takes_nothing_has_no_proposal(kind: str) -> None:
    assert OptunaSampler(space(refusal=lambda p: "no"), kind).propose([]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_observations_give_the_same_proposal(kind: str) -> None:
    seen = search(OptunaSampler(space(), kind), 40)
    for count in (0, 5, 25, 40):
        pair = [OptunaSampler(space(), kind).propose(seen[:count]) for _ in range(2)]
        assert pair[0] is not None and pair[0] == pair[1]
        if count < 40:  # and so does a search that was not interrupted
            assert pair[0].params == seen[count].params
        assert OptunaSampler(space(seed=1), kind).propose(seen[:count]) != pair[0]


HYPERCUBE = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(6))


def far(params: Params) -> tuple[float, float]:
    """A front along x0, all others at 0.3."""
    x, *others = (float(value) for value in params.values())
    off = sum((other - 0.3) ** 2 for other in others)
    return x**2 + off, (x - 1) ** 2 + off


def volume(points: Sequence[Sequence[float]]) -> float:
    return hypervolume(np.array(points), (1.0, 1.0))


def persistent(kind: str, seed: int, count: int) -> list[list[float]]:
    """Optuna by itself, from first to last."""
    made = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "nsga3": lambda: optuna.samplers.NSGAIIISampler(seed=seed, population_size=POPULATION),
    }
    study = optuna.create_study(directions=["minimize"] * 2, sampler=made[kind]())
    study.optimize(lambda trial: far({d.name: trial.suggest_float(d.name, 0, 1) for d in HYPERCUBE}), count)
    return [trial.values for trial in study.trials]


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_more_than_random_points_do_and_what_a_lasting_study_finds(kind: str) -> None:
    ours, theirs, random = [], [], []
    for seed in range(2):
        values: list[tuple[float, ...]] = []
        seen: list[Observation] = []
        sampler = OptunaSampler(space(HYPERCUBE, seed=seed), kind)
        for _ in range(80):
            point = sampler.propose(seen)
            assert point is not None
            values.append(far(point.params))
            seen.append(observed(point, values[-1]))
        ours.append(volume(values))
        theirs.append(volume(persistent(kind, seed, 80)))
        cubes = np.random.default_rng(seed).random((80, 6))
        random.append(volume([far(dict(enumerate(map(float, cube)))) for cube in cubes]))  # type: ignore[arg-type]
    assert np.mean(ours) > 1.1 * np.mean(random), (ours, theirs, random)
    assert np.mean(ours) > 0.9 * np.mean(theirs), (ours, theirs, random)


def frozen(o: Observation, kind: str = "tpe") -> optuna.trial.FrozenTrial:
    return OptunaSampler(space(), kind)._frozen(o)


def test_optuna_is_told_states_and_values_of_complete_trials_alone() -> None:
    point = Point({"x": 0.5, "y": 0.25})
    states = {
        "running": TrialState.RUNNING,
        "paused": TrialState.PRUNED,
        "completed": TrialState.COMPLETE,
        "failed": TrialState.FAIL,
    }
    for state, expected in states.items():
        told = frozen(observed(point, (1.0, 2.0), state))  # type: ignore[arg-type]
        assert told.state == expected and told.params == point.params
        assert told.values == ([1.0, 2.0] if state == "completed" else None)
    assert frozen(Observation(point.params, "running")).state == TrialState.RUNNING


def test_constraints_reach_optuna() -> None:
    told = frozen(observed(Point({"x": 0.5, "y": 0.25}), (1.0, 2.0), violations=(-0.5, 0.25)))
    assert told.constraints == {"0": -0.5, "1": 0.25}
    assert frozen(observed(Point({"x": 0.5, "y": 0.25}), (1.0, 2.0))).constraints == {}
    study = optuna.create_study(directions=["minimize"] * 2)
    study.add_trials(
        [told, frozen(observed(Point({"x": 0.1, "y": 0.1}), (3.0, 4.0), violations=(0.0, -1.0)))]
    )
    assert [trial.values for trial in study.best_trials] == [[3.0, 4.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_constraints_steer_proposals(kind: str) -> None:
    """Wanted is x >= 0.6, though low x is good for one objective and x = 0.5 for the sum."""
    shares = []
    for wanted in (False, True):
        found = 0.0
        for seed in range(3):
            seen: list[Observation] = []
            sampler = OptunaSampler(space(seed=seed), kind)
            for _ in range(50):
                point = sampler.propose(seen)
                assert point is not None
                violations = (0.6 - float(point.params["x"]),) if wanted else ()
                seen.append(observed(point, objectives(point.params), violations=violations))
            found += np.mean([o.params["x"] >= 0.6 for o in seen[25:]]) / 3
        shares.append(found)
    assert shares[1] > shares[0] + 0.2, shares


def test_nsgas_generations_survive_the_rebuild() -> None:
    """By the numbers Optuna notes with each trial; a study that lives on from first to last has the same."""
    seen = search(OptunaSampler(space(), "nsga3"), 4 * POPULATION)
    study = optuna.create_study(
        directions=["minimize"] * 2,
        sampler=optuna.samplers.NSGAIIISampler(seed=0, population_size=POPULATION),
    )
    study.optimize(
        lambda trial: objectives({name: trial.suggest_float(name, 0, 1) for name in "xy"}), 4 * POPULATION
    )
    theirs = [trial.system_attrs["NSGAIIISampler:generation"] for trial in study.trials]
    assert [o.memory["NSGAIIISampler:generation"] for o in seen] == theirs
    assert theirs[-1] == 3


def test_nsgas_children_have_their_parents_values() -> None:
    """Crossover keeps coordinates near the parents': the front's, after some generations of selection."""
    for seed in range(3):
        seen = search(OptunaSampler(space(seed=seed), "nsga3"), 6 * POPULATION)
        spread = [np.abs([o.params["y"] - 0.3 for o in part]).mean() for part in (seen[:16], seen[-16:])]
        assert spread[1] < 0.5 * spread[0]


def test_start_points_are_of_nsgas_first_generation() -> None:
    """They have no memory; as good ones they are to become parents."""
    seen = [observed(Point({"x": k / 15, "y": 0.3}), objectives({"x": k / 15, "y": 0.3})) for k in range(16)]
    point = OptunaSampler(space(), "nsga3").propose(seen)
    assert point is not None and point.memory["NSGAIIISampler:generation"] == 1
    offspring = [OptunaSampler(space(seed=seed), "nsga3").propose(seen) for seed in range(20)]
    assert np.mean([abs(p.params["y"] - 0.3) < 1e-9 for p in offspring if p]) > 0.4


def test_memory_is_plain_json() -> None:
    for kind in KINDS:
        for o in search(OptunaSampler(space(), kind), 20):
            assert all(isinstance(key, str) and isinstance(value, int) for key, value in o.memory.items())


@pytest.mark.parametrize("state", ["paused", "running"])
def test_tpe_keeps_away_from_paused_and_running_trials(state: State) -> None:
    """From where it would have gone: fewer of its proposals come near, once others wait or run there."""

    def near(told: Sequence[Observation]) -> int:
        points = [OptunaSampler(space(seed=seed), "tpe").propose(told) for seed in range(100, 140)]
        cubes = np.array([list(point.params.values()) for point in points if point])
        return int((np.linalg.norm(cubes[:, None] - there[None], axis=2).min(1) < 0.03).sum())

    seen = search(OptunaSampler(space(), "tpe"), 30)
    wanted = [OptunaSampler(space(seed=seed), "tpe").propose(seen) for seed in range(30)]
    taken = [Observation(point.params, state) for point in wanted if point]
    there = np.array([list(o.params.values()) for o in taken])
    before, after = near(seen), near([*seen, *taken])
    assert after < 0.75 * before, (before, after)


@pytest.mark.parametrize("dimension", [d for d in DIMENSIONS if d.size])
def test_a_distribution_has_the_dimensions_values(dimension: Dimension) -> None:
    size = dimension.size
    assert size is not None
    values = (
        [dimension.at((i + 0.5) / size) for i in range(size)]
        if not isinstance(dimension, IntLog)
        else [4, 9, 64]
    )
    told = distribution(dimension)
    assert all(told._contains(told.to_internal_repr(value)) for value in values)
    if isinstance(told, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution):
        assert told.high == values[-1] and told.low == values[0]
