"""One seed makes a study, its faults and what must hold after every event; the same seed repeats it."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from platform.execution import retries, trial_source
from platform.execution.trial_source import TrialPaths
from platform.orchestration import orchestrator as orchestration
from platform.orchestration import progress
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.progress import Progress
from platform.pareto.front import candidates
from platform.samplers import suggester
from platform.schedulers import early_stopping
from platform.storage import jsonl
from platform.storage import ledger as ledgers
from platform.storage.ledger import FILE, Ledger, read_trials
from platform.storage.sealed_lines import read_log
from platform.storage.trials import ENDED, Trial
from platform.study.budget import Budget
from platform.study.criteria import Criteria
from platform.study.settings import Recovery, Scheduler
from platform.study.study import Study
from random import Random
from typing import Any

from tests.platform.conftest import TOY
from tests.platform.world import REFERENCE, AtOnce, fair
from tests.simulation.machine import SAVE, Clock, Disk, Killed, Workers
from trainers.errors import EnvironmentFault

END = 24
"""Steps of every trial."""
CALM = 3000
"""Events after the last fault, within which a study must end."""
DEATHS = 8
"""Faults of its environment that no trial fails of."""
STORM = 250
"""Events during which there are faults."""


class Violation(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Outcome:
    """What a simulated study has seen."""

    events: int
    faults: Counter[str]
    trials: int


def study_of(draws: Random) -> Study:
    """A random study: with or without early stopping, waves, retries."""
    scheduler = Scheduler()
    if draws.randrange(3):
        scheduler = Scheduler(name="asha", grace=draws.choice((2, 3, 6)), min_results=draws.choice((1, 2, 4)))
    return replace(
        TOY,
        search=TOY.search[:2],
        fixed={"steps": END},
        scheduler=scheduler,
        seed=draws.randrange(1000),
        deterministic=draws.randrange(4) == 0,
        budget=Budget(trials=draws.randint(1, 16)),
        recovery=Recovery(retries=draws.randrange(3), give_up_minutes=10**4),
    )


class NoForecasts:
    """In place of the forecasts, whose Gaussian processes would take most of the time."""

    def __init__(self, *_: Any) -> None:
        pass

    def ends(self, *_: Any) -> dict[int, Any]:
        return {}


@contextmanager
def seams(clock: Clock, disk: Disk) -> Iterator[None]:
    """Our clock and disk in the modules of the driver that read them, while the block runs."""
    replaced: list[tuple[Any, str, Any]] = [
        *(
            (module, "time", clock)
            for module in (ledgers, progress, retries, trial_source, jsonl, orchestration)
        ),
        (jsonl, "os", disk),
        (suggester, "ThreadPoolExecutor", AtOnce),
        (early_stopping, "Forecaster", NoForecasts),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class Simulation:
    """A study from its first driver to its end."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draws, self.folder = Random(seed), folder
        self.study = study_of(self.draws)
        rungs = tuple(sorted({*self.draws.sample(range(2, END), self.draws.randrange(3)), END}))
        self.clock, self.disk = Clock(), Disk(self.draws)
        self.workers = Workers(rungs, fair)
        self.slots, self.events, self.faults = self.draws.randint(1, 4), 0, Counter[str]()
        self.places = self.slots
        self.ended: dict[int, Trial] = {}
        """What was acknowledged as ended; it must stay so."""
        self.proposed: dict[int, Any] = {}
        self.exceptions: Counter[int] = Counter()
        self.stops: Counter[int] = Counter()

    def run(self) -> Outcome:
        """Raises Violation where something does not hold."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with seams(self.clock, self.disk):
            while not self._driver_lives():
                pass
        shutil.rmtree(self.folder, ignore_errors=True)
        return Outcome(self.events, self.faults, len(self.proposed))

    def _driver_lives(self) -> bool:
        """One driver until the study ends, True, or the driver dies."""
        storm = self.events < STORM
        self.disk.dies_at = self.draws.randrange(6000) if storm and self.draws.randrange(4) else None
        ledger: Ledger | None = None
        try:
            ledger = Ledger(self.folder, patience=1e9)
            orchestrator = self._orchestrator(ledger)
            while not (orchestrator.over and not self.workers.running):
                self._event(orchestrator)
                self._check(orchestrator)
            self._check_end(orchestrator)
            ledger.close()
            return True
        except Killed:
            self.faults["driver killed"] += 1
            for number in self.workers.running:
                self.stops[number] += 1
            self.workers.running.clear()
            self.disk.dies_at = None
            if ledger is not None:
                ledger.close()
            else:
                self._release()
            if not self.draws.randrange(3):
                self.faults["machine crashed"] += 1
                self.disk.lose_unsynced(self.folder / FILE)
            self._check_file()
            return False

    def _release(self) -> None:
        """The lock of a driver that died while it opened the ledger: its process is gone."""
        (self.folder / "lock").unlink(missing_ok=True)

    def _orchestrator(self, ledger: Ledger) -> Orchestrator:
        following = Progress(self.study, Criteria(REFERENCE), ledger)
        paths = TrialPaths(self.folder, Path("c"), Path("r"), recovery=self.study.recovery)
        made = Orchestrator(following, paths, (), self.slots)
        made.retries._newest_step = lambda number: self.workers.saved.get(number, 0)
        return made

    def _event(self, source: Orchestrator) -> None:
        self.events += 1
        if self.events > STORM + CALM:
            raise Violation("the study does not end once there are no more faults")
        self.clock.now += self.draws.expovariate(0.5)
        storm = self.events < STORM
        if storm and self.draws.random() < 0.15:
            self._fault(source)
        elif len(self.workers.running) < self.places and (following := source.next()):
            self._start(source, *following)
        elif self.workers.running:
            self._advance(source, self.draws.choice(sorted(self.workers.running)))

    def _start(self, source: Orchestrator, number: int, task: Any) -> None:
        if number in self.workers.running:
            raise Violation(f"trial {number} was started while it runs")
        if number in self.ended:
            raise Violation(f"trial {number} was started after its end: {self.ended[number].status}")
        self.workers.start(number, task)

    def _advance(self, source: Orchestrator, number: int) -> None:
        report = next(self.workers.running[number])
        if report is None:
            return
        if not source.reported(number, report):
            self.workers.running.pop(number, None)
        if self.events < STORM and not self.draws.randrange(10):
            self.faults["report delivered twice"] += 1
            if not source.reported(number, report):
                self.workers.running.pop(number, None)

    def _fault(self, source: Orchestrator) -> None:
        running = sorted(self.workers.running)
        kinds: list[Callable[[], None]] = [self._clock_jumps, self._disk_full, self._places_change]
        if running:
            number = self.draws.choice(running)
            kinds += 2 * [lambda: self._stop(source, [number], "worker lost")]
            kinds += [lambda: self._stop(source, running, "node lost"), lambda: self._raise(source, number)]
            kinds += [lambda: self._old_report(source)]
        self.draws.choice(kinds)()

    def _clock_jumps(self) -> None:
        self.faults["clock jumped"] += 1
        self.clock.day += self.draws.choice((-1, 1)) * 86400.0 * self.draws.randint(1, 30)

    def _disk_full(self) -> None:
        self.faults["disk full"] += 1
        self.disk.full = self.draws.randint(1, 5)

    def _places_change(self) -> None:
        self.faults["places changed"] += 1
        self.places = self.draws.randint(1, 6)

    def _stop(self, source: Orchestrator, numbers: list[int], kind: str) -> None:
        self.faults[kind] += 1
        for number in numbers:
            work = self.workers.running.pop(number)
            if self.draws.randrange(2):
                next(work, None)  # its last report is on its way, or never arrives
            self.stops[number] += 1
            source.interrupted(number, EnvironmentFault(kind))
            if number in self.workers.reports and not self.draws.randrange(3):
                source.reported(number, self.workers.reports[number])

    def _raise(self, source: Orchestrator, number: int) -> None:
        self.faults["exception"] += 1
        del self.workers.running[number]
        self.stops[number] += 1
        self.exceptions[number] += 1
        source.raised(number, "KeyError: 'a bug'")

    def _old_report(self, source: Orchestrator) -> None:
        """A report that has travelled for long, of a trial in any state."""
        if self.workers.reports:
            self.faults["late report"] += 1
            number = self.draws.choice(sorted(self.workers.reports))
            trains_on = source.reported(number, self.workers.reports[number])
            if not trains_on:
                self.workers.running.pop(number, None)

    def _check(self, source: Orchestrator) -> None:
        """What must hold after every event."""
        trials = source.ledger.trials
        self._check_trials(trials)
        if source.running != set(self.workers.running):
            raise Violation(f"{source.running} should run, {set(self.workers.running)} do")
        if len(trials) > self.study.budget.trials:
            raise Violation(f"{len(trials)} trials of a budget of {self.study.budget.trials}")
        elapsed = source.progress.elapsed
        if not 0 <= elapsed <= self.clock.now:
            raise Violation(f"{elapsed} s were counted in {self.clock.now}")
        if self.draws.random() < 0.02 and read_trials(self.folder) != trials:
            raise Violation("the file does not say what the driver knows")

    def _check_trials(self, trials: dict[int, Trial]) -> None:
        for number, trial in trials.items():
            if self.proposed.setdefault(number, trial.params) != trial.params:
                raise Violation(f"trial {number} has other parameters")
            own = self.exceptions[number] > self.study.recovery.retries
            if trial.status == "failed" and not own and self.stops[number] < DEATHS:
                raise Violation(f"trial {number} failed by faults of its environment: {trial.reason}")
            if trial.status in ENDED:
                self.ended.setdefault(number, replace(trial))
            most = END + SAVE * self.stops[number]
            if self.workers.trained.get(number, 0) > most:
                raise Violation(
                    f"trial {number} trained {self.workers.trained[number]} steps, at most {most}"
                )

    def _check_file(self) -> None:
        """What must hold when a driver has died: of what was proposed and has ended nothing is lost."""
        saved = read_trials(self.folder) if (self.folder / FILE).exists() else {}
        if lost := self.proposed.keys() - saved.keys():
            raise Violation(f"proposals {sorted(lost)} are lost")
        for number in [n for n, trial in self.ended.items() if saved[n].status != trial.status]:
            del self.ended[number]  # a crash of the machine: its worker says it again
            if not self.faults["machine crashed"]:
                raise Violation(f"the end of trial {number} is lost")

    def _check_end(self, source: Orchestrator) -> None:
        ended = set[int]()
        for entry in read_log(self.folder / FILE).entries:
            if entry["trial"] in ended:
                raise Violation(f"trial {entry['trial']} has {entry['event']} after its end")
            ended |= {entry["trial"]} if entry["event"] == "ended" else set()
        trials = source.ledger.trials
        if len(trials) != self.study.budget.trials or source.ledger.of_status("open"):
            raise Violation(f"ended with {[trial.status for trial in trials.values()]}")
        completed = source.ledger.of_status("completed")
        for trial in completed:
            if trial.last != replace(
                self.workers.reports[trial.number],
                checkpoint=str(self.folder / self.workers.reports[trial.number].checkpoint),
            ):
                raise Violation(f"trial {trial.number} has another report than its checkpoint")
        batch = source.progress.make_front(candidates(completed))
        if {member.key for member in source.progress.members()} != {member.key for member in batch.members}:
            raise Violation("the front is not that of the completed trials")
        volumes = source.progress.hypervolumes()
        if completed and abs(volumes[-1] - batch.hypervolume) > 1e-9:
            raise Violation("the hypervolume is not that of the completed trials")
