"""Studies with a scheduler, driven without Ray: who waits, who goes on, and what a kill changes (nothing)."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from platform.execution.trial_source import plain
from platform.orchestration.orchestrator import Orchestrator
from platform.pareto.front import Bound
from platform.schedulers.early_stopping import EarlyStopping
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger, Status, Trial, fold, read_trials
from platform.study.budget import Budget
from platform.study.criteria import Criteria
from platform.study.dimensions import Log, Uniform
from platform.study.settings import Scheduler
from platform.study.study import Study
from platform.surrogate import forecast
from typing import Any

import pytest

from tests.platform.world import REFERENCE, Death, Scores, World, fair, proposals_at_once
from trainers.report import Report

MakeStudy = Callable[..., Study]
LEVELS, STEPS = (3, 9), 24
ASHA = Scheduler(name="asha", grace=3, min_results=2)


@pytest.fixture
def make(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """``make(trials=9, slots=2, sampler="tpe")``: a study with halving of its own folder."""
    proposals_at_once(monkeypatch)
    made = iter(range(1_000_000))

    def world(trials: int = 9, slots: int = 2, criteria: Criteria | None = None, **changes: Any) -> World:
        defaults: dict[str, Any] = {
            "search": (Log("weight", 0.1, 100.0), Uniform("edge", 0.0, 1.0)),
            "fixed": {"steps": STEPS, "limit": 2.0},
            "scheduler": ASHA,
            "budget": Budget(trials=trials),
        }
        study = toy(**defaults | changes)
        assert study.levels == LEVELS
        return World(study, Storage.open(tmp_path / str(next(made))), criteria or Criteria(REFERENCE), slots)

    return world


Make = Callable[..., World]


def triage_of(orchestrator: Orchestrator, trials: dict[int, Trial]) -> EarlyStopping:
    """As a driver would have it that has just read these trials."""
    found = EarlyStopping(orchestrator.study, orchestrator.sampler.space, orchestrator.judged)
    found.restore(trials)
    return found


def require_order(world: World) -> None:
    """No new proposal while a paused trial could go on, by what a fresh reader of the ledger decides."""
    orchestrator, entries = world.open(), world.entries
    for place, entry in enumerate(entries):
        if entry["event"] == "proposed":
            trials = fold(entries[:place])
            assert triage_of(orchestrator, trials).resumable(trials) is None, place
    orchestrator.ledger.close()


def require_sound(world: World) -> None:
    """Every trial came to an end or waits at a level, each step was trained once, MLflow agrees."""
    trials = read_trials(world.folder)
    assert sorted(trials) == list(range(world.study.budget.trials))
    assert {t.status for t in trials.values()} <= {"completed", "paused", "failed"}
    assert set(world.trained.values()) == {1}
    finished = {call[0]: call[1] for call in world.recorder.of("finish")}
    told = {"completed": "FINISHED", "paused": "SCHEDULED", "failed": "FAILED"}
    assert finished == {n: told[t.status] for n, t in trials.items()}
    for number, trial in trials.items():
        steps = [step for step in (3, 9, 12, 24) if world.trained[number, step]]
        assert sorted(trial.reports) == steps
        if trial.status == "paused":
            assert max(steps) in LEVELS and trial.passed < max(steps)
        if trial.status == "completed":
            assert steps == [3, 9, 12, 24] and trial.passed == 9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slots", [1, 4, 64])
def test_some_wait_some_go_on_and_all_is_told(make: Make, slots: int, seed: int) -> None:
    world = make(trials=24, slots=slots, seed=seed)
    world.drive(world.open(), random.Random(seed))
    require_sound(world)
    trials = read_trials(world.folder).values()
    counts = Counter(trial.status for trial in trials)
    assert counts["paused"] >= 6 and counts["completed"] >= 3, counts
    resumed = [number for number, times in Counter(world.handed_out).items() if times > 1]
    assert resumed, "none of the paused trials was handed out again"
    # of equal ``edge`` the lower ``weight`` is better in both objectives at every step
    done = min(trial.params["weight"] for trial in trials if trial.status == "completed")
    assert done <= sorted(trial.params["weight"] for trial in trials)[4]


@pytest.mark.parametrize("slots", [1, 3])
def test_paused_trials_go_before_new_ones(make: Make, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    monkeypatch.setattr(forecast, "FEWEST", 10**9)  # a fit that was made earlier may forecast otherwise
    world = make(trials=20, slots=slots)
    world.drive(world.open(), random.Random(slots))
    assert len(set(world.handed_out)) < len(world.handed_out)
    require_order(world)


def test_a_study_without_a_scheduler_pauses_nobody(make: Make, toy: MakeStudy, tmp_path: Path) -> None:
    world = World(toy(fixed={"limit": 2.0}, budget=Budget(trials=5)), Storage.open(tmp_path / "none"))
    world.drive(world.open())
    assert {trial.status for trial in read_trials(world.folder).values()} == {"completed"}


def test_a_resumed_trial_goes_on_from_where_it_waited(make: Make) -> None:
    world = make(trials=20, slots=1)
    world.drive(world.open())
    entries = world.entries
    resumed = [
        (place, entry)
        for place, entry in enumerate(entries)
        if entry["event"] == "went_on" and entries[place - 1]["event"] != "reported"
    ]
    assert resumed
    for place, entry in resumed:
        assert entries[place + 1]["event"] == "started"
        repeated, trained = (e["report"]["step"] for e in entries[place + 2 : place + 4])
        assert (repeated, trained) == (entry["step"], {3: 9, 9: 12}[entry["step"]])
        assert {e["trial"] for e in entries[place : place + 4]} == {entry["trial"]}


def paused_one(orchestrator: Orchestrator, world: World) -> int:
    """Drive until a trial waits."""
    while True:
        number, task = orchestrator.next() or pytest.fail("no trial was ever paused")
        for report in world.work(number, task):
            if report and not orchestrator.reported(number, report) and not report.done:
                return number


def test_what_comes_after_a_pause_is_ignored(make: Make) -> None:
    world = make()
    orchestrator = world.open()
    number = paused_one(orchestrator, world)
    before, last = world.entries, world.published[number]
    late = world.report(number, 24, orchestrator.study.point(orchestrator.ledger.trials[number].params))
    assert not orchestrator.reported(number, last) and not orchestrator.reported(number, late)
    orchestrator.ended(number, "failed", "its worker was told to stop")
    assert world.entries == before and orchestrator.ledger.trials[number].status == "paused"
    assert number not in orchestrator.running


def test_a_pause_is_told_to_mlflow_and_for_good_at_the_end(make: Make) -> None:
    world = make()
    orchestrator = world.open()
    number = paused_one(orchestrator, world)
    step = world.published[number].step
    ((_, status, tags),) = [call for call in world.recorder.of("finish") if call[0] == number]
    reason = f"waits at step {step} of 24: others did better there"
    assert (status, tags) == ("SCHEDULED", {"status": "paused", "reason": reason})
    orchestrator.close()
    last = [call for call in world.recorder.of("finish") if call[0] == number][-1]
    assert last == (number, "KILLED", {"status": "stopped", "reason": reason})


def handed_out(orchestrator: Orchestrator, world: World, count: int) -> dict[int, Iterator[Report | None]]:
    """As many trials, all begun."""
    found = [orchestrator.next() or pytest.fail("too few trials") for _ in range(count)]
    return {number: world.work(number, task) for number, task in found}


def first(work: Iterator[Report | None]) -> Report:
    """What a training reports next."""
    return next(work) or pytest.fail("it died")


def settled(orchestrator: Orchestrator, on: list[int]) -> list[int]:
    """Those that train on, with the paused ones whose turn it is meanwhile."""
    while found := orchestrator.next():
        on.append(found[0])
    return on


def test_a_crash_frees_its_place(make: Make) -> None:
    """All that went on beyond the first level die: their places go to those that waited."""
    world = make(trials=16, slots=16)
    orchestrator = world.open()
    trials = handed_out(orchestrator, world, 16)
    on = settled(orchestrator, [n for n in trials if orchestrator.reported(n, first(trials[n]))])
    waiting = set(trials) - set(on)
    assert 2 < len(on) < 14 and not orchestrator.over
    for number in on:
        orchestrator.ended(number, "failed", "out of memory")
    found = orchestrator.next()
    assert found is not None and found[0] in waiting


@pytest.mark.parametrize("slots", [1, 4, 64])
def test_a_study_whose_trials_crash_comes_to_its_end(make: Make, slots: int) -> None:
    world = make(trials=24, slots=slots)
    world.crashes = {(n, (3, 9, 12, 24)[n % 4]) for n in range(0, 24, 2)}
    world.drive(world.open(), random.Random(slots))
    require_sound(world)
    counts = Counter(trial.status for trial in read_trials(world.folder).values())
    assert counts["failed"] >= 6 and counts["completed"] >= 2, counts


def test_rungs_in_another_order_are_taken(make: Make) -> None:
    world = make(trials=1, slots=1)
    orchestrator = world.open()
    number, task = orchestrator.next() or pytest.fail()
    for step in (9, 3, 12, 9, 24):  # the first level was missed, then came late
        on = orchestrator.reported(number, world.report(number, step, task.config))
        assert on == (step < 24)
    trial = orchestrator.ledger.trials[number]
    assert (trial.status, sorted(trial.reports), trial.passed) == ("completed", [3, 9, 12, 24], 9)


def broken_where_good(step: int, steps: int, config: Any) -> Scores:
    """The lower half of ``weight`` is far better, and breaks the bound."""
    good = {n: dict(values) for n, values in fair(step, steps, config).items()}
    for values in good.values():
        if config.weight < 10**0.5:
            values["fid"], values["psnr"] = values["fid"] / 10, 15.0
    return good


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_infeasible_go_on_after_the_feasible_and_are_on_no_front(make: Make, deterministic: bool) -> None:
    criteria = Criteria(REFERENCE, (Bound("psnr", "min", 19.0),))
    world = make(trials=24, slots=24, criteria=criteria, deterministic=deterministic)
    world.scores = broken_where_good
    orchestrator = world.open()
    world.drive(orchestrator, random.Random(0))
    require_sound(world)
    trials = read_trials(world.folder)
    good = {n for n, trial in trials.items() if trial.params["weight"] >= 10**0.5}
    assert 6 < len(good) < 18
    completed = {n for n, trial in trials.items() if trial.status == "completed"}
    assert completed and orchestrator.front().members
    assert {c.trial for c in orchestrator.front().members} <= good
    if deterministic:  # all have waited together: none that is broken goes on before the last that is not
        order = [e["trial"] for e in world.entries if e["event"] == "went_on" and e["step"] == 3]
        assert order and set(order[: len(good)]) == good & set(order)
        assert completed <= good


def test_who_breaks_the_bound_least_goes_on_where_all_do(make: Make) -> None:
    criteria = Criteria(REFERENCE, (Bound("psnr", "min", 30.0),))
    world = make(trials=12, slots=12, criteria=criteria, deterministic=True)
    world.scores = lambda step, steps, config: {
        1: {"fid": config.weight, "ms_ssim": 0.5, "psnr": config.weight / 4}
    }
    orchestrator = world.open()
    world.drive(orchestrator)
    trials = read_trials(world.folder)
    order = [e["trial"] for e in world.entries if e["event"] == "went_on" and e["step"] == 3]
    best = sorted(trials, key=lambda n: -trials[n].params["weight"])
    assert order == best[: len(order)] and order
    assert orchestrator.front().members == [] and orchestrator.front().hypervolume == 0


def test_a_death_at_every_step_changes_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker: the order of the results is the same, so every decision must be."""
    monkeypatch.setattr(forecast, "FEWEST", 10**9)
    whole = make(trials=6, slots=1)
    whole.drive(whole.open())
    statuses = {trial[1] for trial in whole.outcome().values()}
    assert statuses == {"completed", "paused"}
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = make(trials=6, slots=1)
            finished = death.live(world, step)
            assert finished or death.live(world, 10_000), step
            require_sound(world)
            assert world.outcome() == whole.outcome(), step
            step += 1
    assert step > 110


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [2, 64])
def test_deaths_upon_deaths_lose_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, slots: int, seed: int
) -> None:
    draws = random.Random(seed)
    world = make(trials=12, slots=slots, seed=seed)
    with monkeypatch.context() as patch:
        assert 2 < Death(patch).lives(world, 120, draws) < 100
    require_sound(world)


def test_a_restarted_driver_leaves_the_paused_and_hands_out_the_open(make: Make) -> None:
    world = make(trials=12, slots=3)
    first = world.open()
    number = paused_one(first, world)
    left = [found[0] for found in (first.next(), first.next()) if found]
    open_ones = {trial.number for trial in first.ledger.of_status("open")}
    assert set(left) <= open_ones
    first.ledger.close()
    again = world.open()
    handed = [found[0] for _ in open_ones if (found := again.next())]
    assert handed == sorted(open_ones) and number not in handed
    assert again.ledger.trials[number].status == "paused"


def test_a_rung_that_was_heard_is_answered_by_the_next_driver(make: Make) -> None:
    """Killed between a report and the decision: nobody is given a worker to hear that it has to wait."""
    world = make(trials=12, slots=12)
    world.scores = lambda step, steps, config: {1: {"fid": config.weight, "ms_ssim": 0.5}}
    orchestrator = world.open()
    trials = handed_out(orchestrator, world, 12)
    reports = {n: first(work) for n, work in trials.items()}
    order = sorted(trials, key=lambda n: orchestrator.ledger.trials[n].params["weight"])
    decided = [orchestrator.reported(n, reports[n]) for n in order[:-1]]
    assert False in decided
    orchestrator.ledger.reported(order[-1], plain(reports[order[-1]]))
    orchestrator.ledger.close()
    again = world.open()
    assert again.ledger.trials[order[-1]].status == "paused"


# Deterministic studies


def shuffled(make: Make, order: int, **changes: Any) -> World:
    """The study with its results in another order."""
    world = make(slots=3, deterministic=True, **changes)
    world.drive(world.open(), random.Random(order))
    return world


@pytest.mark.parametrize("sampler", ["gp", "tpe", "nsga3"])
def test_another_order_of_results_changes_no_proposal_and_no_decision(make: Make, sampler: str) -> None:
    one, two, three = (shuffled(make, order, trials=14, sampler=sampler) for order in range(3))
    assert one.outcome() == two.outcome() == three.outcome()
    assert one.entries != two.entries and one.trained == two.trained
    assert {trial[1] for trial in one.outcome().values()} == {"completed", "paused"}
    require_sound(one)


def test_a_deterministic_plateau_is_found_in_any_order(make: Make) -> None:
    budget = Budget(trials=60, plateau_percent=20.0, plateau_trials=3)
    worlds = [shuffled(make, order, budget=budget) for order in range(3)]
    assert worlds[0].outcome() == worlds[1].outcome() == worlds[2].outcome()
    assert len(worlds[0].outcome()) < 60


def test_a_deterministic_study_ends_between_its_waves_alone(toy: MakeStudy, tmp_path: Path) -> None:
    """Where part of a wave has come back, its hypervolume is that of whoever was first."""
    budget = Budget(trials=40, plateau_percent=10.0, plateau_trials=2)
    searched = (Log("weight", 0.1, 100.0), Uniform("edge", 0.0, 1.0))
    fixed = {"steps": STEPS, "limit": 2.0}
    lengths = set()
    for order in range(8):
        study = toy(deterministic=True, sampler="random", seed=2, search=searched, fixed=fixed, budget=budget)
        world = World(study, Storage.open(tmp_path / f"waves{order}"), slots=4)
        world.drive(world.open(), random.Random(order))
        lengths.add(len(world.outcome()))
    assert len(lengths) == 1 and lengths < {4, 8, 12, 16, 20}


def test_without_a_scheduler_a_deterministic_study_is_one_too(
    toy: MakeStudy, make: Make, tmp_path: Path
) -> None:
    outcomes = []
    for order in range(3):
        study = toy(deterministic=True, sampler="tpe", budget=Budget(trials=12))
        world = World(study, Storage.open(tmp_path / f"plain{order}"), slots=4)
        world.drive(world.open(), random.Random(order))
        outcomes.append(world.outcome())
    assert outcomes[0] == outcomes[1] == outcomes[2] and len(outcomes[0]) == 12


@pytest.mark.parametrize(
    ("sampler", "stride", "brackets"), [("random", 1, 1), ("tpe", 8, 1), ("random", 4, 2)]
)
def test_a_death_at_every_step_changes_nothing_in_a_deterministic_study(
    make: Make, monkeypatch: pytest.MonkeyPatch, sampler: str, stride: int, brackets: int
) -> None:
    """Three workers, results in random order, forecasts at work, waves torn while they are dealt."""
    scheduler = replace(ASHA, brackets=brackets)
    whole = shuffled(make, 0, trials=7, sampler=sampler, scheduler=scheduler)
    assert {trial[1] for trial in whole.outcome().values()} == {"completed", "paused"}
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = make(trials=7, slots=3, deterministic=True, sampler=sampler, scheduler=scheduler)
            finished = death.live(world, step, random.Random(step))
            assert finished or death.live(world, 10_000, random.Random(-step)), step
            require_sound(world)
            assert world.outcome() == whole.outcome(), step
            step += stride
    assert step > 110


def test_a_deterministic_forecast_follows_from_the_trials_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from length scales fitted to what an earlier driver knew, or knew first."""
    world = make(trials=24, slots=3, deterministic=True)
    orchestrator = world.open()
    early_stopping, compared = orchestrator.early_stopping, []

    def foresee(trials: dict[int, Trial]) -> None:
        EarlyStopping._foresee(early_stopping, trials)
        fresh = forecast.Forecaster(orchestrator.sampler.space).ends(early_stopping.observations(trials))
        assert {n: ends.tolist() for n, ends in fresh.items()} == {
            n: ends.tolist() for n, ends in early_stopping._halving.forecasts.items()
        }
        compared.append(len(fresh))

    monkeypatch.setattr(early_stopping, "_foresee", foresee)
    world.drive(orchestrator, random.Random(0))
    assert sum(count > 0 for count in compared) > 5


def test_a_wave_is_dealt_once_all_have_come_back(make: Make) -> None:
    world = make(trials=9, slots=3, deterministic=True)
    orchestrator = world.open()
    wave = [orchestrator.next() for _ in range(3)]
    assert all(wave) and orchestrator.next() is None and not orchestrator.over
    for n, (number, task) in enumerate(found for found in wave if found):
        assert not orchestrator.reported(number, first(world.work(number, task)))
        assert (orchestrator.next() is None) == (n < 2)


def test_brackets_pass_their_first_levels_without_waiting(make: Make) -> None:
    for deterministic in (False, True):
        scheduler = Scheduler(name="asha", grace=3, min_results=2, brackets=2)
        world = make(trials=20, slots=4, scheduler=scheduler, deterministic=deterministic)
        orchestrator = world.open()
        world.drive(orchestrator, random.Random(1))
        free = [n for n in range(20) if orchestrator.early_stopping._halving.bracket(n) == 1]
        trials = read_trials(world.folder)
        assert 2 < len(free) < 10
        assert all(9 in trials[n].reports for n in free)
        assert any(max(trials[n].reports) == 3 for n in trials if n not in free)
        went_on = {(e["trial"], e["step"]) for e in world.entries if e["event"] == "went_on"}
        assert not went_on & {(n, 3) for n in free}, "in a deterministic study it tells that a wave is dealt"


def test_who_ends_at_a_level_takes_nobodys_place_there(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials may train for fewer steps than others; those that are over cannot go on."""
    monkeypatch.setattr(forecast, "FEWEST", 10**9)

    def trial(number: int, fid: float, steps: int) -> Trial:
        scores = {"1": {"fid": fid, "ms_ssim": 0.5}}
        report = {"step": 9, "steps": steps, "scores": scores, "checkpoint": ""}
        status: Status = "paused" if steps > 9 else "completed"
        return Trial(number, {"weight": 1.0, "edge": 0.5}, status, reports={9: report})

    def resumed(trials: dict[int, Trial]) -> list[int]:
        early_stopping, order = triage_of(orchestrator, trials), []
        while (number := early_stopping.resumable(trials)) is not None:
            early_stopping.continued(number, 9)
            trials[number].status = "open"
            order.append(number)
        return order

    orchestrator = make(trials=24).open()
    waiting = {n: trial(n, 5 + n / 10, STEPS) for n in range(12)}
    ended = {n: trial(n, 1 + n / 10, 9) for n in range(12, 24)}
    alone = resumed({n: replace(each) for n, each in waiting.items()})
    assert alone == list(range(len(alone))) and 2 < len(alone) < 12
    assert resumed(waiting | ended) == alone


def test_known_trials_of_an_earlier_study_do_not_count_as_this_ones(make: Make) -> None:
    """A level keeps its share of the trials that are to come here."""
    one = {"params": {"weight": 1.0, "edge": 0.1}, "scores": {"1": {"fid": 5.0, "ms_ssim": 0.5}}}
    known = (one,) * 50
    world = make(trials=9, criteria=Criteria(REFERENCE, known=known))
    orchestrator = world.open()
    assert orchestrator.sampler.space.trials == 59 and orchestrator.early_stopping._halving.trials == 9


def test_the_same_question_is_answered_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(trials=12, slots=12)
    orchestrator = world.open()
    trials = handed_out(orchestrator, world, 12)
    for n, work in trials.items():
        orchestrator.reported(n, first(work))
    settled(orchestrator, [])
    orchestrator.ended(min(orchestrator.running), "failed")
    asked: list[Any] = []
    answer = orchestrator.early_stopping._halving.next
    monkeypatch.setattr(
        orchestrator.early_stopping._halving, "next", lambda paused: asked.append(paused) or answer(paused)
    )
    for _ in range(5):
        orchestrator.next()
    assert len(asked) == 1


def test_observations_are_the_trials_as_they_stand(make: Make) -> None:
    world = make(trials=6, slots=2)
    world.crashes = {(1, 9)}
    orchestrator = world.open()
    world.drive(orchestrator)
    seen = orchestrator.early_stopping.observations(orchestrator.ledger.trials)
    states = {"completed": "completed", "paused": "paused", "failed": "failed"}
    for number, trial in orchestrator.ledger.trials.items():
        assert seen[number].state == states[trial.status] and seen[number].params == trial.params
        shares = {s / STEPS for s in trial.reports if s in LEVELS or s == max(trial.reports)}
        assert {rung.share for rung in seen[number].rungs} == shares
    again = world.open()
    assert again.early_stopping.observations(read_trials(world.folder)) == seen
    Ledger.close(again.ledger)
