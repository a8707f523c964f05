"""TrialEncoder and GaussianProcessSampler search: inputs, proposals by the rules, early rungs, constraints, failures, gain."""

from collections.abc import Callable, Sequence
from platform.pareto.dominance import hypervolume
from platform.samplers.designs import Sobol
from platform.samplers.gp import GaussianProcessSampler, Model, mutated
from platform.study.dimensions import Choice, Dimension, Int, Log, Uniform, active
from platform.study.observation import Observation, Params, Rung, Sampler, SearchSpace, State
from platform.surrogate import acquisition, gaussian_process
from platform.surrogate.encoding import BEYOND, LARGEST, TrialEncoder, capped, drawn, fitted, predicted

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
Function = Callable[[Params], tuple[float, ...]]


def space(
    dimensions: tuple[Dimension, ...] = SQUARE, seed: int = 0, trials: int = 40, **changes: object
) -> SearchSpace:
    return SearchSpace(dimensions, (1.0, 1.0), trials, seed, **changes)  # type: ignore[arg-type]


def bowls(params: Params) -> tuple[float, float]:
    """A front on the line from (0.2, 0.6) to (0.5, 0.6)."""
    x, y = float(params["x"]), float(params["y"])
    return 2 * ((x - 0.2) ** 2 + (y - 0.6) ** 2), 2 * ((x - 0.5) ** 2 + (y - 0.6) ** 2)


def mixed(params: Params) -> tuple[float, float]:
    """Best: UNSB at tau = 0.2, rate from 1e-3 to 1e-2."""
    rate = (np.log10(params["rate"]) + 4) / 4
    off = {"cut": 0.5, "unsb": 30 * (params.get("tau", 0) - 0.2) ** 2, "asp": 0.3}[params["method"]]
    return (rate - 0.25) ** 2 + off + 0.02 * params["layers"], (rate - 0.5) ** 2 + off


def completed(params: Params, function: Function = bowls) -> Observation:
    return Observation(params, "completed", (Rung(1.0, function(params)),))


def search(proposer: Sampler, count: int, function: Function) -> list[Observation]:
    """One at a time, every trial trained to its end."""
    seen: list[Observation] = []
    while len(seen) < count:
        point = proposer.propose(seen)
        assert point is not None
        seen.append(completed(point.params, function))
    return seen


def random_points(count: int, seed: int = 0) -> list[Params]:
    return [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(seed).random((count, 2))]


def plane(seen: Sequence[Observation]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[o.params["x"], o.params["y"]] for o in seen])


def front_distance(seen: Sequence[Observation]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How far from the front of :func:`bowls` each trial's parameters are."""
    x, y = plane(seen).T
    return np.asarray(np.hypot(x - np.clip(x, 0.2, 0.5), y - 0.6))


def test_inputs_are_share_one_hot_choices_and_unit_values_inactive_ones_in_the_middle() -> None:
    learner = TrialEncoder(space(MIXED))
    rows = learner.inputs(
        [
            ({"method": "unsb", "rate": 1e-4, "layers": 8, "tau": 0.15}, 1.0),
            ({"method": "cut", "rate": 0.01, "layers": 2, "norm": "batch"}, float(np.exp(-4))),
        ]
    )
    expected = [
        [1, 0, 1, 0, 0.0, 7 / 8, 0.25, 0, 0],
        [0, 1, 0, 0, 0.5, 1 / 8, 0.5, 0, 1],
    ]
    np.testing.assert_allclose(rows, expected, atol=1e-12)
    assert learner.inputs([]).shape == (0, 9)


def test_data_are_all_rungs_and_a_failure_at_its_worst() -> None:
    """9.0 is 8 / 0.6 of the way from the best value, 0.4, to the corner, 1.0, beyond the corner."""
    ways = 8 / 0.6
    far = 1.0 + 0.6 * ways / (1 + ways / BEYOND)
    seen = [
        Observation(
            {"x": 0.1, "y": 0.2}, "completed", (Rung(0.5, (0.5, 9.0), (-1.0,)), Rung(1.0, (0.2, 0.4), (2.0,)))
        ),
        Observation({"x": 0.3, "y": 0.4}, "failed"),
        Observation({"x": 0.5, "y": 0.6}, "running"),
    ]
    data = TrialEncoder(space()).data(seen)
    np.testing.assert_allclose(data.inputs[:, 1:], [[0.1, 0.2], [0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(data.objectives, [[0.5, far], [0.2, 0.4], [1.0, far]])
    np.testing.assert_allclose(data.violations, [[-1.0], [2.0], [2.0]])


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_beyond_the_corner_order_is_kept_and_nothing_is_far(offset: float) -> None:
    rng = np.random.default_rng(0)
    values = np.vstack([rng.random((50, 2)) * [2.0, 1e4], [0.0, 0.2]]) + offset
    found = drawn(values, np.array([1.0, 1.0]))
    assert np.array_equal(np.argsort(found, axis=0), np.argsort(values, axis=0))
    inside = values <= max(1.0, offset)
    assert np.array_equal(found[inside], values[inside])
    if not offset:
        assert np.all(found <= 1 + BEYOND * (1 - values.min(0)))
        slight = np.array([[0.0, 0.0], [1.0 + 1e-6, 0.5]])
        np.testing.assert_allclose(drawn(slight, np.ones(2)), slight, atol=1e-11)  # no jump at the corner


def test_where_nothing_is_better_than_the_corner_the_better_half_still_differs() -> None:
    """A translator's PSNR may be below the untouched input's everywhere at first; best 2, median 4."""
    values = [3.0, 2.0, 50.0, 4.0, 90.0]
    seen = [
        Observation({"x": 0.1, "y": 0.1 * i}, "paused", (Rung(0.1, (v, 0.5)),)) for i, v in enumerate(values)
    ]
    ways = np.array([0.5, 0.0, 24.0, 1.0, 44.0])
    found = TrialEncoder(space()).data(seen).objectives[:, 0]
    np.testing.assert_allclose(found, 2 + 2 * ways / (1 + ways / BEYOND))


def test_a_search_that_begins_beyond_the_corner_comes_within() -> None:
    def hidden(params: Params) -> tuple[float, float]:
        return tuple(float(v) + 0.93 for v in bowls(params))  # type: ignore[return-value]

    counts = [
        sum(max(o.last.values) < 1 for o in search(kind(space(seed=seed)), 40, hidden) if o.last)
        for kind in (Sobol, GaussianProcessSampler)
        for seed in range(3)
    ]
    assert sum(counts[3:]) > 5 * max(1, sum(counts[:3])), counts


def test_only_the_newest_rungs_are_learned_from() -> None:
    rungs = tuple(Rung((k + 1) / 300, (0.5, k / 1000)) for k in range(300))
    seen = [Observation({"x": 0.1 * i, "y": 0.5}, "completed", rungs) for i in range(3)]
    data = TrialEncoder(space()).data(seen)
    assert data.inputs.shape == (LARGEST, 3)
    assert set(np.round(data.inputs[:, 1], 6)) == {0.0, 0.1, 0.2}
    assert data.inputs[:, 0].tolist().count(1.0) == 3, "ends of training, the oldest trial's too"
    assert set(np.round(data.inputs[data.inputs[:, 0] < 1, 1], 6)) == {0.1, 0.2}


def test_one_bound_broken_by_far_does_not_drown_the_others() -> None:
    """Where x < 0.5 it is broken, in one corner by ten thousand times more than anywhere else."""
    spots, seen = random_points(40), []
    for params in spots:
        broken = 0.5 - params["x"] if params["x"] + params["y"] > 0.3 else 1e4
        seen.append(Observation(params, "completed", (Rung(1.0, bowls(params), (broken,)),)))
    assert max(o.rungs[0].violations[0] for o in seen) == 1e4
    learner = TrialEncoder(space())
    data = learner.data(seen)
    new = [params for params in random_points(300, seed=1) if abs(params["x"] - 0.5) > 0.02]
    inputs = learner.inputs([(params, 1.0) for params in new])
    means, _ = predicted(fitted(data.inputs, data.violations), inputs)
    assert np.mean((means[:, 0] > 0) == [params["x"] < 0.5 for params in new]) > 0.95


@pytest.mark.parametrize("scale", [1.0, 4.0, 20.0])
def test_a_bound_that_all_break_by_far_is_approached(scale: float) -> None:
    """Kept near one point alone; elsewhere broken by up to twenty times its size."""
    seen: list[Observation] = []
    proposer = GaussianProcessSampler(space())
    while len(seen) < 24:
        point = proposer.propose(seen)
        assert point is not None
        off = float(np.hypot(point.params["x"] - 0.3, point.params["y"] - 0.6))
        broken = (scale * (off - 0.08),)
        seen.append(Observation(point.params, "completed", (Rung(1.0, bowls(point.params), broken),)))
    assert sum(o.rungs[0].feasible for o in seen) >= 8


def test_violations_are_cut_where_they_are_unusual() -> None:
    """At three times the median of those that break the bound, and no closer than 1 to it."""
    column = np.array([-9.0, -0.5, 0.0, 0.1, 2.0, 4.0, 6.0, 1e6])
    cut = 3 * 4.0
    expected = [-9.0, -0.5, 0.0, 0.1, 2.0, 4.0, 6.0, cut]
    small = column / 100
    found = capped(np.stack([column, small, -np.abs(column)], axis=1))
    np.testing.assert_allclose(found[:, 0], expected)
    np.testing.assert_allclose(found[:, 1], np.clip(small, -1, 1))
    np.testing.assert_allclose(found[:, 2], np.clip(-np.abs(column), -1, 1))
    assert capped(np.empty((3, 0))).shape == (3, 0)


def test_where_feasibility_is_all_but_excluded_the_less_unlikely_point_is_worth_more() -> None:
    """Probabilities far below the smallest number still have an order."""
    inputs, kernel = np.linspace(0, 1, 12)[:, None], gaussian_process.Kernel(np.array([1.0]), 0.5, 0.01)
    good, far = (
        gaussian_process.condition(inputs, outputs[:, 0], kernel, 0.0, 1.0)
        for outputs in (inputs, 500 - 400 * inputs)
    )
    gauge = acquisition.HypervolumeImprovement.draw(np.zeros(1), np.ones(1), np.random.default_rng(0))
    spots = np.array([[0.2], [0.5], [0.8]])
    worth = Model([good], [far], gauge).worth(spots, np.zeros(acquisition.DIRECTIONS))
    assert np.all(np.exp(worth) == 0) and worth[0] < worth[1] < worth[2]


@pytest.mark.parametrize("seed", range(2))
def test_proposals_are_of_the_space_and_reach_its_best_branch(seed: int) -> None:
    seen = search(GaussianProcessSampler(space(MIXED, seed)), 36, mixed)
    for o in seen:
        dimensions = active(MIXED, o.params)
        assert list(o.params) == [dimension.name for dimension in dimensions]
        assert all(dimension.holds(o.params[dimension.name]) for dimension in dimensions), o.params
    assert np.mean([o.params["method"] == "unsb" for o in seen[-12:]]) > 0.7


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_what_the_space_refuses_is_never_proposed(share: float) -> None:
    """Also where it takes a twentieth of the cube, far from the unconstrained front."""
    taken = space(refusal=lambda p: "" if p["x"] > 1 - share else "no")
    seen = search(GaussianProcessSampler(taken), 30, bowls)
    assert all(o.params["x"] > 1 - share for o in seen)
    assert np.median(np.abs(plane(seen)[-10:, 1] - 0.6)) < 0.1


def test_a_space_that_takes_nothing_has_no_proposal() -> None:
    seen = [completed(params) for params in random_points(12)]
    refused = space(refusal=lambda p: "no")
    assert (
        GaussianProcessSampler(refused).propose([]) is None
        and GaussianProcessSampler(refused).propose(seen) is None
    )


def test_the_same_observations_give_the_same_proposal() -> None:
    seen = search(GaussianProcessSampler(space()), 20, bowls)
    for count in (0, 9, 10, 18, 19):
        again = GaussianProcessSampler(space()).propose(seen[:count])
        assert again is not None and again.params == seen[count].params
        other = GaussianProcessSampler(space(seed=1)).propose(seen[:count])
        assert other is not None and other.params != again.params


@pytest.mark.parametrize("state", ["running", "completed"])
def test_points_under_way_and_known_ones_are_avoided(state: State) -> None:
    """16 at once, no two alike, not all of one place: the front is .3 long, even points' median is .09."""
    seen = [completed(params) for params in random_points(15)]
    proposer = GaussianProcessSampler(space())
    for _ in range(16):
        point = proposer.propose(seen)
        assert point is not None
        seen.append(completed(point.params) if state == "completed" else Observation(point.params, state))
    added = plane(seen)[15:]
    distances = np.linalg.norm(added[:, None] - added[None], axis=2)[np.triu_indices(16, 1)]
    assert distances.min() > 1e-4
    assert np.median(distances) > 0.05


def test_a_discrete_space_is_not_proposed_twice_while_a_trial_runs() -> None:
    """36 combinations; the best is known to be good, and is running."""
    grid = (Int("x", 0, 5), Int("y", 0, 5))

    def value(params: Params) -> tuple[float, float]:
        return 0.1 * abs(params["x"] - 3) + 0.05 * abs(params["y"] - 2), 0.1 * abs(params["y"] - 2) + 0.1

    seen = [completed({"x": x, "y": y}, value) for x in (0, 2, 4, 5) for y in (0, 1, 4)]
    proposer = GaussianProcessSampler(space(grid))
    for _ in range(8):
        point = proposer.propose(seen)
        assert point is not None
        assert point.params not in [o.params for o in seen]
        seen.append(Observation(point.params, "running"))


@pytest.mark.parametrize("state", ["paused", "running"])
def test_early_rungs_teach_before_anything_is_completed(state: State) -> None:
    """A tenth of the training tells everything; the values of the end were never seen."""
    seen: list[Observation] = []
    proposer = GaussianProcessSampler(space())
    while len(seen) < 30:
        point = proposer.propose(seen)
        assert point is not None
        early = tuple(value + 0.1 for value in bowls(point.params))
        seen.append(Observation(point.params, state, (Rung(0.1, early),)))
    assert np.median(front_distance(seen[15:])) < 0.06
    assert np.median(front_distance(seen[:10])) > 0.15


def test_where_everything_waits_or_has_failed_there_is_a_proposal() -> None:
    states: list[State] = ["paused"] * 12 + ["failed"] * 3
    seen = [
        Observation(params, state, (Rung(0.1, bowls(params), (0.1,)),))
        for params, state in zip(random_points(15), states, strict=True)
    ]
    point = GaussianProcessSampler(space()).propose(seen)
    assert point is not None and all(0 <= value <= 1 for value in point.params.values())
    failed = [Observation(params, "failed") for params in random_points(15)]
    first = GaussianProcessSampler(space()).propose(failed)
    assert first is not None and first == Sobol(space()).propose(failed)


def test_outcome_constraints_are_kept() -> None:
    """Wanted is x >= 0.35: it takes half of the front away."""
    seen: list[Observation] = []
    proposer = GaussianProcessSampler(space())
    while len(seen) < 36:
        point = proposer.propose(seen)
        assert point is not None
        broken = (0.35 - float(point.params["x"]), float(point.params["y"]) - 0.9)
        seen.append(Observation(point.params, "completed", (Rung(1.0, bowls(point.params), broken),)))
    late = seen[14:]
    assert np.mean([o.last.feasible for o in late if o.last]) > 0.75
    assert np.median(front_distance(late)) < 0.06
    free = search(GaussianProcessSampler(space()), 36, bowls)
    assert np.mean(plane(free)[14:, 0] >= 0.35) < 0.65


def test_failures_are_kept_away_from() -> None:
    """Everything with y > 0.5 fails, the whole front among it."""
    shares = []
    for kind in (Sobol, GaussianProcessSampler):
        seen: list[Observation] = []
        while len(seen) < 36:
            point = kind(space()).propose(seen)
            assert point is not None
            failed = point.params["y"] > 0.5
            seen.append(Observation(point.params, "failed") if failed else completed(point.params))
        shares.append(np.mean([o.state == "failed" for o in seen[16:]]))
    assert shares[1] < 0.7 * shares[0], shares


def test_it_beats_sobol_clearly_on_a_smooth_problem_in_40_trials() -> None:
    """Six inputs, two objectives."""
    cube = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(6))

    def smooth(params: Params) -> tuple[float, float]:
        values = np.array([*params.values()], dtype=float)
        off = 1.0 * ((values[1:] - 0.4) ** 2).sum()
        return float(values[0] ** 2 + off), float((values[0] - 1) ** 2 + off)

    volumes = []
    for kind in (Sobol, GaussianProcessSampler):
        for seed in range(2):
            seen = search(kind(space(cube, seed)), 40, smooth)
            volumes.append(hypervolume(np.array([o.last.values for o in seen if o.last]), (1.0, 1.0)))
    most = 5 / 6  # under the front sqrt(f1) + sqrt(f2) = 1
    assert min(volumes[2:]) > 0.85 * most > 0.7 * most > max(volumes[:2]), volumes


def test_mutations_are_normal_steps_in_some_coordinates_within_the_cube() -> None:
    parents = np.full((3, 20), 0.5)
    children = mutated(parents, 400, 0.05, np.random.default_rng(0))
    assert children.shape == (1200, 20)
    moved = children != 0.5
    assert moved.any(1).all() and 0.2 < moved.mean() < 0.35
    assert (children - 0.5)[moved].std() == pytest.approx(0.05, rel=0.05)
    edge = mutated(np.zeros((1, 4)), 200, 0.3, np.random.default_rng(0))
    assert edge.min() == 0 and edge.max() <= 1
