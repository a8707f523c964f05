"""Searches with Gaussian processes: the space's rules, early rungs, constraints, failures, gain."""

from collections.abc import Callable, Sequence
from functools import cache
from platform.pareto.dominance import hypervolume
from platform.samplers.base import Sampler
from platform.samplers.designs import Sobol
from platform.samplers.gp import GaussianProcessSampler, Model, mutated
from platform.study.dimensions import Choice, Dimension, Int, Log, Uniform, active
from platform.study.observation import Observation, Params, Rung, SearchSpace, State
from platform.surrogate.acquisition import DIRECTIONS, HypervolumeImprovement
from platform.surrogate.gaussian_process import Kernel, condition
from typing import Any

import numpy as np
import pytest

SQUARE = (Uniform("x", 0.0, 1.0), Uniform("y", 0.0, 1.0))
MIXED: tuple[Dimension, ...] = (
    Choice("method", ("cut", "unsb", "asp")),
    Log("rate", 1e-4, 1.0),
    Int("layers", 2, 8, step=2),
    Uniform("tau", 0.1, 0.3, when={"method": ("unsb",)}),
    Choice("norm", ("none", "batch"), when={"method": ("cut", "asp")}),
)
Array = np.ndarray[Any, np.dtype[np.float64]]
Observe = Callable[[Params], Observation]


def space(dimensions: tuple[Dimension, ...] = SQUARE, seed: int = 0, **changes: Any) -> SearchSpace:
    return SearchSpace(dimensions, (1.0, 1.0), 40, seed, **changes)


def bowls(params: Params) -> tuple[float, float]:
    """A front on the line from (0.2, 0.6) to (0.5, 0.6)."""
    x, y = float(params["x"]), float(params["y"])
    return 2 * ((x - 0.2) ** 2 + (y - 0.6) ** 2), 2 * ((x - 0.5) ** 2 + (y - 0.6) ** 2)


def observed(
    params: Params,
    values: Sequence[float],
    *violations: float,
    state: State = "completed",
    share: float = 1.0,
) -> Observation:
    return Observation(params, state, (Rung(share, tuple(values), violations),))


def completed(params: Params) -> Observation:
    return observed(params, bowls(params))


def search(
    sampler: Sampler, count: int, observe: Observe = completed, before: Sequence[Observation] = ()
) -> list[Observation]:
    """Proposals one at a time, each observed before the next; returns all trials."""
    trials = list(before)
    while len(trials) < count:
        trials.append(observe((sampler.propose(trials) or pytest.fail("no proposal")).params))
    return trials


@cache
def unconstrained() -> list[Observation]:
    return search(GaussianProcessSampler(space()), 36)


def random_points(count: int) -> list[Params]:
    return [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(0).random((count, 2))]


def plane(trials: Sequence[Observation]) -> Array:
    return np.array([[o.params["x"], o.params["y"]] for o in trials])


def front_distance(trials: Sequence[Observation]) -> Array:
    """How far from the front of :func:`bowls` each trial's parameters are."""
    x, y = plane(trials).T
    return np.asarray(np.hypot(x - np.clip(x, 0.2, 0.5), y - 0.6))


def test_the_same_observations_give_the_same_proposal() -> None:
    for count in (0, 9, 10, 18, 19):
        before, expected = unconstrained()[:count], unconstrained()[count].params
        again, other = (GaussianProcessSampler(space(seed=seed)).propose(before) for seed in (0, 1))
        assert again is not None and again.params == expected
        assert other is not None and other.params != expected


@pytest.mark.parametrize("seed", range(2))
def test_proposals_are_of_the_space_and_reach_its_best_branch(seed: int) -> None:
    """UNSB at tau = 0.2, rate from 1e-3 to 1e-2."""

    def observe(params: Params) -> Observation:
        rate = (np.log10(params["rate"]) + 4) / 4
        off = {"cut": 0.5, "unsb": 30 * (params.get("tau", 0) - 0.2) ** 2, "asp": 0.3}[params["method"]]
        return observed(params, ((rate - 0.25) ** 2 + off + 0.02 * params["layers"], (rate - 0.5) ** 2 + off))

    trials = search(GaussianProcessSampler(space(MIXED, seed)), 30, observe)
    for o in trials:
        dimensions = active(MIXED, o.params)
        assert list(o.params) == [dimension.name for dimension in dimensions]
        assert all(dimension.holds(o.params[dimension.name]) for dimension in dimensions), o.params
    assert np.mean([o.params["method"] == "unsb" for o in trials[-12:]]) > 0.7


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_refused_points_are_never_proposed(share: float) -> None:
    """Also where the space accepts a twentieth of the cube, far from the unconstrained front."""
    refusing = space(refusal=lambda p: "" if p["x"] > 1 - share else "no")
    points = plane(search(GaussianProcessSampler(refusing), 30))
    assert np.all(points[:, 0] > 1 - share)
    assert np.median(np.abs(points[-10:, 1] - 0.6)) < 0.1
    nothing = GaussianProcessSampler(space(refusal=lambda p: "no"))
    assert nothing.propose([]) is None is nothing.propose(unconstrained()[:12])


@pytest.mark.parametrize("state", ["running", "completed"])
def test_running_and_known_points_are_avoided(state: State) -> None:
    """16 at once, no two alike, not all of one place: the front is .3 long, even points' median is .09."""
    before = [completed(params) for params in random_points(15)]
    observe = completed if state == "completed" else lambda params: Observation(params, state)
    added = plane(search(GaussianProcessSampler(space()), 31, observe, before))[15:]
    distances = np.linalg.norm(added[:, None] - added[None], axis=2)[np.triu_indices(16, 1)]
    assert distances.min() > 1e-4 and np.median(distances) > 0.05


def test_a_point_of_a_discrete_space_is_not_proposed_twice_while_it_runs() -> None:
    """36 combinations; the best is known to be good, and is running."""

    def grid(params: Params) -> Observation:
        x, y = abs(params["x"] - 3), abs(params["y"] - 2)
        return observed(params, (0.1 * x + 0.05 * y, 0.1 * y + 0.1))

    before = [grid({"x": x, "y": y}) for x in (0, 2, 4, 5) for y in (0, 1, 4)]
    sampler = GaussianProcessSampler(space((Int("x", 0, 5), Int("y", 0, 5))))
    trials = search(sampler, 20, lambda params: Observation(params, "running"), before)
    assert len({tuple(o.params.items()) for o in trials}) == 20


@pytest.mark.parametrize("state", ["paused", "running"])
def test_early_rungs_inform_before_any_trial_completes(state: State) -> None:
    """After a tenth of the training; values of the end are never observed."""

    def observe(params: Params) -> Observation:
        return observed(params, [value + 0.1 for value in bowls(params)], state=state, share=0.1)

    trials = search(GaussianProcessSampler(space()), 30, observe)
    assert np.median(front_distance(trials[15:])) < 0.06
    assert np.median(front_distance(trials[:10])) > 0.15


def test_where_all_trials_are_paused_or_failed_there_is_a_proposal() -> None:
    states: list[State] = ["paused"] * 12 + ["failed"] * 3
    points = random_points(15)
    trials = [observed(p, bowls(p), 0.1, state=s, share=0.1) for p, s in zip(points, states, strict=True)]
    proposal = GaussianProcessSampler(space()).propose(trials)
    assert proposal is not None and all(0 <= value <= 1 for value in proposal.params.values())
    failed = [Observation(params, "failed") for params in points]
    first = GaussianProcessSampler(space()).propose(failed)
    assert first is not None and first == Sobol(space()).propose(failed)


def test_outcome_constraints_are_satisfied() -> None:
    """X >= 0.35 excludes half of the front."""

    def observe(params: Params) -> Observation:
        return observed(params, bowls(params), 0.35 - params["x"], params["y"] - 0.9)

    late = search(GaussianProcessSampler(space()), 36, observe)[14:]
    assert np.mean([o.last.feasible for o in late if o.last]) > 0.75
    assert np.median(front_distance(late)) < 0.06
    assert np.mean(plane(unconstrained())[14:, 0] >= 0.35) < 0.65


@pytest.mark.parametrize("scale", [1.0, 4.0, 20.0])
def test_a_constraint_that_all_trials_violate_by_far_is_approached(scale: float) -> None:
    """Satisfied near one point only; violated by up to twenty times its size elsewhere."""

    def observe(params: Params) -> Observation:
        distance = float(np.hypot(params["x"] - 0.3, params["y"] - 0.6))
        return observed(params, bowls(params), scale * (distance - 0.08))

    trials = search(GaussianProcessSampler(space()), 24, observe)
    assert sum(o.rungs[0].feasible for o in trials) >= 8


def test_the_acquisition_still_orders_points_of_almost_no_probability_of_feasibility() -> None:
    """Probabilities below the smallest number."""
    inputs, kernel = np.linspace(0, 1, 12)[:, None], Kernel(np.array([1.0]), 0.5, 0.01)
    good, far = (condition(inputs, y[:, 0], kernel, 0.0, 1.0) for y in (inputs, 500 - 400 * inputs))
    improvement = HypervolumeImprovement.draw(np.zeros(1), np.ones(1), np.random.default_rng(0))
    points = np.array([[0.2], [0.5], [0.8]])
    values = Model([good], [far], improvement).log_acquisition(points, np.zeros(DIRECTIONS))
    assert np.all(np.exp(values) == 0) and values[0] < values[1] < values[2]


def test_failures_are_avoided() -> None:
    """All trials with y > 0.5 fail, those of the whole front among them."""

    def observe(params: Params) -> Observation:
        return Observation(params, "failed") if params["y"] > 0.5 else completed(params)

    trials = [search(sampler(space()), 36, observe) for sampler in (Sobol, GaussianProcessSampler)]
    sobol, ours = (np.mean([o.state == "failed" for o in late[16:]]) for late in trials)
    assert ours < 0.7 * sobol


def test_a_search_that_starts_beyond_the_reference_point_comes_within_it() -> None:
    def observe(params: Params) -> Observation:
        return observed(params, [value + 0.93 for value in bowls(params)])

    sobol, ours = (
        sum(max(o.rungs[0].values) < 1 for n in range(3) for o in search(sampler(space(seed=n)), 30, observe))
        for sampler in (Sobol, GaussianProcessSampler)
    )
    assert ours > 5 * max(1, sobol)


def test_it_beats_sobol_clearly_on_a_smooth_problem_in_40_trials() -> None:
    """Six inputs, two objectives."""
    cube = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(6))

    def observe(params: Params) -> Observation:
        values = np.array([*params.values()], dtype=float)
        off = ((values[1:] - 0.4) ** 2).sum()
        return observed(params, (float(values[0] ** 2 + off), float((values[0] - 1) ** 2 + off)))

    def volume(sampler: Callable[[SearchSpace], Sampler], seed: int) -> float:
        trials = search(sampler(space(cube, seed)), 40, observe)
        return hypervolume([o.rungs[0].values for o in trials], (1.0, 1.0))

    most = 5 / 6  # under the front sqrt(f1) + sqrt(f2) = 1
    ours = [volume(GaussianProcessSampler, seed) for seed in range(2)]
    assert min(ours) > 0.85 * most > 0.7 * most > max(volume(Sobol, seed) for seed in range(2))


def test_mutations_are_normal_steps_in_some_coordinates_within_the_cube() -> None:
    children = mutated(np.full((3, 20), 0.5), 400, 0.05, np.random.default_rng(0))
    assert children.shape == (1200, 20)
    moved = children != 0.5
    assert moved.any(1).all() and 0.2 < moved.mean() < 0.35
    assert (children - 0.5)[moved].std() == pytest.approx(0.05, rel=0.05)
    edge = mutated(np.zeros((1, 4)), 200, 0.3, np.random.default_rng(0))
    assert edge.min() == 0 and edge.max() <= 1
