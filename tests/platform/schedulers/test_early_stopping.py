"""Studies with a scheduler, driven without Ray: which trials wait, which continue, what a kill changes."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from platform.orchestration.orchestrator import Orchestrator
from platform.schedulers.early_stopping import EarlyStopping
from platform.storage.layout import Storage
from platform.storage.ledger import read_trials
from platform.storage.trials import Trials
from platform.study.budget import Budget
from platform.study.criteria import Bound, Criteria, EarlierTrial
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
TWO_BRACKETS = replace(ASHA, brackets=2)
SEARCH: dict[str, Any] = {
    "search": (Log("weight", 0.1, 100.0), Uniform("edge", 0.0, 1.0)),
    "fixed": {"steps": STEPS, "limit": 2.0},
}
Make = Callable[..., World]


@pytest.fixture
def make(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """``make(trials=9, slots=2, sampler="tpe")``: a study with halving in its own folder."""
    proposals_at_once(monkeypatch)
    numbers = iter(range(1_000_000))

    def world(trials: int = 9, slots: int = 2, criteria: Criteria | None = None, **changes: Any) -> World:
        study = toy(**{**SEARCH, "scheduler": ASHA, "budget": Budget(trials=trials), **changes})
        assert study.levels == (LEVELS if study.scheduler.name == "asha" else ())
        folder = Storage.open(tmp_path / str(next(numbers)))
        return World(study, folder, criteria or Criteria(REFERENCE), slots)

    return world


@pytest.fixture
def no_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that was made earlier may forecast differently."""
    monkeypatch.setattr(forecast, "MIN_COMPLETED", 10**9)


def restored(orchestrator: Orchestrator, trials: Trials) -> EarlyStopping:
    """As of a driver that has just read these trials."""
    space, make_front = orchestrator.suggester.space, orchestrator.progress.make_front
    early_stopping = EarlyStopping(orchestrator.study, space, make_front)
    early_stopping.restore(trials)
    return early_stopping


def require_sound(world: World) -> None:
    """Every trial has ended or waits at a level, each step was trained once, MLflow agrees."""
    trials = read_trials(world.folder)
    assert sorted(trials) == list(range(world.study.budget.trials))
    assert {t.status for t in trials.values()} <= {"completed", "paused", "failed"}
    assert set(world.trained.values()) == {1}
    finished = {call[0]: call[1] for call in world.recorder.of("finish")}
    names = {"completed": "FINISHED", "paused": "SCHEDULED", "failed": "FAILED"}
    assert finished == {n: names[t.status] for n, t in trials.items()}
    for number, trial in trials.items():
        steps = [step for step in (3, 9, 12, 24) if world.trained[number, step]]
        assert sorted(trial.reports) == steps
        if trial.status == "paused":
            assert max(steps) in LEVELS and trial.continued_past < max(steps)
        if trial.status == "completed":
            assert steps == [3, 9, 12, 24] and trial.continued_past == 9


def statuses(world: World) -> set[str]:
    return {trial.status for trial in read_trials(world.folder).values()}


def continued_at(world: World, step: int) -> list[int]:
    """Trials in the order in which they continued past a step."""
    return [e["trial"] for e in world.entries if e["event"] == "went_on" and e["step"] == step]


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slots", [1, 4, 64])
def test_some_trials_wait_and_some_continue(make: Make, slots: int, seed: int, crashes: bool) -> None:
    world = make(trials=24, slots=slots, seed=seed)
    world.crashes = {(n, (3, 9, 12, 24)[n % 4]) for n in range(0, 24, 2)} if crashes else set()
    world.drive(world.open(), random.Random(seed))
    require_sound(world)
    trials = read_trials(world.folder).values()
    counts = Counter(trial.status for trial in trials)
    if crashes:
        assert counts["failed"] >= 6 and counts["completed"] >= 2, counts
        return
    assert counts["paused"] >= 6 and counts["completed"] >= 3, counts
    assert len(set(world.starts)) < len(world.starts), "some paused trials were resumed"
    # of equal ``edge`` the lower ``weight`` is better in both objectives at every step
    best = min(trial.params["weight"] for trial in trials if trial.status == "completed")
    assert best <= sorted(trial.params["weight"] for trial in trials)[4]


@pytest.mark.parametrize("slots", [1, 3])
def test_paused_trials_come_before_new_ones(make: Make, no_forecasts: None, slots: int) -> None:
    """Before each proposal a new reader of the ledger would resume no trial."""
    world = make(trials=20, slots=slots)
    world.drive(world.open(), random.Random(slots))
    assert len(set(world.starts)) < len(world.starts)
    orchestrator, entries = world.open(), world.entries
    for place, entry in enumerate(entries):
        if entry["event"] == "proposed":
            trials = Trials.of(entries[:place])
            assert restored(orchestrator, trials).resumable(trials) is None, place
    orchestrator.ledger.close()


def test_a_resumed_trial_continues_from_where_it_waited(make: Make) -> None:
    world = make(trials=20, slots=1)
    world.drive(world.open())
    entries, resumed = world.entries, 0
    for place, entry in enumerate(entries):
        if entry["event"] == "went_on" and entries[place - 1]["event"] != "reported":
            resumed += 1
            assert entries[place + 1]["event"] == "started"
            repeated, trained = (e["report"]["step"] for e in entries[place + 2 : place + 4])
            assert (repeated, trained) == (entry["step"], {3: 9, 9: 12}[entry["step"]])
            assert {e["trial"] for e in entries[place : place + 4]} == {entry["trial"]}
    assert resumed


def first_paused(orchestrator: Orchestrator, world: World) -> int:
    """Drive until a trial waits."""
    while True:
        number, task = orchestrator.next() or pytest.fail("no trial was ever paused")
        for report in world.work(number, task):
            if report and not orchestrator.reported(number, report) and not report.done:
                return number


def test_messages_after_a_pause_are_ignored_and_mlflow_learns_of_it(make: Make) -> None:
    """The pause is final for MLflow once the study closes."""
    world = make()
    orchestrator = world.open()
    number = first_paused(orchestrator, world)
    before, last = world.entries, world.published[number]
    late = world.report(number, 24, orchestrator.study.point(orchestrator.ledger.trials[number].params))
    assert not orchestrator.reported(number, last) and not orchestrator.reported(number, late)
    orchestrator.ended(number, "failed", "its worker was stopped")
    assert world.entries == before and orchestrator.ledger.trials[number].status == "paused"
    assert number not in orchestrator.running
    reason = f"waits at step {last.step} of 24: others did better there"
    finished = [("SCHEDULED", {"status": "paused", "reason": reason})]
    assert [call[1:] for call in world.recorder.of("finish") if call[0] == number] == finished
    orchestrator.close()
    finished.append(("KILLED", {"status": "stopped", "reason": reason}))
    assert [call[1:] for call in world.recorder.of("finish") if call[0] == number] == finished


def start(orchestrator: Orchestrator, world: World, count: int) -> dict[int, Iterator[Report | None]]:
    """So many trials, started."""
    tasks = [orchestrator.next() or pytest.fail("too few trials") for _ in range(count)]
    return {number: world.work(number, task) for number, task in tasks}


def first(work: Iterator[Report | None]) -> Report:
    """What a training reports next."""
    return next(work) or pytest.fail("it died")


def test_a_crash_frees_its_place(make: Make) -> None:
    """All trials that continued past the first level crash: trials that waited continue in their place."""
    world = make(trials=16, slots=16)
    orchestrator = world.open()
    trials = start(orchestrator, world, 16)
    running = [n for n in trials if orchestrator.reported(n, first(trials[n]))]
    while found := orchestrator.next():
        running.append(found[0])
    assert 2 < len(running) < 14 and not orchestrator.over
    for number in running:
        orchestrator.ended(number, "failed", "out of memory")
    found = orchestrator.next()
    assert found is not None and found[0] in set(trials) - set(running)


def test_rungs_in_another_order_are_accepted(make: Make) -> None:
    """The first level was skipped, then came late."""
    world = make(trials=1, slots=1)
    orchestrator = world.open()
    number, task = orchestrator.next() or pytest.fail()
    for step in (9, 3, 12, 9, 24):
        assert orchestrator.reported(number, world.report(number, step, task.config)) == (step < 24)
    trial = orchestrator.ledger.trials[number]
    assert (trial.status, sorted(trial.reports)) == ("completed", [3, 9, 12, 24])
    assert trial.continued_past == 9


def infeasible_where_good(step: int, steps: int, config: Any) -> Scores:
    """The lower half of ``weight`` is far better, and violates the bound."""
    scores = {n: dict(values) for n, values in fair(step, steps, config).items()}
    for values in scores.values() if config.weight < 10**0.5 else ():
        values["fid"], values["psnr"] = values["fid"] / 10, 15.0
    return scores


@pytest.mark.parametrize("deterministic", [False, True])
def test_infeasible_trials_continue_after_feasible_ones(make: Make, deterministic: bool) -> None:
    """And are not on the front."""
    criteria = Criteria(REFERENCE, (Bound("psnr", "min", 19.0),))
    world = make(trials=24, slots=24, criteria=criteria, deterministic=deterministic)
    world.scores = infeasible_where_good
    orchestrator = world.open()
    world.drive(orchestrator, random.Random(0))
    require_sound(world)
    trials = read_trials(world.folder)
    feasible = {n for n, trial in trials.items() if trial.params["weight"] >= 10**0.5}
    completed = {n for n, trial in trials.items() if trial.status == "completed"}
    members = {c.trial for c in orchestrator.progress.members()}
    assert 6 < len(feasible) < 18 and completed and members and members <= feasible
    if deterministic:  # all wait together: no infeasible trial continues before the last feasible one
        order = continued_at(world, 3)
        assert order and set(order[: len(feasible)]) == feasible & set(order) and completed <= feasible


def test_if_all_trials_are_infeasible_those_of_the_least_violation_continue(make: Make) -> None:
    criteria = Criteria(REFERENCE, (Bound("psnr", "min", 30.0),))
    world = make(trials=12, slots=12, criteria=criteria, deterministic=True)
    world.scores = lambda step, steps, config: {
        1: {"fid": config.weight, "ms_ssim": 0.5, "psnr": config.weight / 4}
    }
    orchestrator = world.open()
    world.drive(orchestrator)
    trials, order = read_trials(world.folder), continued_at(world, 3)
    assert order and order == sorted(trials, key=lambda n: -trials[n].params["weight"])[: len(order)]
    progress = orchestrator.progress
    assert progress.members() == [] and not any(progress.hypervolumes())


# Interruptions


def random_order(deterministic: bool, seed: int) -> random.Random | None:
    return random.Random(seed) if deterministic else None


@pytest.mark.parametrize(
    ("deterministic", "sampler", "stride", "scheduler"),
    [
        (False, "random", 1, ASHA),
        (True, "random", 1, ASHA),
        (True, "tpe", 8, ASHA),
        (True, "random", 4, TWO_BRACKETS),
    ],
)
def test_a_death_at_every_step_changes_nothing(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    deterministic: bool,
    sampler: str,
    stride: int,
    scheduler: Scheduler,
) -> None:
    """One worker, or three with results in random order, forecasts, and deaths while a wave is started."""
    if not deterministic:
        request.getfixturevalue("no_forecasts")
    options: dict[str, Any] = {"sampler": sampler, "scheduler": scheduler, "deterministic": deterministic}
    options |= {"trials": 7, "slots": 3} if deterministic else {"trials": 6, "slots": 1}
    whole = make(**options)
    whole.drive(whole.open(), random_order(deterministic, 0))
    assert statuses(whole) == {"completed", "paused"}
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = make(**options)
            finished = death.live(world, step, random_order(deterministic, step))
            assert finished or death.live(world, 10_000, random_order(deterministic, -step)), step
            require_sound(world)
            assert world.outcome() == whole.outcome(), step
            step += stride
    assert step > 110


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [2, 64])
def test_many_deaths_lose_nothing(make: Make, monkeypatch: pytest.MonkeyPatch, slots: int, seed: int) -> None:
    world = make(trials=12, slots=slots, seed=seed)
    with monkeypatch.context() as patch:
        assert 2 < Death(patch).lives(world, 120, random.Random(seed)) < 100
    require_sound(world)


def test_a_restarted_driver_starts_the_open_trials_and_not_the_paused_ones(make: Make) -> None:
    world = make(trials=12, slots=3)
    orchestrator = world.open()
    number = first_paused(orchestrator, world)
    left = [found[0] for found in (orchestrator.next(), orchestrator.next()) if found]
    open_trials = {trial.number for trial in orchestrator.ledger.of_status("open")}
    assert set(left) <= open_trials
    orchestrator.ledger.close()
    again = world.open()
    started = [found[0] for _ in open_trials if (found := again.next())]
    assert started == sorted(open_trials) and number not in started
    assert again.ledger.trials[number].status == "paused"


def test_an_undecided_rung_is_decided_by_the_next_driver(make: Make) -> None:
    """Killed between a report and the decision: no worker is started only to be paused."""
    world = make(trials=12, slots=12)
    world.scores = lambda step, steps, config: {1: {"fid": config.weight, "ms_ssim": 0.5}}
    orchestrator = world.open()
    reports = {n: first(work) for n, work in start(orchestrator, world, 12).items()}
    *others, worst = sorted(reports, key=lambda n: orchestrator.ledger.trials[n].params["weight"])
    assert False in [orchestrator.reported(n, reports[n]) for n in others]
    orchestrator.ledger.reported(worst, reports[worst])
    orchestrator.ledger.close()
    assert world.open().ledger.trials[worst].status == "paused"


# Deterministic studies


@pytest.mark.parametrize(
    ("slots", "changes"),
    [
        *((3, {"trials": 14, "sampler": sampler}) for sampler in ("gp", "tpe", "nsga3")),
        (3, {"budget": Budget(trials=60, plateau_percent=20.0, plateau_trials=3)}),
        (4, {"trials": 12, "sampler": "tpe", "scheduler": Scheduler()}),
    ],
)
def test_another_order_of_results_changes_no_proposal_and_no_decision(
    make: Make, slots: int, changes: dict[str, Any]
) -> None:
    """Nor where a plateau ends the study, nor without a scheduler."""
    worlds = [make(slots=slots, deterministic=True, **changes) for _ in range(3)]
    for order, world in enumerate(worlds):
        world.drive(world.open(), random.Random(order))
    one, two, three = worlds
    assert one.outcome() == two.outcome() == three.outcome()
    assert one.entries != two.entries and one.trained == two.trained
    if "budget" in changes:
        assert len(one.outcome()) < 60
    elif "scheduler" in changes:
        assert len(one.outcome()) == 12 and statuses(one) == {"completed"}
    else:
        require_sound(one)
        assert statuses(one) == {"completed", "paused"}


def test_a_deterministic_study_ends_only_between_its_waves(make: Make) -> None:
    """Within a wave the hypervolume depends on which trials have ended first."""
    budget = Budget(trials=40, plateau_percent=10.0, plateau_trials=2)
    lengths = set()
    for order in range(8):
        world = make(slots=4, deterministic=True, seed=2, budget=budget, scheduler=Scheduler())
        world.drive(world.open(), random.Random(order))
        lengths.add(len(world.outcome()))
    assert len(lengths) == 1 and lengths < {4, 8, 12, 16, 20}


def test_a_deterministic_forecast_follows_from_the_trials_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from hyperparameters that were fitted to earlier trials."""
    world = make(trials=24, slots=3, deterministic=True)
    orchestrator = world.open()
    early_stopping, compared = orchestrator.early_stopping, []

    def update(trials: Trials) -> None:
        EarlyStopping._update_forecasts(early_stopping, trials)
        fresh = forecast.Forecaster(orchestrator.suggester.space).ends(early_stopping.observations(trials))
        forecasts = early_stopping._scheduler.forecasts
        assert {n: v.tolist() for n, v in fresh.items()} == {n: v.tolist() for n, v in forecasts.items()}
        compared.append(len(fresh))

    monkeypatch.setattr(early_stopping, "_update_forecasts", update)
    world.drive(orchestrator, random.Random(0))
    assert sum(count > 0 for count in compared) > 5


def test_a_wave_starts_once_all_trials_of_the_last_have_paused_or_ended(make: Make) -> None:
    world = make(trials=9, slots=3, deterministic=True)
    orchestrator = world.open()
    wave = start(orchestrator, world, 3)
    assert orchestrator.next() is None and not orchestrator.over
    for n, (number, work) in enumerate(wave.items()):
        assert not orchestrator.reported(number, first(work))
        assert (orchestrator.next() is None) == (n < 2)


# What competes


@pytest.mark.parametrize("deterministic", [False, True])
def test_brackets_pass_their_first_levels_without_waiting(make: Make, deterministic: bool) -> None:
    world = make(trials=20, slots=4, scheduler=TWO_BRACKETS, deterministic=deterministic)
    orchestrator = world.open()
    world.drive(orchestrator, random.Random(1))
    free = {n for n in range(20) if orchestrator.early_stopping._scheduler.bracket(n) == 1}
    trials = read_trials(world.folder)
    assert 2 < len(free) < 10 and all(9 in trials[n].reports for n in free)
    assert any(max(trials[n].reports) == 3 for n in trials.keys() - free)
    assert not free & set(continued_at(world, 3)), "a deterministic study reads it as the start of a wave"


def test_a_trial_that_ends_at_a_level_takes_no_place_there(make: Make, no_forecasts: None) -> None:
    """Trials may train for fewer steps than others; completed ones cannot continue."""

    def trial(number: int, fid: float, steps: int) -> list[dict[str, Any]]:
        report = Report(9, steps, {1: {"fid": fid, "ms_ssim": 0.5}}, {}, 1.0, "").to_json()
        end = {"event": "paused", "reason": ""} if steps > 9 else {"event": "ended", "status": "completed"}
        events = [{"event": "proposed", "params": {"weight": 1.0, "edge": 0.5}}]
        events += [{"event": "reported", "report": report}, {"reason": "", "seq": 1} | end]
        return [{"trial": number} | event for event in events]

    def resumed(entries: list[dict[str, Any]]) -> list[int]:
        trials, order = Trials.of(entries), []
        early_stopping = restored(orchestrator, trials)
        while (number := early_stopping.resumable(trials)) is not None:
            early_stopping.continued(number, 9)
            trials.apply({"trial": number, "event": "went_on", "step": 9})
            order.append(number)
        return order

    orchestrator = make(trials=24).open()
    waiting = [entry for n in range(12) for entry in trial(n, 5 + n / 10, STEPS)]
    ended = [entry for n in range(12, 24) for entry in trial(n, 1 + n / 10, 9)]
    alone = resumed(waiting)
    assert alone == list(range(len(alone))) and 2 < len(alone) < 12
    assert resumed(waiting + ended) == alone


def test_known_trials_of_an_earlier_study_do_not_compete(make: Make) -> None:
    """A level keeps its share of the trials that are expected in this study."""
    known = (EarlierTrial({"weight": 1.0, "edge": 0.1}, {1: {"fid": 5.0, "ms_ssim": 0.5}}),) * 50
    orchestrator = make(trials=9, criteria=Criteria(REFERENCE, known=known)).open()
    assert orchestrator.suggester.space.trials == 59
    assert orchestrator.early_stopping._scheduler.trials == 9


def test_the_trial_to_resume_is_computed_once_while_nothing_changes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(trials=12, slots=12)
    orchestrator = world.open()
    for n, work in start(orchestrator, world, 12).items():
        orchestrator.reported(n, first(work))
    while orchestrator.next():
        pass
    orchestrator.ended(min(orchestrator.running), "failed")
    requests: list[Any] = []
    halving = orchestrator.early_stopping._scheduler
    answer = halving.next_to_resume
    monkeypatch.setattr(halving, "next_to_resume", lambda paused: requests.append(paused) or answer(paused))
    for _ in range(5):
        orchestrator.next()
    assert len(requests) == 1


def test_observations_are_the_trials_as_they_are_now(make: Make) -> None:
    world = make(trials=6, slots=2)
    world.crashes = {(1, 9)}
    orchestrator = world.open()
    world.drive(orchestrator)
    observed = orchestrator.early_stopping.observations(orchestrator.ledger.trials)
    for number, trial in orchestrator.ledger.trials.items():
        assert (observed[number].state, observed[number].params) == (trial.status, trial.params)
        shares = {s / STEPS for s in trial.reports if s in LEVELS or s == max(trial.reports)}
        assert {rung.share for rung in observed[number].rungs} == shares
    again = world.open()
    assert again.early_stopping.observations(read_trials(world.folder)) == observed
    again.ledger.close()
