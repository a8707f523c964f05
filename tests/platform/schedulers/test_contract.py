"""What halving promises a study, whatever comes: on a simulated clock, with W workers and random curves."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from platform.pareto.dominance import nondominated_sort
from platform.schedulers.asha import Halving, Result
from typing import Any

import numpy as np
import pytest

LEVELS, END = (2, 6, 18), 54
TRIALS = 50
Array = np.ndarray[Any, Any]


@dataclass
class Trial:
    """A random curve: two candidates' objectives at each level, or a crash on the way there."""

    end: Array
    transient: Array
    crashes_at: int | None
    skips: frozenset[int]
    """Levels near which it reports a little later."""
    violation: float
    state: str = "running"
    step: int = 0
    waited: list[int] = field(default_factory=list)
    """Levels at which it was halted."""

    def result(self, step: int) -> Result:
        """Less transient, the longer it has trained."""
        return RungResult(self.end + self.transient / np.sqrt(step), self.violation)

    def next_step(self) -> int:
        """Where it reports next: a level, or beyond a missed one, before the next."""
        level = next((level for level in LEVELS if level > self.step), END)
        return level + 1 if level in self.skips else level


@dataclass
class Study:
    """Workers train from level to level; a free one takes a paused trial that may go on, else a new one."""

    workers: int
    seed: int
    brackets: int = 1
    levels: tuple[int, ...] = LEVELS
    forecast: bool = False
    restore: bool = False
    """Whether the driver is killed and started anew before every decision."""
    crashing: float = 0.1
    infeasible: float = 0.0
    skipping: float = 0.0
    late_news: bool = False
    """Whether reports come a second time, later, with other values."""
    min_results: int = 4
    trials: dict[int, Trial] = field(default_factory=dict)
    decisions: list[tuple[Any, ...]] = field(default_factory=list)
    check: Callable[["Study", str, int, int], None] = lambda study, what, trial, step: None

    def __post_init__(self) -> None:
        self.halving = self.fresh()
        self.history: list[tuple[int, str, int]] = []
        """Trial, "reported" or "went_on", step; since its crash, a lost trial has none."""
        self.shuffle = np.random.default_rng(self.seed)
        self.clock: list[tuple[float, int, int]] = []
        self.now, self.begun = 0.0, 0

    def fresh(self) -> Halving:
        return Halving(self.levels, TRIALS, np.ones(2), brackets=self.brackets, min_results=self.min_results)

    def restored(self) -> Halving:
        """From what was reported and who went on, in any order."""
        halving = self.fresh()
        for index in self.shuffle.permutation(len(self.history)):
            self.tell(halving, *self.history[index])
        for number, trial in self.trials.items():
            if trial.state == "failed":
                halving.failed(number)
        return halving

    def tell(self, halving: Halving, number: int, what: str, step: int) -> None:
        if what == "reported":
            halving.reported(number, step, self.trials[number].result(step))
        else:
            halving.continued(number, step)

    def note(self, number: int, what: str, step: int) -> None:
        self.history.append((number, what, step))
        self.tell(self.halving, number, what, step)

    def before_a_decision(self) -> Halving:
        if self.restore:
            self.halving = self.restored()
        if self.forecast:
            rng = np.random.default_rng(self.seed)
            told = {n: t.end + 0.05 * rng.standard_normal() for n, t in self.trials.items() if t.step}
            self.halving.forecasts = {n: points[:1] for n, points in told.items()}
        return self.halving

    def run(self) -> "Study":
        self.fill()
        while self.clock:
            self.now, _, number = heapq.heappop(self.clock)
            self.arrived(number)
            self.fill()
        return self

    def fill(self) -> None:
        while len(self.clock) < self.workers:
            paused = {n: t.step for n, t in self.trials.items() if t.state == "paused"}
            number = self.before_a_decision().next(paused) if paused else None
            self.decisions.append(("next", number))
            if number is not None:
                self.check(self, "next", number, paused[number])
                self.note(number, "went_on", paused[number])
            elif len(self.trials) < TRIALS:
                number = len(self.trials)
                self.trials[number] = self.drawn(number)
            else:
                return
            self.begin(number)

    def drawn(self, number: int) -> Trial:
        rng = np.random.default_rng([self.seed, number])
        crash = int(rng.choice([*LEVELS, END])) if rng.random() < self.crashing else None
        return Trial(
            rng.random((2, 2)),
            2 * rng.random((1, 2)),
            crash,
            frozenset(level for level in LEVELS if rng.random() < self.skipping),
            float(rng.random()) if rng.random() < self.infeasible else 0.0,
        )

    def begin(self, number: int) -> None:
        trial = self.trials[number]
        trial.state = "running"
        speed = 1 + number % 5 / 2  # some workers are slow: results come out of order
        heapq.heappush(self.clock, (self.now + speed * (trial.next_step() - trial.step), self.begun, number))
        self.begun += 1

    def arrived(self, number: int) -> None:
        trial = self.trials[number]
        before, trial.step = trial.step, trial.next_step()
        if trial.crashes_at is not None and trial.crashes_at <= trial.step:
            trial.state = "failed"
            self.halving.failed(number)
            self.history = [told for told in self.history if told[0] != number]
            return
        if trial.step == END:
            trial.state = "completed"
            return
        self.note(number, "reported", trial.step)
        if self.late_news:
            self.told_again(number, before)
        goes_on = self.before_a_decision().continues(number, trial.step)
        self.decisions.append(("goes_on", number, goes_on))
        self.check(self, "on" if goes_on else "halt", number, trial.step)
        if goes_on:
            self.note(number, "went_on", trial.step)
            self.begin(number)
        else:
            trial.state = "paused"
            trial.waited.append(trial.step)

    def told_again(self, number: int, before: int) -> None:
        """An earlier rung and the newest."""
        wrong = RungResult(np.full((1, 2), -9.0), 0.0)
        for step in (before, self.trials[number].step):
            if step:
                self.halving.reported(number, step, wrong)


def of_level(study: Study, step: int) -> dict[int, Result]:
    level = study.halving.level_at(step)
    assert level is not None
    return study.halving.results.get(level, {})


WORKERS = pytest.mark.parametrize("workers", [1, 4, 64])
SEEDS = pytest.mark.parametrize("seed", [0, 1])
BRACKETS = pytest.mark.parametrize("brackets", [1, 2])
FORECAST = pytest.mark.parametrize("forecast", [False, True])


@WORKERS
@SEEDS
@BRACKETS
@FORECAST
def test_the_rules_of_every_decision(workers: int, seed: int, brackets: int, forecast: bool) -> None:
    """Whom it halts, whom it lets on, by how many results, in what order; every trial comes to an end."""
    counts = {"halt": 0, "next": 0, "on": 0}

    def check(study: Study, what: str, number: int, step: int) -> None:
        counts[what] += 1
        halving, results = study.halving, of_level(study, step)
        level = halving.level_at(step)
        assert level is not None
        gone = halving.passed.get(level, set()) & results.keys()
        free = halving.levels.index(level) < halving.bracket(number)
        quota = halving.quota(level, len(results))
        if what == "halt":
            assert len(results) >= study.min_results
            assert not free and number not in gone
            assert step not in study.trials[number].waited, "it has waited here before"
        elif not free and len(results) >= study.min_results:
            assert len(gone) < quota, "the quota was full"
        if what == "next":
            for above in (other for other in LEVELS if other > level):
                waiting = {n for n, t in study.trials.items() if t.state == "paused"}
                assert not waiting & set(halving.survivors(above)), "a higher level comes first"

    study = Study(workers, seed, brackets, forecast=forecast, infeasible=0.2, skipping=0.2, check=check).run()
    assert len(study.trials) == TRIALS
    states = [trial.state for trial in study.trials.values()]
    assert set(states) == {"completed", "paused", "failed"}
    assert states.count("completed") >= 5 and states.count("paused") >= 15
    assert min(counts["halt"], counts["on"]) > 10 and (workers == 64 or counts["next"] > 3)
    assert all(len(set(trial.waited)) == len(trial.waited) for trial in study.trials.values())
    for level in LEVELS:  # nobody hangs who might go on
        waiting = {
            n
            for n, t in study.trials.items()
            if t.state == "paused" and study.halving.level_at(t.step) == level
        }
        assert not waiting & set(study.halving.survivors(level))


@WORKERS
@SEEDS
@BRACKETS
@FORECAST
def test_a_restored_state_decides_as_one_that_was_never_lost(
    workers: int, seed: int, brackets: int, forecast: bool
) -> None:
    options: dict[str, Any] = {"forecast": forecast, "infeasible": 0.2, "skipping": 0.2}
    lasting = Study(workers, seed, brackets, **options).run()
    killed = Study(workers, seed, brackets, **options, restore=True).run()
    assert lasting.decisions == killed.decisions
    assert {told[0] for told in lasting.decisions} == {"next", "goes_on"}


@WORKERS
@SEEDS
def test_what_is_told_again_late_changes_nothing(workers: int, seed: int) -> None:
    plain = Study(workers, seed, crashing=0.0).run()
    again = Study(workers, seed, crashing=0.0, late_news=True).run()
    assert plain.decisions == again.decisions


@WORKERS
@SEEDS
def test_without_levels_everything_trains_to_its_end(workers: int, seed: int) -> None:
    study = Study(workers, seed, levels=(), crashing=0.2).run()
    states = {trial.state for trial in study.trials.values()}
    assert states == {"completed", "failed"}
    assert all(not trial.waited for trial in study.trials.values())
    assert all(told[-1] is True for told in study.decisions if told[0] == "goes_on")


@WORKERS
def test_crashed_trials_neither_block_nor_count(workers: int) -> None:
    """Half of all crash: as many of the others go on as where these had never been."""
    for seed in range(4):
        study = Study(workers, seed, crashing=0.5).run()
        failed = {n for n, t in study.trials.items() if t.state == "failed"}
        assert len(failed) > 5
        for level in LEVELS:
            results = study.halving.results.get(level, {})
            gone = study.halving.passed.get(level, set())
            assert not failed & (set(results) | gone)
            if len(results) >= 8:
                quota = study.halving.quota(level, len(results))
                assert len(gone) >= quota


@WORKERS
@FORECAST
def test_feasible_trials_go_before_infeasible_ones(workers: int, forecast: bool) -> None:
    """Of those that wait together at a level, whenever one is called."""
    called = 0

    def check(study: Study, what: str, number: int, step: int) -> None:
        nonlocal called
        if what != "next":
            return
        level = study.halving.level_at(step)
        waiting = [
            t
            for t in study.trials.values()
            if t.state == "paused" and study.halving.level_at(t.step) == level
        ]
        if study.trials[number].violation:
            called += 1
            assert all(trial.violation >= study.trials[number].violation for trial in waiting)

    infeasible = 0
    for seed in range(4):
        study = Study(workers, seed, forecast=forecast, infeasible=0.75, check=check).run()
        done = [trial for trial in study.trials.values() if trial.state == "completed"]
        infeasible += sum(trial.violation > 0 for trial in study.trials.values())
        assert np.mean([trial.violation == 0 for trial in done]) > (0.3 if workers == 64 else 0.4)
    assert infeasible > 100
    assert workers == 64 or called > 0


def test_a_rung_beyond_a_missed_level_counts_for_it() -> None:
    study = Study(4, 0, skipping=1.0, crashing=0.0).run()
    assert {len(study.halving.results[level]) > 0 for level in LEVELS} == {True}
    assert len(study.halving.results[LEVELS[0]]) == TRIALS
    states = [trial.state for trial in study.trials.values()]
    assert 5 <= states.count("completed") < TRIALS / 2


@WORKERS
def test_good_trials_are_completed_and_bad_ones_are_not(workers: int) -> None:
    """Whatever the workers: with little transient, the front's are among the completed ones."""
    shares = []
    for seed in range(3):
        study = Study(workers, seed, crashing=0.0).run()
        ends = [trial.end for trial in study.trials.values()]
        ranks = nondominated_sort(np.concatenate(ends)).reshape(-1, 2).min(1)
        done = np.array([trial.state == "completed" for trial in study.trials.values()])
        shares.append((done[ranks == 0].mean(), done[ranks > 2].mean()))
    front, rest = np.mean(shares, axis=0)
    assert front > rest + 0.2, shares
