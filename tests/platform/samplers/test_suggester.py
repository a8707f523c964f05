"""Proposals of a study: start points, refusals, known trials; made in advance, and again after results."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from platform.orchestration.orchestrator import Orchestrator
from platform.samplers import suggester
from platform.samplers.base import Proposal
from platform.samplers.designs import Sobol
from platform.samplers.factory import MANY_TRIALS
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.samplers.suggester import Suggester
from platform.storage.layout import Storage
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, Uniform
from platform.study.observation import Observation, Observed, Rung, SearchSpace
from platform.study.settings import SAMPLERS
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest

from tests.platform.world import World
from trainers.errors import InputError
from trainers.report import Report

MakeStudy = Callable[..., Study]
Points = tuple[dict[str, Any], ...]
REFERENCE = [10.0, 0.0]
LINE = (Uniform("edge", 0.0, 0.4), Uniform("limit", 0.5, 0.6))
NORM = Choice("norm", ("none", "batch"))


def completed(params: Any, *values: float) -> Observation:
    return Observation(params, "completed", (Rung(1.0, values),))


def conflict(proposal: Proposal) -> Observation:
    """The first objective is best at edge 0, the second at edge 0.4."""
    edge = proposal.params["edge"]
    values = 9 * edge, -1 + (0.4 - edge)
    return replace(completed(proposal.params, *values), memory=proposal.memory)


def proposals(made: Suggester, count: int) -> list[Proposal]:
    """Each completed before the next."""
    observed: dict[int, Observation] = {}
    found = []
    for number in range(count):
        found.append(made.propose(observed) or pytest.fail("no proposal"))
        observed[number] = conflict(found[-1])
    return found


def done(points: Sequence[Any]) -> dict[int, Observation]:
    """Completed trials at these points."""
    return {number: completed(params, float(number), -0.5) for number, params in enumerate(points)}


def test_start_points_come_first_and_in_order(toy: MakeStudy, start_points: Points) -> None:
    for known in ([], known_trials(9)):
        points = [p.params for p in proposals(Suggester(toy(start=start_points), REFERENCE, known), 5)]
        assert tuple(points[:3]) == start_points
        assert not [point for point in points[3:] if point in start_points]


@pytest.mark.parametrize("name", ["random", "sobol", "tpe", "nsga3", "gp"])
def test_proposals_follow_from_observations_and_seed_alone(
    toy: MakeStudy, start_points: Points, name: str
) -> None:
    """Another suggester at every step, as after as many interruptions, makes the same proposals."""
    study = toy(sampler=name, start=start_points[:1], budget=Budget(trials=8))
    whole = proposals(Suggester(study, REFERENCE), 6)
    observed: dict[int, Observation] = {}
    for number, proposal in enumerate(whole):
        assert Suggester(study, REFERENCE).propose(observed) == proposal
        observed[number] = conflict(proposal)
    other = toy(sampler=name, start=start_points[:1], budget=Budget(trials=8), seed=2)
    assert proposals(Suggester(other, REFERENCE), 6) != whole


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_no_proposal_is_refused_or_outside_its_domain(toy: MakeStudy, name: str) -> None:
    study = toy(sampler=name, budget=Budget(trials=8))
    assert study.refusal({"weight": 1.0, "edge": 0.75}) == "edge 0.75 must be below limit 0.5"
    for proposal in proposals(Suggester(study, REFERENCE), 7):
        assert list(proposal.params) == [dimension.name for dimension in study.search]
        assert study.refusal(proposal.params) == "" and proposal.params["edge"] < 0.5
        for dimension in study.search:
            value = proposal.params[dimension.name]
            assert dimension.holds(value), (dimension, value)
            assert isinstance(value, int if isinstance(dimension, Int) else float | str)


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_a_space_without_accepted_points_is_an_error_also_of_the_thread(toy: MakeStudy, name: str) -> None:
    made = Suggester(toy(sampler=name, fixed={"limit": -1.0}), REFERENCE)
    with pytest.raises(InputError) as error:
        made.propose({})
    expected = "toy.yaml: search: toy's Config refuses all proposals of the sampler; allowed: wider domains"
    assert str(error.value) == expected
    made.start(Observed())
    with pytest.raises(InputError, match="refuses all proposals"):
        made.take()
    made.close()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize(
    ("search", "first", "size"),
    [
        ((NORM, Int("steps", 1, 3)), {"norm": "batch", "steps": 2}, 6),
        ((Uniform("edge", 0.0, 0.7, step=0.07),), {"edge": 0.21}, 8),  # .56 and more are refused
        ((NORM, Int("steps", 1, 5, when={"norm": ("batch",)})), {"norm": "none"}, 6),
    ],
)
def test_no_point_is_proposed_twice_where_there_are_few(
    toy: MakeStudy, name: str, search: Any, first: Any, size: int, known: int
) -> None:
    """With the same seed it would train to the same weights; an earlier study's trials count."""
    study = toy(sampler=name, search=search, start=(first,), budget=Budget(trials=16), fixed={"limit": 0.55})
    points: list[Any] = []
    while (proposal := Suggester(study, REFERENCE).propose(done(points))) and len(points) < 16:
        points.append(proposal.params)
    assert len({tuple(params.items()) for params in points}) == len(points) == size
    earlier = list(done(points[size - known :]).values())
    assert Suggester(study, REFERENCE, earlier).propose(done(points[: size - known])) is None, "no more"


def test_the_gp_goes_to_the_edge_of_the_accepted_points_and_not_beyond(toy: MakeStudy) -> None:
    """Both objectives are best at edge = 1, which is refused."""
    search = (Uniform("edge", 0.0, 1.0), Uniform("limit", 0.5, 0.6))
    made = Suggester(toy(sampler="gp", budget=Budget(trials=12), search=search), [1.5, 0.5])
    observed: dict[int, Observation] = {}
    for number in range(9):
        proposal = made.propose(observed)
        assert proposal is not None and proposal.params["edge"] < proposal.params["limit"]
        edge = proposal.params["edge"]
        observed[number] = completed(proposal.params, 1 - edge, -(edge**2))
    assert max(o.params["edge"] for o in observed.values()) > 0.5


def test_tpe_proposes_within_100_ms_at_60_trials(toy: MakeStudy) -> None:
    made = Suggester(toy(sampler="tpe", budget=Budget(trials=60), fixed={"limit": 2.0}), REFERENCE)
    observed = {number: conflict(proposal) for number, proposal in enumerate(proposals(made, 60))}
    seconds = []
    for number in range(30, 60):
        started = time.process_time()
        made.propose({n: observed[n] for n in range(number)})
        seconds.append(time.process_time() - started)
    assert np.percentile(seconds, 80) <= 0.1, seconds


# Trials known from an earlier study


def known_trials(count: int) -> list[Observation]:
    edges = np.linspace(0, 0.4, count)
    return [conflict(Proposal({"edge": float(edge), "limit": 0.5})) for edge in edges]


def test_known_trials_replace_the_startup(toy: MakeStudy) -> None:
    """A sampler starts with Sobol points; with known trials it goes to the optimum at once."""
    study = toy(sampler="gp", search=LINE, budget=Budget(trials=8))
    fresh = Suggester(study, REFERENCE).propose({})
    assert fresh == Sobol(SearchSpace(study.search, tuple(REFERENCE), 8, study.seed)).propose([])
    steep = [completed(o.params, 100 * o.params["edge"], -0.5) for o in known_trials(9)]
    informed = Suggester(study, REFERENCE, steep).propose({})
    assert informed is not None and informed != fresh and informed.params["edge"] < 0.05


@pytest.mark.parametrize("name", ["tpe", "gp", "nsga3"])
def test_known_trials_change_proposals(toy: MakeStudy, name: str) -> None:
    study = toy(sampler=name, search=LINE, budget=Budget(trials=30))
    none, some, more, again = (
        Suggester(study, REFERENCE, known_trials(count)).propose({}) for count in (0, 14, 15, 15)
    )
    assert none != some and none != more and again == more


def test_known_trials_count_among_those_of_auto(toy: MakeStudy) -> None:
    study = toy(sampler="auto", budget=Budget(trials=MANY_TRIALS - 5))
    few, many = (Suggester(study, REFERENCE, known_trials(count)) for count in (5, 6))
    assert few.space.trials == MANY_TRIALS and isinstance(few._sampler, GaussianProcessSampler)
    assert isinstance(many._sampler, OptunaSampler)


# Proposals made in advance, in a thread


class Slow:
    """Proposes once it is released; keeps what it observed each time."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.observed: list[list[Observation]] = []

    def propose(self, observed: Sequence[Observation]) -> Proposal:
        self.observed.append(list(observed))
        assert self.release.wait(30)
        return Proposal({"weight": 1.0 + len(observed), "edge": 0.1, "steps": 5, "width": 16, "norm": "none"})


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr(suggester, "make_sampler", lambda name, space: made)
    yield made
    made.release.set()


@pytest.fixture
def orchestrator(slow: Slow, toy: MakeStudy, start_points: Points, tmp_path: Path) -> Iterator[Orchestrator]:
    """Of a study of three trials whose first two are start points, and started."""
    made = World(toy(start=start_points[:2], budget=Budget(trials=3)), Storage.open(tmp_path)).open()
    assert [wait_for_next(made), wait_for_next(made)] == [0, 1]
    yield made
    slow.release.set()
    made.suggester.close()
    made.ledger.close()


def wait_for_next(orchestrator: Orchestrator) -> int:
    """The next trial, requested as often as Tune would."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := orchestrator.next():
            return found[0]
        time.sleep(0.001)
    return pytest.fail("no trial was started")


def report(orchestrator: Orchestrator, number: int, step: int) -> None:
    scores = {1: {"fid": 5.0 + 1 / step, "ms_ssim": 0.5}}
    orchestrator.reported(number, Report(step, 10, scores, {}, 1.0, "c"))


def test_a_slow_proposal_delays_no_report(orchestrator: Orchestrator, slow: Slow) -> None:
    started = time.monotonic()
    assert orchestrator.next() is None and orchestrator.next() is None and not orchestrator.over
    report(orchestrator, 0, 5)
    report(orchestrator, 0, 10)
    assert orchestrator.ledger.trials[0].status == "completed"
    assert orchestrator.next() is None and time.monotonic() - started < 10
    slow.release.set()
    assert wait_for_next(orchestrator) == 2


def test_where_no_trial_runs_a_proposal_is_waited_for(orchestrator: Orchestrator, slow: Slow) -> None:
    for number in (0, 1):
        report(orchestrator, number, 10)
    threading.Timer(0.2, slow.release.set).start()
    started = time.monotonic()
    found = orchestrator.next()
    assert found is not None and found[0] == 2 and time.monotonic() - started > 0.1


def test_the_next_proposal_starts_when_one_is_taken_up_to_the_last_trial(
    orchestrator: Orchestrator, slow: Slow
) -> None:
    deadline = time.monotonic() + 20
    while not slow.observed and time.monotonic() < deadline:  # no trial has been requested yet
        time.sleep(0.001)
    assert [[o.state for o in each] for each in slow.observed] == [["running", "running"]]
    slow.release.set()
    assert wait_for_next(orchestrator) == 2
    orchestrator.close()
    assert len(slow.observed) == 1 and orchestrator.next() is None


def test_a_quick_proposal_is_made_again_after_results_but_once(
    orchestrator: Orchestrator, slow: Slow
) -> None:
    slow.release.set()
    orchestrator.suggester.start(Observed()).result()
    assert len(slow.observed) == 1
    report(orchestrator, 0, 5)
    observed = orchestrator.early_stopping.observations(orchestrator.ledger.trials)
    orchestrator.suggester.ready(observed)
    orchestrator.suggester.start(observed).result()
    assert [[len(o.rungs) for o in each] for each in slow.observed] == [[0, 0], [1, 0]]
    report(orchestrator, 1, 5)  # results may arrive faster than proposals
    assert orchestrator.next() is not None
    assert orchestrator.ledger.trials[2].params["weight"] == 3.0 and len(slow.observed) <= 3


def test_a_slow_proposal_is_taken_although_results_have_arrived(
    orchestrator: Orchestrator, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggester, "QUICK", 0.0)
    slow.release.set()
    orchestrator.suggester.start(Observed()).result()
    report(orchestrator, 0, 5)
    assert orchestrator.next() is not None
    assert [(o.state, o.rungs) for o in slow.observed[0]] == [("running", ()), ("running", ())]


def test_results_are_rungs_and_ends() -> None:
    cases = ("running", 0), ("running", 1), ("paused", 2), ("failed", 0), ("completed", 1)
    observed = [Observation({}, state, (Rung(0.5, (1.0,)),) * rungs) for state, rungs in cases]  # type: ignore[arg-type]
    found = Observed()
    for _ in range(2):
        for number, each in enumerate(observed):
            found[number] = each
    assert found.results == 0 + 1 + 3 + 1 + 2
