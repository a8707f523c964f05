"""What is tried next: the study's start points, then its sampler's proposals (HPO.md section 6)."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from platform.samplers.designs import Grid, Random, Sobol
from platform.samplers.gp import Bayesian
from platform.samplers.optuna_samplers import Evolutionary
from platform.study.dimensions import Choice
from platform.study.observation import Observation, Params, Point, Proposer, SearchSpace
from platform.study.study import Study
from typing import Any

from trainers.errors import InputError

PROMPT = 0.25
"""Seconds: a proposal that took less is made anew when results have come since."""
MANY_TRIALS = 400
"""Beyond as many, processes learn from a part of what was seen and take seconds: ``auto`` is TPE there."""


COUNTED = 10_000
"""Points that are counted; where there are more, few are proposed twice."""


class Sampler:
    """Proposals from what the ledger holds: nothing else is remembered, so nothing else can be lost."""

    def __init__(self, study: Study, reference: Sequence[float], known: Sequence[Observation] = ()) -> None:
        """``known``: trials of an earlier study, that count as seen."""
        self._study, self._known = study, list(known)
        trials = study.budget.trials + len(known)
        refused = partial(refusal, study)
        self.space = SearchSpace(study.search, tuple(reference), trials, study.seed, refused)
        self._proposer = make_proposer(study.sampler, self.space)
        values = math.prod(dimension.size or COUNTED + 1 for dimension in study.search)
        self._others = Grid(self.space) if values <= COUNTED else None
        self._thread = ThreadPoolExecutor(1)
        self._ahead: Future[tuple[Point | None, float]] | None = None
        self._results, self._renewed = 0, False

    def propose(self, seen: Mapping[int, Observation]) -> Point | None:
        """The next point; None: the space has no more. Raises InputError where none of many is taken.

        Trained again, a point would give the same: where points are few, one that is not known yet takes its
        place.
        """
        if len(seen) < len(self._study.start):
            return Point(self._study.start[len(seen)])
        told = [*self._known, *(seen[number] for number in sorted(seen))]
        point = self._proposer.propose(told)
        if self._others and point and any(each.params == point.params for each in told):
            return self._others.propose(told)
        if point is None and self._study.sampler != "grid":
            reason = f"{self._study.method}'s Config refuses all proposals of the sampler"
            raise InputError(f"{self._study.path}: search: {reason}; allowed: wider domains")
        return point

    def begin(self, seen: Mapping[int, Observation]) -> Future[tuple[Point | None, float]]:
        """Make the next proposal in a thread, unless that is under way."""
        if self._ahead is None:
            self._results, self._renewed = results(seen), False
            self._ahead = self._thread.submit(self._timed, dict(seen))
        return self._ahead

    def ready(self, seen: Mapping[int, Observation]) -> bool:
        """Whether :meth:`take` has a proposal at once; a quick one is begun again when results have come.

        Once alone, as results may come faster than proposals.
        """
        ahead = self.begin(seen)
        stale = results(seen) > self._results and not self._renewed
        if ahead.done() and stale and ahead.result()[1] < PROMPT:
            self._ahead = None
            ahead = self.begin(seen)
            self._renewed = True
        return ahead.done()

    def take(self) -> Point | None:
        """The proposal that was begun, as soon as it is there."""
        assert self._ahead is not None
        point, _ = self._ahead.result()
        self._ahead = None
        return point

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown()

    def _timed(self, seen: Mapping[int, Observation]) -> tuple[Point | None, float]:
        started = time.perf_counter()
        return self.propose(seen), time.perf_counter() - started


def results(seen: Mapping[int, Observation]) -> int:
    """How many rungs and ends were told."""
    return sum(len(o.rungs) + (o.state != "running") for o in seen.values())


def refusal(study: Study, params: Params) -> str:
    """Why the method's Config does not take the parameters; empty where it does."""
    try:
        study.point(params)
    except InputError as error:
        return str(error)
    return ""


def make_proposer(kind: str, space: SearchSpace) -> Proposer:
    """The sampler of a name in ``spaces.sections.SAMPLERS``; ``auto`` chooses by what the bench has shown.

    Gaussian processes up to :data:`MANY_TRIALS` trials of a space that is at least half numeric, else TPE.
    """
    simple: dict[str, Any] = {"gp": Bayesian, "sobol": Sobol, "random": Random, "grid": Grid}
    if kind == "auto":
        numeric = sum(not isinstance(dimension, Choice) for dimension in space.dimensions)
        kind = "gp" if space.trials <= MANY_TRIALS and 2 * numeric >= len(space.dimensions) else "tpe"
    proposer: Proposer = simple[kind](space) if kind in simple else Evolutionary(space, kind)
    return proposer
