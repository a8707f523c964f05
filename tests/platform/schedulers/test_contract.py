"""What halving guarantees in any study: on a simulated clock, with several workers and random curves."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from platform.pareto.dominance import nondominated_sort
from platform.pareto.observations import RungResult
from platform.schedulers.asha import Halving
from typing import Any

import numpy as np
import pytest

LEVELS, END = (2, 6, 18), 54
TRIALS = 50
Array = np.ndarray[Any, Any]


@dataclass
class Trial:
    """A random curve: two candidates' objectives at each level, or a crash before one."""

    end: Array
    transient: Array
    crashes_at: int | None
    skips: frozenset[int]
    """Levels near which it reports a little later."""
    violation: float
    state: str = "running"
    step: int = 0
    waited: list[int] = field(default_factory=list)
    """Levels at which it was paused."""

    def result(self, step: int) -> RungResult:
        return RungResult(self.end + self.transient / np.sqrt(step), self.violation)

    def next_step(self) -> int:
        """Where it reports next: a level, or, after a skipped one, before the next."""
        level = next((level for level in LEVELS if level > self.step), END)
        return level + 1 if level in self.skips else level


@dataclass
class Study:
    """Workers train from level to level; a free one takes a trial to resume, else a new one."""

    workers: int
    seed: int
    brackets: int = 1
    levels: tuple[int, ...] = LEVELS
    forecast: bool = False
    restore: bool = False
    """Whether the driver is killed and started again before every decision."""
    crashing: float = 0.1
    infeasible: float = 0.0
    skipping: float = 0.0
    repeated: bool = False
    """Whether reports come a second time, later, with other values."""
    min_results: int = 4
    trials: dict[int, Trial] = field(default_factory=dict)
    decisions: list[tuple[Any, ...]] = field(default_factory=list)
    check: Callable[["Study", str, int, int], None] = lambda study, what, trial, step: None

    def __post_init__(self) -> None:
        self.halving = self.fresh()
        self.history: list[tuple[int, str, int]] = []
        """Trial, "reported" or "continued", step; none of failed trials."""
        self.shuffle = np.random.default_rng(self.seed)
        self.clock: list[tuple[float, int, int]] = []
        self.now, self.segments = 0.0, 0

    def fresh(self) -> Halving:
        return Halving(self.levels, TRIALS, np.ones(2), brackets=self.brackets, min_results=self.min_results)

    def restored(self) -> Halving:
        """From what was reported and which trials continued, in any order."""
        halving = self.fresh()
        for index in self.shuffle.permutation(len(self.history)):
            self.apply(halving, *self.history[index])
        for number in self.of_state("failed"):
            halving.failed(number)
        return halving

    def of_state(self, state: str, level: int | None = None) -> dict[int, Trial]:
        """Trials in a state, at a level if one is given."""
        trials = {n: t for n, t in self.trials.items() if t.state == state}
        return {n: t for n, t in trials.items() if level in (None, self.halving.level_at(t.step))}

    def apply(self, halving: Halving, number: int, event: str, step: int) -> None:
        if event == "reported":
            halving.reported(number, step, self.trials[number].result(step))
        else:
            halving.continued(number, step)

    def record(self, number: int, event: str, step: int) -> None:
        self.history.append((number, event, step))
        self.apply(self.halving, number, event, step)

    def current(self) -> Halving:
        """The halving as it is before a decision."""
        if self.restore:
            self.halving = self.restored()
        if self.forecast:
            rng = np.random.default_rng(self.seed)
            ends = {n: t.end + 0.05 * rng.standard_normal() for n, t in self.trials.items() if t.step}
            self.halving.forecasts = {n: points[:1] for n, points in ends.items()}
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
            paused = {level: self.of_state("paused", level).keys() for level in LEVELS}
            number = self.current().next_to_resume(paused) if any(paused.values()) else None
            self.decisions.append(("resume", number))
            if number is not None:
                step = self.trials[number].step
                self.check(self, "resume", number, step)
                self.record(number, "continued", step)
            elif len(self.trials) < TRIALS:
                number = len(self.trials)
                self.trials[number] = self.random_trial(number)
            else:
                return
            self.start(number)

    def random_trial(self, number: int) -> Trial:
        rng = np.random.default_rng([self.seed, number])
        crash = int(rng.choice([*LEVELS, END])) if rng.random() < self.crashing else None
        curve = rng.random((2, 2)), 2 * rng.random((1, 2))
        skips = frozenset(level for level in LEVELS if rng.random() < self.skipping)
        return Trial(*curve, crash, skips, float(rng.random()) if rng.random() < self.infeasible else 0.0)

    def start(self, number: int) -> None:
        trial = self.trials[number]
        trial.state = "running"
        speed = 1 + number % 5 / 2  # some workers are slow: results come out of order
        end = self.now + speed * (trial.next_step() - trial.step)
        heapq.heappush(self.clock, (end, self.segments, number))
        self.segments += 1

    def arrived(self, number: int) -> None:
        trial = self.trials[number]
        before, trial.step = trial.step, trial.next_step()
        if trial.crashes_at is not None and trial.crashes_at <= trial.step:
            trial.state = "failed"
            self.halving.failed(number)
            self.history = [entry for entry in self.history if entry[0] != number]
            return
        if trial.step == END:
            trial.state = "completed"
            return
        self.record(number, "reported", trial.step)
        for step in (before, trial.step) if self.repeated else ():
            if step:
                self.halving.reported(number, step, RungResult(np.full((1, 2), -9.0), 0.0))
        continues = self.current().continues(number, trial.step)
        self.decisions.append(("continues", number, continues))
        self.check(self, "continue" if continues else "pause", number, trial.step)
        if continues:
            self.record(number, "continued", trial.step)
            self.start(number)
        else:
            trial.state = "paused"
            trial.waited.append(trial.step)


WORKERS = pytest.mark.parametrize("workers", [1, 4, 64])
SEEDS = pytest.mark.parametrize("seed", [0, 1])


@WORKERS
@pytest.mark.parametrize(("seed", "crashing", "infeasible"), [(0, 0.1, 0.2), (1, 0.5, 0.2), (2, 0.1, 0.75)])
@pytest.mark.parametrize(("brackets", "forecast"), [(1, False), (1, True), (2, True)])
def test_the_rules_of_every_decision(
    workers: int, seed: int, crashing: float, infeasible: float, brackets: int, forecast: bool
) -> None:
    """Which trials pause or continue, by how many results, in what order; after a restart the same."""
    counts = {"pause": 0, "resume": 0, "continue": 0}

    def check(study: Study, what: str, number: int, step: int) -> None:
        counts[what] += 1
        halving, level = study.halving, study.halving.level_at(step)
        assert level is not None
        results = halving.results.get(level, {})
        passed = halving.passed.get(level, set()) & results.keys()
        free = halving.levels.index(level) < halving.bracket(number)
        if what == "pause":
            assert len(results) >= study.min_results
            assert not free and number not in passed
            assert step not in study.trials[number].waited, "it has waited here before"
        elif not free and len(results) >= study.min_results:
            assert len(passed) < halving.quota(level, len(results)), "the quota was full"
        if what == "resume":
            for above in LEVELS[LEVELS.index(level) + 1 :]:
                assert not study.of_state("paused").keys() & set(halving.survivors(above)), "not the highest"
            violations = [trial.violation for trial in study.of_state("paused", level).values()]
            assert study.trials[number].violation in (0, min(violations)), "not the least violation"

    options: dict[str, Any] = {"forecast": forecast, "crashing": crashing, "infeasible": infeasible}
    options["skipping"] = 0.2
    study = Study(workers, seed, brackets, **options, check=check).run()
    assert len(study.trials) == TRIALS
    states = [trial.state for trial in study.trials.values()]
    assert set(states) == {"completed", "paused", "failed"}
    least = (5, 15) if crashing < 0.5 else (2, 5)
    assert states.count("completed") >= least[0] and states.count("paused") >= least[1]
    assert min(counts["pause"], counts["continue"]) > 10 and (workers == 64 or counts["resume"] > 3)
    assert all(len(set(trial.waited)) == len(trial.waited) for trial in study.trials.values())
    for level in LEVELS:
        assert not study.of_state("paused", level).keys() & set(study.halving.survivors(level))
        results, passed = study.halving.results.get(level, {}), study.halving.passed.get(level, set())
        assert not study.of_state("failed").keys() & (results.keys() | passed), "failed trials count"
        assert len(results) < 8 or len(passed) >= study.halving.quota(level, len(results)), "a place is free"
    feasible = [trial.violation == 0 for trial in study.of_state("completed").values()]
    assert np.mean(feasible) > (0.3 if workers == 64 else 0.4)
    restored = Study(workers, seed, brackets, **options, restore=True).run()
    assert study.decisions == restored.decisions


@WORKERS
@SEEDS
def test_repeated_late_reports_change_nothing(workers: int, seed: int) -> None:
    plain, again = (Study(workers, seed, crashing=0.0, repeated=repeated).run() for repeated in (False, True))
    assert plain.decisions == again.decisions


@WORKERS
@SEEDS
def test_without_levels_every_trial_trains_to_its_end(workers: int, seed: int) -> None:
    study = Study(workers, seed, levels=(), crashing=0.2).run()
    assert {trial.state for trial in study.trials.values()} == {"completed", "failed"}
    assert all(not trial.waited for trial in study.trials.values())
    assert all(decision[-1] is True for decision in study.decisions if decision[0] == "continues")


def test_a_rung_beyond_a_skipped_level_counts_for_it() -> None:
    study = Study(4, 0, skipping=1.0, crashing=0.0).run()
    assert all(study.halving.results[level] for level in LEVELS)
    assert len(study.halving.results[LEVELS[0]]) == TRIALS
    assert 5 <= len(study.of_state("completed")) < TRIALS / 2


@WORKERS
def test_good_trials_are_completed_and_bad_ones_are_not(workers: int) -> None:
    """With small transients the front's trials are among the completed ones."""
    shares = []
    for seed in range(3):
        study = Study(workers, seed, crashing=0.0).run()
        ends = np.concatenate([trial.end for trial in study.trials.values()])
        ranks = nondominated_sort(ends).reshape(-1, 2).min(1)
        completed = np.array([trial.state == "completed" for trial in study.trials.values()])
        shares.append((completed[ranks == 0].mean(), completed[ranks > 2].mean()))
    front, rest = np.mean(shares, axis=0)
    assert front > rest + 0.2, shares
