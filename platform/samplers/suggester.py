"""What is tried next: the study's start points, then its sampler's proposals."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from platform.samplers.base import Proposal
from platform.samplers.designs import Grid
from platform.samplers.factory import make_sampler
from platform.study.observation import Observation, Observed, SearchSpace
from platform.study.study import Study

from trainers.errors import InputError

QUICK = 0.25
"""Seconds: a proposal that took less is made again when results have arrived since."""
FEW_POINTS = 10_000
"""With more points than this in the space, repeated proposals are rare and not looked for."""


class Suggester:
    """Proposals from the ledger's trials alone: there is no other state that could be lost."""

    def __init__(self, study: Study, reference: Sequence[float], known: Sequence[Observation] = ()) -> None:
        """``known``: trials of an earlier study, which count as observed."""
        self._study, self._known = study, list(known)
        trials = study.budget.trials + len(known)
        self.space = SearchSpace(study.search, tuple(reference), trials, study.seed, study.refusal)
        self._sampler = make_sampler(study.sampler, self.space)
        points = math.prod(dimension.size or FEW_POINTS + 1 for dimension in study.search)
        self._untried = Grid(self.space) if points <= FEW_POINTS else None
        self._thread = ThreadPoolExecutor(1)
        self._next: Future[tuple[Proposal | None, float]] | None = None
        self._results, self._renewed = 0, False

    def propose(self, observed: Mapping[int, Observation]) -> Proposal | None:
        """The next proposal; None: the space has no more. Raises InputError where no point is accepted.

        A point trained again would give the same result: where points are few, an untried one replaces it.
        """
        if len(observed) < len(self._study.start):
            return Proposal(self._study.start[len(observed)])
        trials = [*self._known, *(observed[number] for number in sorted(observed))]
        proposal = self._sampler.propose(trials)
        if self._untried and proposal and any(trial.params == proposal.params for trial in trials):
            return self._untried.propose(trials)
        if proposal is None and self._study.sampler != "grid":
            reason = f"{self._study.method}'s Config refuses all proposals of the sampler"
            raise InputError(f"{self._study.path}: search: {reason}; allowed: wider domains")
        return proposal

    def start(self, observed: Observed) -> Future[tuple[Proposal | None, float]]:
        """Make the next proposal in a thread, unless one is being made."""
        if self._next is None:
            self._results, self._renewed = observed.results, False
            self._next = self._thread.submit(self._timed, dict(observed))
        return self._next

    def ready(self, observed: Observed) -> bool:
        """Whether :meth:`take` would not wait; a quick proposal is made again when results have arrived.

        Only once, as results may arrive faster than proposals.
        """
        proposal = self.start(observed)
        outdated = observed.results > self._results and not self._renewed
        if proposal.done() and outdated and proposal.result()[1] < QUICK:
            self._next = None
            proposal = self.start(observed)
            self._renewed = True
        return proposal.done()

    def take(self) -> Proposal | None:
        """The proposal that was started; waits for it."""
        assert self._next is not None
        proposal, _ = self._next.result()
        self._next = None
        return proposal

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown()

    def _timed(self, observed: Mapping[int, Observation]) -> tuple[Proposal | None, float]:
        started = time.perf_counter()
        return self.propose(observed), time.perf_counter() - started
