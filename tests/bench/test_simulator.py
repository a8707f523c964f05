"""The benchmark's clock against schedules computed by hand, its tables, and a whole small benchmark."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform.samplers.base import Proposal
from platform.samplers.designs import Random
from platform.schedulers.asha import Halving
from platform.study.dimensions import Dimension, Uniform
from platform.study.observation import Observation, SearchSpace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from tests.bench import main, store
from tests.bench.contender import Array, Contender
from tests.bench.experiments import Job, Scale, jobs, searched
from tests.bench.lineup import AUTO, NO_STOPPING, RANDOM, entries, problems
from tests.bench.main import parsed
from tests.bench.ours import Ours, sampler
from tests.bench.simulator import Run, simulate
from tests.bench.tables import _against, interval, quartiles


@dataclass
class Line:
    """A trial at x has (x, 1 - x) at its end; values measured earlier are worse."""

    levels: tuple[int, ...]
    name: str = "line"
    family: str = "line"
    search: tuple[Dimension, ...] = (Uniform("x", 0.0, 1.0),)
    reference: tuple[float, ...] = (1.0, 1.0)
    front_volume: float = 0.5

    def true(self, params: Any) -> Array:
        return np.array([[params["x"], 1 - params["x"]]])

    def measure(self, params: Any, step: int, seed: int) -> Array:
        return self.true(params) + 1 / step


@dataclass
class Script:
    """Trial i is at ``points[i]``; decisions by trial and step, else "go"."""

    points: Sequence[float]
    decisions: dict[tuple[int, int], str] = field(default_factory=dict)
    resumes: dict[int, int] = field(default_factory=dict)
    """Trial to be resumed, by the number of reports so far."""
    refuses: tuple[int, ...] = ()
    """Numbers of reports at which nothing is proposed."""
    reports: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        if len(self.reports) in self.refuses:
            return None
        self.seconds.append(0.0)
        return len(self.seconds) - 1, {"x": self.points[len(self.seconds) - 1]}

    def report(self, trial: int, step: int, values: Array) -> str:
        self.reports.append((trial, step))
        assert values.tolist() == [[self.points[trial] + 1 / step, 1 - self.points[trial] + 1 / step]]
        return self.decisions.get((trial, step), "go")

    def resume(self) -> int | None:
        return self.resumes.pop(len(self.reports), None)


def test_two_workers_train_three_trials_to_their_end() -> None:
    contender = Script([0.5, 0.25, 0.75])
    run = simulate(Line((1, 3)), contender, 0, trials=3, workers=2)
    assert contender.reports == [(0, 1), (1, 1), (0, 3), (1, 3), (2, 1), (2, 3)]
    assert run.times == [3, 3, 6] and run.costs == [6, 6, 9] and run.cost == 9 and run.started == 3
    # true values alone count: 1/2 x 1/2, then with (1/4, 3/4) 1/4 x 1/4 more, then as much for (3/4, 1/4)
    np.testing.assert_allclose(run.volumes, [0.25, 0.3125, 0.375])


def test_a_paused_trial_continues_from_its_level_before_a_new_one_starts() -> None:
    decisions = {(0, 1): "pause", (1, 1): "stop", (0, 3): "pause"}
    contender = Script([0.5] * 9, decisions, resumes={2: 0, 4: 0})
    run = simulate(Line((1, 3, 9)), contender, 0, trials=3, workers=1)
    # 0: [0, 1] paused; 1: [1, 2] stopped; 0: [2, 4] paused; 2: [4, 5]; 0: [5, 11], as resumed; 2 is left
    assert contender.reports[:4] == [(0, 1), (1, 1), (0, 3), (2, 1)]
    assert contender.reports[4:] == [(2, 3), (2, 9)]
    assert run.times == [13] and run.costs == [13] and run.started == 3


def test_a_resumed_trial_trains_to_its_end_when_a_worker_is_free() -> None:
    contender = Script([0.5] * 9, {(0, 1): "pause", (1, 1): "stop", (2, 1): "stop"}, resumes={2: 0})
    run = simulate(Line((1, 3, 9)), contender, 0, trials=3, workers=1)
    # 0: [0, 1] paused; 1: [1, 2] stopped; 0: [2, 4], [4, 10]; 2: [10, 11] stopped
    assert contender.reports == [(0, 1), (1, 1), (0, 3), (0, 9), (2, 1)]
    assert run.times == [10] and run.costs == [10] and run.cost == 11


def test_running_segments_count_in_part_and_a_budget_ends_everything() -> None:
    stops = {(trial, 2): "stop" for trial in range(1, 99)}
    run = simulate(Line((2, 5)), Script([0.5] * 99, stops), 0, trials=4, workers=2)
    # 0: [0, 2], [2, 5]; 1: [0, 2]; 2: [2, 4]; 3: [4, 6], half of it by 5
    assert run.times == [5] and run.costs == [10] and run.cost == 11
    short = simulate(Line((2, 5)), Script([0.5] * 99, stops), 0, trials=4, workers=2, budget=9.5)
    assert short.volumes == [] and short.cost == 9.5 and short.started == 4
    enough = simulate(Line((2, 5)), Script([0.5] * 99, stops), 0, trials=4, workers=2, budget=10)
    assert enough.costs == [10] and enough.cost == 10


def test_an_idle_worker_costs_nothing_and_is_given_a_trial_after_the_next_report() -> None:
    contender = Script([0.1, 0.2, 0.3], refuses=(1,))
    run = simulate(Line((4,)), contender, 0, trials=3, workers=1)
    assert run.times == [4] and run.started == 1  # nothing runs and nothing is proposed: the end
    contender = Script([0.1, 0.2, 0.3, 0.4], refuses=(1,))
    run = simulate(Line((4,)), contender, 0, trials=4, workers=2)
    # 0, 1: [0, 4]; after 0 nothing is proposed, after 1 both workers get a trial
    assert run.times == [4, 4, 8, 8] and run.costs == [8, 8, 16, 16]


def test_more_workers_than_trials_all_end_at_once() -> None:
    run = simulate(Line((1, 3)), Script([0.5] * 5), 0, trials=5, workers=64)
    assert run.times == [3] * 5 and run.costs == [15] * 5


def test_hypervolumes_of_a_run_by_cost_and_by_trials() -> None:
    run = Run([3.0, 5.0, 5.0], [1.0, 2.0, 2.0], [0.2, 0.2, 0.6], 7.0, 4, [], [])
    assert [run.at(cost) for cost in (2.9, 3.0, 4.9, 5.0, math.inf)] == [0.0, 0.2, 0.2, 0.6, 0.6]
    assert [run.after(trials) for trials in (0, 1, 3, 9)] == [0.0, 0.2, 0.6, 0.6]
    assert [run.reached(volume) for volume in (0.2, 0.3, 0.7)] == [3.0, 5.0, math.inf]


class Observer:
    """Proposes x = 1/8, 2/8 ...; keeps what it observed."""

    def __init__(self) -> None:
        self.observed: list[list[Observation]] = []

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        self.observed.append(list(observed))
        return Proposal({"x": (len(observed) + 1) / 8}, {"nth": len(observed)})


def test_our_search_observes_shares_states_and_its_memory() -> None:
    observer, problem = Observer(), Line((1, 2))
    halving = Halving((1,), 4, np.ones(2), min_results=3)
    run = simulate(problem, Ours(problem, observer, halving), 0, trials=4, workers=1)
    assert run.started == 4
    last = observer.observed[-1]
    assert [o.memory for o in last] == [{"nth": 0}, {"nth": 1}, {"nth": 2}]
    assert [o.state for o in last][:2] == ["completed", "completed"]  # fewer than three: no trial waits
    assert [rung.share for rung in last[0].rungs] == [0.5, 1.0]
    assert last[0].rungs[1].values == (1 / 8 + 1 / 2, 7 / 8 + 1 / 2)
    assert any(o.state == "paused" and len(o.rungs) == 1 for observed in observer.observed for o in observed)


def test_without_halving_our_search_is_its_sampler_with_four_running_trials() -> None:
    problem = problems()["hpo"]
    contender, proposals = sampler("random", problem, 5, 20), []
    ask = contender.ask

    def listening() -> tuple[int, dict[str, Any]] | None:
        proposals.append(ask())
        return proposals[-1]

    contender.ask = listening  # type: ignore[method-assign]
    run = simulate(problem, contender, 5, 20)
    alone = Random(SearchSpace(problem.search, problem.reference, 20, 5))
    anything = Observation({}, "running")
    expected = [alone.propose([anything] * count) for count in range(20)]
    assert proposals == [(i, point.params) for i, point in enumerate(expected) if point]
    assert run.times == [float(1 + i // 4) for i in range(20)]


@pytest.mark.parametrize(
    ("name", "trials"), [("ours, by rungs", 24), ("ours, by forecasts", 24), ("ours gp + halving", 12)]
)
def test_our_searches_repeat_themselves_and_halving_saves_most_of_the_cost(name: str, trials: int) -> None:
    problem, make = problems()["hpo-fidelity"], entries()[name].make
    contenders: list[Contender] = [make(problem, 1, trials) for _ in range(2)]
    first, second = (simulate(problem, contender, 1, trials) for contender in contenders)
    assert first.volumes == second.volumes and first.costs == second.costs
    assert first.started == trials and 0.2 < first.cost / (trials * 27) < 0.5


def recorded(contender: Any) -> dict[tuple[int, int], Any]:
    """What will be reported to a contender, by trial and step."""
    reports, report = {}, contender.report

    def listen(trial: int, step: int, values: Array) -> str:
        reports[trial, step] = values.tolist()
        return str(report(trial, step, values))

    contender.report = listen
    return reports


def test_a_configuration_has_the_same_values_under_all_rules() -> None:
    problem, found = problems()["hpo-fidelity"], []
    for rule in (NO_STOPPING, "ours, by rungs"):
        contender = entries()[rule].make(problem, 3, 6)
        found.append((recorded(contender), simulate(problem, contender, 3, 6)))
    (everything, whole), (fewer, part) = found
    assert len(everything) == 6 * len(problem.levels) > len(fewer) >= 6
    assert {key: everything[key] for key in fewer} == fewer
    assert part.cost < whole.cost


def test_a_longer_run_starts_as_a_shorter_one_does() -> None:
    """Table A reads 50 trials from the run of 200."""
    problem = problems()["zdt1"]
    for kind in ("gp", "tpe", "nsga3", "sobol"):
        runs = [simulate(problem, sampler(kind, problem, 2, trials), 2, 14).volumes for trials in (50, 200)]
        assert runs[0] == runs[1]


def test_auto_shares_the_run_of_the_contender_that_it_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    scale = Scale(2)
    own, gp = (searched("zdt1", name, 50, 1, scale) for name in (AUTO, "ours gp"))
    assert own == gp == Job("zdt1", "ours gp", 1, 200)
    monkeypatch.setitem(entries(), "slow", replace(entries()["ours gp"], trials=50))
    assert searched("zdt1", "slow", 50, 0, scale) == Job("zdt1", "slow", 0, 50)
    assert searched("zdt1", "slow", 200, 0, scale) is None
    found = jobs(("A", "B1", "B2", "C1", "C2"), scale)
    assert len(found) == len(set(found)) and {job.seed for job in found} == {0, 1}


def test_a_saved_run_is_loaded_until_its_code_changes(tmp_path: Path) -> None:
    saved, job = store.Store(tmp_path / "cache"), Job("hpo-fidelity", NO_STOPPING, 0, 3, 60.0)
    assert saved.load(job) is None
    run = store.run(job)
    saved.save(job, run)
    assert store.Store(tmp_path / "cache").load(job) == run
    assert saved.load(Job("hpo-fidelity", NO_STOPPING, 0, 3)) is None
    files = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for path, text in zip(files, ('"""Doc."""\nx = 1  # why\n', "x = (1)\n", "x = 2\n"), strict=True):
        path.write_text(text)
    digests = [store.code(path) for path in files]
    assert digests[0] == digests[1] != digests[2]


def test_intervals_are_students_and_infinite_quartiles_are_named() -> None:
    values = [0.4, 0.5, 0.9]
    low, high = student.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / np.sqrt(3))
    assert interval(values) == f"{(low + high) / 2:.3f} ± {(high - low) / 2:.3f}"
    assert quartiles([0.1, 0.2, 0.3, 0.4, 0.5]) == "0.300 [0.200, 0.400]"
    assert quartiles([0.1, 0.2, math.inf, math.inf]) == "not [0.175, not]"
    assert quartiles([0.1, 0.2, 0.4]) == "0.200 [0.150, 0.300]"
    assert quartiles([]) == interval([]) == "-"


def test_auto_is_compared_on_the_seeds_that_both_have() -> None:
    volumes = {
        (AUTO, 50): {0: 0.8, 1: 0.6},
        ("ours gp", 50): {0: 0.8, 1: 0.6},
        (RANDOM, 50): {0: 0.4, 1: 0.3},
        ("few", 50): {1: 0.75},
        ("few", 100): {0: 9.0},
    }
    assert _against(volumes, 50, best=True) == pytest.approx((0.8, "few"))
    assert _against(volumes, 50, best=False) == pytest.approx((2.0, RANDOM))
    assert _against(volumes, 100, best=True)[1] == "none"


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--jobs", "x"], ["--only", "A,D"]])
def test_wrong_arguments_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_a_small_benchmark_writes_tables_curves_and_pictures_and_repeats_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--quick", "--seeds", "1", "--only", "B1", "--jobs", "1", "--out", str(tmp_path)]
    main.main(arguments)
    first = (tmp_path / "tables.md").read_text("utf-8")
    assert "B1. zdt1-fidelity" in first and "| ours, by forecasts | " in first
    printed = capsys.readouterr().out
    assert "B1. hpo-fidelity" in printed and "…" not in printed
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert {curve["contender"] for curve in curves} >= {NO_STOPPING, "ASHA, FID only", "ours, by rungs"}
    assert all(sorted(curve["volumes"]) == curve["volumes"] for curve in curves)
    assert (tmp_path / "hpo-fidelity-1.png").stat().st_size > 10_000
    monkeypatch.setattr(store, "run", lambda job: pytest.fail("saved runs are not repeated"))
    main.main(arguments)
    assert (tmp_path / "tables.md").read_text("utf-8") == first
