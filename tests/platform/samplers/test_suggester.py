"""TuneSearcher: start points, infeasible corners, what is known; made ahead in a thread, anew after results."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from platform.orchestration.orchestrator import Orchestrator
from platform.samplers import suggester
from platform.samplers.designs import Grid, Random, Sobol
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.samplers.suggester import MANY_TRIALS, Sampler, make_sampler, refusal, results
from platform.spaces.sections import SAMPLERS
from platform.storage.layout import Storage
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, Uniform
from platform.study.observation import Observation, Point, Rung, Sampler, SearchSpace
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest

from tests.platform.world import World
from trainers.errors import InputError

MakeStudy = Callable[..., Study]
Points = tuple[dict[str, Any], ...]
REFERENCE = [10.0, 0.0]
LINE = (Uniform("edge", 0.0, 0.4), Uniform("limit", 0.5, 0.6))


def completed(point: Point, *values: float) -> Observation:
    return Observation(point.params, "completed", (Rung(1.0, values),), point.memory)


def conflict(point: Point) -> Observation:
    """The first objective is best at edge 0, the second at edge 0.4."""
    edge = point.params["edge"]
    return completed(point, 9 * edge, -1 + (0.4 - edge))


def proposed(found: Sampler, count: int) -> list[Point]:
    """TuneSearcher, each with its result before the next."""
    seen: dict[int, Observation] = {}
    points = []
    for number in range(count):
        point = found.propose(seen)
        assert point is not None
        points.append(point)
        seen[number] = conflict(point)
    return points


def test_start_points_come_first_and_in_order(toy: MakeStudy, start_points: Points) -> None:
    found = Sampler(toy(start=start_points), REFERENCE)
    points = [point.params for point in proposed(found, 5)]
    assert tuple(points[:3]) == start_points
    assert not [point for point in points[3:] if point in start_points]


@pytest.mark.parametrize("kind", ["random", "sobol", "tpe", "nsga3", "gp"])
def test_proposals_follow_from_what_was_seen_alone(toy: MakeStudy, start_points: Points, kind: str) -> None:
    """Another sampler at every step, as after as many kills, makes the same proposals."""
    study = toy(sampler=kind, start=start_points[:1], budget=Budget(trials=8))
    whole = proposed(Sampler(study, REFERENCE), 6)
    seen: dict[int, Observation] = {}
    for number, point in enumerate(whole):
        assert Sampler(study, REFERENCE).propose(seen) == point
        seen[number] = conflict(point)


@pytest.mark.parametrize("kind", [kind for kind in SAMPLERS if kind != "grid"])
def test_no_proposal_is_refused_or_outside_its_domain(toy: MakeStudy, kind: str) -> None:
    study = toy(sampler=kind, budget=Budget(trials=8))
    for point in proposed(Sampler(study, REFERENCE), 7):
        assert list(point.params) == [dimension.name for dimension in study.search]
        assert refusal(study, point.params) == "" and point.params["edge"] < 0.5
        for dimension in study.search:
            value = point.params[dimension.name]
            assert dimension.holds(value), (dimension, value)
            assert isinstance(value, int if isinstance(dimension, Int) else float | str)


def test_a_refusal_is_the_configs_own_word(toy: MakeStudy) -> None:
    good, bad = ({"weight": 1.0, "edge": edge} for edge in (0.1, 0.75))
    assert refusal(toy(), good) == "" and refusal(toy(), bad) == "edge 0.75 must be below limit 0.5"


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_an_infeasible_space_is_one_clear_error(toy: MakeStudy, kind: str) -> None:
    with pytest.raises(InputError) as told:
        Sampler(toy(sampler=kind, fixed={"limit": -1.0}), REFERENCE).propose({})
    expected = "toy.yaml: search: toy's Config refuses all proposals of the sampler; allowed: wider domains"
    assert str(told.value) == expected


def test_an_error_of_the_thread_is_raised_where_the_proposal_is_taken(toy: MakeStudy) -> None:
    found = Sampler(toy(sampler="random", fixed={"limit": -1.0}), REFERENCE)
    found.begin({})
    with pytest.raises(InputError, match="refuses all proposals"):
        found.take()
    found.close()


def test_a_grid_comes_to_its_end_without_an_error(toy: MakeStudy) -> None:
    search = (Choice("norm", ("none", "batch")), Int("steps", 1, 3))
    found = Sampler(toy(sampler="grid", search=search), REFERENCE)
    seen: dict[int, Observation] = {}
    while point := found.propose(seen):
        seen[len(seen)] = completed(point, 1.0, -0.5)
    assert len({tuple(o.params.items()) for o in seen.values()}) == len(seen) == 6


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize(
    ("search", "first", "size"),
    [
        ((Choice("norm", ("none", "batch")), Int("steps", 1, 3)), {"norm": "batch", "steps": 2}, 6),
        ((Uniform("edge", 0.0, 0.7, step=0.07),), {"edge": 0.21}, 8),  # .56 and more are refused
        (
            (Choice("norm", ("none", "batch")), Int("steps", 1, 5, when={"norm": ("batch",)})),
            {"norm": "none"},
            6,
        ),
    ],
)
def test_no_point_is_proposed_twice_where_they_are_few(
    toy: MakeStudy, kind: str, search: Any, first: Any, size: int, known: int
) -> None:
    """With the same seed it would train to the same weights; those of an earlier study are among them."""
    study = toy(sampler=kind, search=search, start=(first,), budget=Budget(trials=16), fixed={"limit": 0.55})
    seen: dict[int, Observation] = {}
    while (point := Sampler(study, REFERENCE).propose(seen)) and len(seen) < 16:
        seen[len(seen)] = completed(point, float(len(seen)), -0.5)
    assert len({tuple(o.params.items()) for o in seen.values()}) == len(seen) == size
    earlier = [seen.pop(size - 1 - i) for i in range(known)]
    assert Sampler(study, REFERENCE, earlier).propose(seen) is None, "there are no more"


def test_the_gp_goes_to_the_edge_of_what_is_feasible_and_not_beyond(toy: MakeStudy) -> None:
    """Both objectives are best at edge = 1, which is refused."""
    search = (Uniform("edge", 0.0, 1.0), Uniform("limit", 0.5, 0.6))
    found = Sampler(toy(sampler="gp", budget=Budget(trials=12), search=search), [1.5, 0.5])
    seen: dict[int, Observation] = {}
    for number in range(9):
        point = found.propose(seen)
        assert point is not None and point.params["edge"] < point.params["limit"]
        edge = point.params["edge"]
        seen[number] = completed(point, 1 - edge, -(edge**2))
    assert max(o.params["edge"] for o in seen.values()) > 0.5


# Known trials


def known(count: int) -> list[Observation]:
    edges = np.linspace(0, 0.4, count)
    return [conflict(Point({"edge": float(edge), "limit": 0.5})) for edge in edges]


def test_known_trials_take_the_place_of_a_start_up(toy: MakeStudy) -> None:
    """A sampler begins with Sobol points; one that knows goes to the optimum at once."""
    study = toy(sampler="gp", search=LINE, budget=Budget(trials=8))
    space = SearchSpace(study.search, tuple(REFERENCE), 8, study.seed)
    fresh = Sampler(study, REFERENCE).propose({})
    assert fresh == Sobol(space).propose([])
    best = known(9)
    steep = [completed(Point(o.params), 100 * o.params["edge"], -0.5) for o in best]
    found = Sampler(study, REFERENCE, steep).propose({})
    assert found is not None and found != fresh and found.params["edge"] < 0.05


@pytest.mark.parametrize("kind", ["tpe", "gp", "nsga3"])
def test_known_trials_change_proposals(toy: MakeStudy, kind: str) -> None:
    study = toy(sampler=kind, search=LINE, budget=Budget(trials=30))
    points = [Sampler(study, REFERENCE, known(count)).propose({}) for count in (0, 14, 15)]
    assert points[0] != points[1] and points[0] != points[2]
    assert Sampler(study, REFERENCE, known(15)).propose({}) == points[2]


def test_known_trials_are_no_start_points(toy: MakeStudy, start_points: Points) -> None:
    found = Sampler(toy(sampler="random", start=start_points), REFERENCE, known(9))
    assert tuple(point.params for point in proposed(found, 3)) == start_points


def test_a_grid_does_not_try_again_what_is_known(toy: MakeStudy) -> None:
    search = (Choice("norm", ("none", "batch")), Int("steps", 1, 3))
    there = completed(Point({"norm": "batch", "steps": 2}), 1.0, -0.5)
    beside = completed(Point({"norm": "instance", "steps": 2}), 1.0, -0.5)
    start = ({"norm": "none", "steps": 3},)
    found = Sampler(toy(sampler="grid", search=search, start=start), REFERENCE, [there, beside])
    seen: dict[int, Observation] = {}
    while point := found.propose(seen):
        seen[len(seen)] = completed(point, 1.0, -0.5)
    tried = [tuple(o.params.values()) for o in seen.values()]
    assert len(tried) == len(set(tried)) == 5 and ("batch", 2) not in tried


# The choice of a sampler


@pytest.mark.parametrize(
    ("kind", "trials", "numeric", "expected"),
    [
        ("auto", MANY_TRIALS, 2, GaussianProcessSampler),
        ("auto", MANY_TRIALS + 1, 2, OptunaSampler),
        ("auto", 100, 0, OptunaSampler),
        ("auto", 100, 1, GaussianProcessSampler),
        ("tpe", 10, 2, OptunaSampler),
        ("nsga3", 10, 2, OptunaSampler),
        ("gp", 1000, 0, GaussianProcessSampler),
        ("random", 10, 2, Random),
        ("sobol", 10, 2, Sobol),
        ("grid", 10, 0, Grid),
    ],
)
def test_auto_is_gp_for_few_mostly_numeric_trials(
    kind: str, trials: int, numeric: int, expected: type[Sampler]
) -> None:
    numbers = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(numeric))
    space = SearchSpace((*numbers, Choice("c", (1, 2))), (1.0, 1.0), trials, 0)
    assert type(make_sampler(kind, space)) is expected


def test_every_sampler_of_a_space_can_be_made() -> None:
    space = SearchSpace((Choice("c", (1, 2)), Choice("d", (1, 2))), (1.0, 1.0), 10, 0)
    assert all(make_sampler(kind, space).propose([]) is not None for kind in SAMPLERS)


def test_known_trials_count_among_those_that_a_process_can_learn_from(toy: MakeStudy) -> None:
    study = toy(sampler="auto", budget=Budget(trials=MANY_TRIALS - 5))
    assert Sampler(study, REFERENCE, known(5)).space.trials == MANY_TRIALS
    assert isinstance(Sampler(study, REFERENCE, known(5))._proposer, GaussianProcessSampler)
    assert isinstance(Sampler(study, REFERENCE, known(6))._proposer, OptunaSampler)


def test_one_seed_gives_one_sequence(toy: MakeStudy) -> None:
    one, two, three = (
        [p.params for p in proposed(Sampler(toy(sampler="tpe", seed=seed), REFERENCE), 6)]
        for seed in (1, 1, 2)
    )
    assert one == two != three


def test_tpe_proposes_within_100_ms_at_60_trials(toy: MakeStudy) -> None:
    found = Sampler(toy(sampler="tpe", budget=Budget(trials=60), fixed={"limit": 2.0}), REFERENCE)
    seen: dict[int, Observation] = {}
    seconds = []
    for number in range(60):
        started = time.process_time()
        point = found.propose(seen)
        seconds.append(time.process_time() - started)
        assert point is not None
        seen[number] = conflict(point)
    assert np.percentile(seconds, 90) <= 0.1, seconds


# Made ahead


class Slow:
    """Proposes when it is let; remembers what it was told each time."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.told: list[list[Observation]] = []

    def propose(self, seen: Sequence[Observation]) -> Point:
        self.told.append(list(seen))
        assert self.let.wait(30)
        return Point({"weight": 1.0 + len(seen), "edge": 0.1, "steps": 5, "width": 16, "norm": "none"})


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    found = Slow()
    monkeypatch.setattr(suggester, "make_sampler", lambda kind, space: found)
    yield found
    found.let.set()


@pytest.fixture
def orchestrator(slow: Slow, toy: MakeStudy, start_points: Points, tmp_path: Path) -> Iterator[Orchestrator]:
    """Of a study whose first two trials are start points, and begun."""
    world = World(toy(start=start_points[:2], budget=Budget(trials=9)), Storage.open(tmp_path))
    found = world.open()
    assert [asked(found)[0], asked(found)[0]] == [0, 1]
    yield found
    slow.let.set()
    found.sampler.close()
    found.ledger.close()


def asked(orchestrator: Orchestrator) -> Any:
    """What the orchestrator hands out, asked as often as Tune would."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := orchestrator.next():
            return found
        time.sleep(0.001)
    return pytest.fail("nothing was handed out")


def told(orchestrator: Orchestrator, number: int, step: int) -> float:
    """Report a rung; returns the seconds that it took."""
    started = time.monotonic()
    orchestrator.reported(number, World.report(WORLD, number, step, None))
    return time.monotonic() - started


class _Scores:
    """As much of a world as a report needs."""

    rungs, seconds = (5, 10), 1.0

    @staticmethod
    def scores(step: int, steps: int, config: Any) -> dict[int, dict[str, float]]:
        return {1: {"fid": 5.0 + 1 / step, "ms_ssim": 0.5}}


WORLD: Any = _Scores()


def test_a_slow_proposal_keeps_nobody_waiting(orchestrator: Orchestrator, slow: Slow) -> None:
    started = time.monotonic()
    assert orchestrator.next() is None and orchestrator.next() is None
    assert not orchestrator.over
    assert told(orchestrator, 0, 5) < 5 and told(orchestrator, 0, 10) < 5
    assert orchestrator.ledger.trials[0].status == "completed"
    assert orchestrator.next() is None and time.monotonic() - started < 10
    slow.let.set()
    assert asked(orchestrator)[0] == 2


def test_where_nothing_runs_a_proposal_is_waited_for(orchestrator: Orchestrator, slow: Slow) -> None:
    for number in (0, 1):
        told(orchestrator, number, 10)
    threading.Timer(0.3, slow.let.set).start()
    started = time.monotonic()
    found = orchestrator.next()
    assert found is not None and found[0] == 2 and time.monotonic() - started > 0.1


def test_the_next_proposal_is_begun_when_one_is_taken(orchestrator: Orchestrator, slow: Slow) -> None:
    deadline = time.monotonic() + 20
    while not slow.told and time.monotonic() < deadline:  # nobody has asked for it yet
        time.sleep(0.001)
    assert [[o.state for o in seen] for seen in slow.told] == [["running", "running"]]


def test_a_quick_proposal_is_made_anew_after_results_but_once(orchestrator: Orchestrator, slow: Slow) -> None:
    slow.let.set()
    orchestrator.sampler.begin({}).result()
    assert len(slow.told) == 1
    told(orchestrator, 0, 5)
    seen = orchestrator.early_stopping.observations(orchestrator.ledger.trials)
    orchestrator.sampler.ready(seen)
    orchestrator.sampler.begin(seen).result()
    assert [[len(o.rungs) for o in one] for one in slow.told] == [[0, 0], [1, 0]]
    told(orchestrator, 1, 5)  # results may come faster than proposals
    assert orchestrator.next() is not None
    point = orchestrator.ledger.trials[2].params
    assert point["weight"] == 3.0 and len(slow.told) <= 3


def test_a_slow_proposal_is_taken_although_results_have_come(
    orchestrator: Orchestrator, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggester, "PROMPT", 0.0)
    slow.let.set()
    orchestrator.sampler.begin({}).result()
    told(orchestrator, 0, 5)
    found = orchestrator.next()
    assert found is not None and [o.state for o in slow.told[0]] == ["running", "running"]
    assert all(not o.rungs for o in slow.told[0])


def test_results_are_rungs_and_ends() -> None:
    rung = Rung(0.5, (1.0,))
    seen = [
        Observation({}, "running"),
        Observation({}, "running", (rung,)),
        Observation({}, "paused", (rung, rung)),
        Observation({}, "failed"),
        Observation({}, "completed", (rung,)),
    ]
    assert results(dict(enumerate(seen))) == 0 + 1 + 3 + 1 + 2


def test_nothing_is_proposed_beyond_the_last_trial(
    slow: Slow, toy: MakeStudy, start_points: Points, tmp_path: Path
) -> None:
    slow.let.set()
    study = toy(start=start_points[:2], budget=Budget(trials=3))
    orchestrator = World(study, Storage.open(tmp_path)).open()
    for _ in range(3):
        asked(orchestrator)
    orchestrator.close()
    assert len(slow.told) == 1 and orchestrator.next() is None
