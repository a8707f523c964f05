"""The benchmark's contenders: what they propose, what is reported to them, which trials they stop."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from tests.bench import foreign
from tests.bench.contender import Contender, best_of, configurations
from tests.bench.cube import cube_of
from tests.bench.halving import FirstObjective, Scalarised
from tests.bench.lineup import LIMITS
from tests.bench.problems import Problem, fidelity_problems, full_problems

HPO = full_problems()[-1]
CURVED = fidelity_problems()[0]
FACTORIES = {**foreign.samplers(), **foreign.halvings()}


def run(problem: Problem, contender: Contender, trials: int, parallel: int = 4) -> dict[int, dict[str, Any]]:
    """Trials in waves of ``parallel``, each reported level by level; returns all proposals."""
    proposals: dict[int, dict[str, Any]] = {}
    while len(proposals) < trials:
        wave = [proposal for _ in range(parallel) if (proposal := contender.ask())]
        proposals.update(wave)
        for trial, params in reversed(wave):
            for step in problem.levels:
                if contender.report(trial, step, problem.measure(params, step, 0)) != "go":
                    break
    return proposals


@pytest.mark.parametrize("name", [name for name in FACTORIES if name not in LIMITS])
def test_a_contender_proposes_points_of_the_space_the_same_for_the_same_seed(name: str) -> None:
    problem = CURVED if name in foreign.halvings() else HPO
    contender = FACTORIES[name](problem, 3)
    proposals = run(problem, contender, 24)
    assert list(proposals) == list(range(24)) and len(contender.seconds) == 24
    assert contender.resume() is None
    for params in proposals.values():
        assert all(dimension.holds(params[dimension.name]) for dimension in problem.search)
        assert set(params) == {dimension.name for dimension in problem.search}
        problem.measure(params, 1, 0)
    assert run(problem, FACTORIES[name](problem, 3), 24) == proposals
    assert run(problem, FACTORIES[name](problem, 4), 24) != proposals


def test_global_random_numbers_do_not_reach_a_contender() -> None:
    first = [run(CURVED, make(CURVED, 1), 12) for make in foreign.halvings().values()]
    np.random.seed(99)
    assert [run(CURVED, make(CURVED, 1), 12) for make in foreign.halvings().values()] == first


def test_optuna_has_running_trials_and_receives_the_point_that_dominates_most() -> None:
    contender = foreign.Optuna(HPO, optuna.samplers.RandomSampler(seed=0))
    proposals = [contender.ask() for _ in range(3)]
    assert None not in proposals
    values = np.array([[1.0, 0.1, -20.0], [0.5, 0.1, -20.0], [0.5, 0.15, -19.0]])
    assert contender.report(1, 1, values) == "go"
    trials = contender._study.trials
    assert [trial.state for trial in trials] == [TrialState.RUNNING, TrialState.COMPLETE, TrialState.RUNNING]
    assert trials[1].values == values[1].tolist()


def test_rays_search_proposes_what_optunas_tpe_does_by_itself() -> None:
    ours, theirs = FACTORIES["Optuna TPE"](HPO, 5), FACTORIES["Ray OptunaSearch"](HPO, 5)
    assert run(HPO, ours, 30) == run(HPO, theirs, 30)


def test_the_best_point_dominates_most_by_itself() -> None:
    points = np.array([[0.9, 0.1], [0.5, 0.5], [2.0, -9.0]])
    np.testing.assert_array_equal(best_of(points, (1.0, 1.0)), [0.5, 0.5])


def test_configurations_are_uniform_and_common_and_a_pool_ends() -> None:
    ours, theirs = configurations(HPO, 7), configurations(HPO, 7)
    points = [next(ours) for _ in range(400)]
    assert points == [next(theirs) for _ in range(400)]
    cubes = np.array([cube_of(HPO.search, params) for params in points])
    np.testing.assert_allclose(cubes.mean(axis=0), 0.5, atol=4 / np.sqrt(12 * 400))

    class Pool:
        pool = tuple({"x": i} for i in range(9))

    orders = [[params["x"] for params in configurations(Pool(), seed)] for seed in (0, 1)]  # type: ignore[arg-type]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(9)) and orders[0] != orders[1]


def test_halving_on_one_objective_stops_as_rays_asha_does() -> None:
    from ray.tune.schedulers.async_hyperband import _Bracket
    from ray.tune.schedulers.trial_scheduler import TrialScheduler

    class Trial:
        def __init__(self, number: int) -> None:
            self.trial_id = str(number)

    ours, rays = FirstObjective(CURVED, 0), _Bracket(1, 27, 3, 0, stop_last_trials=True)
    rng, stopped = np.random.default_rng(0), 0
    for number in range(200):
        for step in CURVED.levels[:-1]:
            values = rng.random((rng.integers(1, 4), 3))
            theirs = rays.on_result(Trial(number), step, -values[:, 0].min())
            decision = ours.report(number, step, values)
            assert (decision == "stop") == (theirs == TrialScheduler.STOP)
            if decision == "stop":
                stopped += 1
                break
    assert 100 < stopped < 200
    assert ours.report(999, CURVED.levels[-1], np.full((1, 3), 9.0)) == "go"  # the last level is the end


def test_halving_on_the_sum_does_not_depend_on_units() -> None:
    rng = np.random.default_rng(1)
    plain, scaled = Scalarised(CURVED, 0), Scalarised(CURVED, 0)
    decisions = []
    for number in range(60):
        values = rng.random((2, 3))
        decisions.append(plain.report(number, 1, values))
        assert scaled.report(number, 1, values * [1000, 1e-3, 1] + [5, 0, -7]) == decisions[-1]
    assert decisions[0] == "go" and 10 < decisions.count("go") < 35
    assert plain.report(60, 1, np.zeros((1, 3))) == "go"
    assert plain.report(61, 1, np.ones((1, 3))) == "stop"


def test_without_stopping_every_configuration_is_trained_to_its_end() -> None:
    contender, common = foreign.halvings()["no stopping"](CURVED, 2), configurations(CURVED, 2)
    proposals = run(CURVED, contender, 8)
    assert list(proposals.values()) == [next(common) for _ in range(8)]
    assert {contender.report(0, step, np.full((1, 3), 9.0)) for step in CURVED.levels} == {"go"}


def test_missing_libraries_are_named() -> None:
    lines = foreign.missing()
    assert len(lines) == sum(not find_spec(library) for library in ("greenlet", "syne_tune", "botorch"))
    assert all("make bench-search" in line for line in lines)


@pytest.mark.skipif(not find_spec("syne_tune"), reason="Syne Tune is installed by make bench-search alone")
def test_corrected_moasha_ranks_where_the_released_one_lists_indices() -> None:
    from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import NonDominatedPriority

    from tests.bench.syne import MendedPriority

    values = np.array([[4.0, 4.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert MendedPriority()(values).tolist() == [3, 0, 1, 2]
    assert NonDominatedPriority()(values).tolist() == [1, 2, 3, 0]  # HPO.md section 4


@pytest.mark.skipif(not find_spec("syne_tune"), reason="Syne Tune is installed by make bench-search alone")
def test_moasha_has_a_rung_at_every_level_but_the_last() -> None:
    for make in (factory for name, factory in foreign.halvings().items() if name.startswith("Syne")):
        contender = make(CURVED, 0)
        run(CURVED, contender, 60)
        filled = {time: len(seen) for time, seen in contender._scheduler.brackets[0].rungs}  # type: ignore[attr-defined]
        assert filled[1] == 60 > filled[3] > filled[9] > 0
