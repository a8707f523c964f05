"""A study's settings trained again with new seeds: which trainings, and what came of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from platform.comparison.systems import Entrant
from platform.execution.fixed_trials import Entry
from platform.pareto.front import Front
from platform.pareto.selection import Key
from platform.storage.ledger import Trial, read_trials
from platform.study.study import Study
from typing import Any

FOLDER = "confirm"
"""Of a study's folder: the retrainings with a ledger of their own."""


@dataclass(frozen=True)
class Retrained(Entrant):
    """A trial of a study, as the roster takes it."""

    trial: int
    params: Mapping[str, Any]

    @property
    def first(self) -> dict[str, Any]:
        """What the search has set."""
        return dict(self.params)

    @property
    def label(self) -> str:
        """What tables call it."""
        return f"trial {self.trial}"


@dataclass(frozen=True)
class Checkpoint:
    """A finished training of a finalist."""

    trial: int
    seed: int
    path: str
    searched: bool
    """Whether it is the search's own training, by whose scores the candidate was chosen."""


@dataclass(frozen=True)
class Outcome:
    """What became of the trainings of some finalists."""

    checkpoints: tuple[Checkpoint, ...]
    diverged: Mapping[int, int]
    """By trial, how many of its retrainings."""
    failed: tuple[str, ...]
    """Why, of those that the same command tries again."""


def new_seeds(used: int, seeds: int) -> list[int]:
    """The first seeds from 0 that are not the one ``used``; more seeds only add to fewer."""
    return list(islice((seed for seed in count() if seed != used), seeds))


def entries(study: Study, front: Front, keys: Sequence[Key], seeds: int) -> list[Entry]:
    """The retrainings: every trial of ``keys`` with its first new seed, then with the second, ..."""
    turns = zip(*(_of_trial(study, front, number, seeds) for number in trials(keys)), strict=True)
    return [entry for turn in turns for entry in turn]


def outcome(folder: Path, study: Study, front: Front, keys: Sequence[Key], seeds: int) -> Outcome:
    """What the ledgers of a study, in ``folder``, and of its confirmation hold of the finalists."""
    found = [Checkpoint(n, _seed(study, front, n), _checkpoint(front, n), True) for n in trials(keys)]
    diverged = dict.fromkeys(trials(keys), 0)
    failed = []
    asked = entries(study, front, keys, seeds) if seeds else []
    for entry, trial in _known(asked, read_trials(folder / FOLDER) if seeds else {}):
        assert isinstance(entry.entrant, Retrained)
        number = entry.entrant.trial
        if trial.status == "completed" and trial.last:
            found.append(Checkpoint(number, entry.seed, str(trial.last["checkpoint"]), False))
        diverged[number] += trial.status == "diverged"
        if trial.status == "failed":
            failed.append(f"{entry.entrant.name}, seed {entry.seed}: {trial.reason}")
    return Outcome(tuple(found), diverged, tuple(failed))


def trials(keys: Sequence[Key]) -> list[int]:
    """The trials of the candidates, each once, in their order."""
    return list(dict.fromkeys(trial for trial, _ in keys))


def _of_trial(study: Study, front: Front, number: int, seeds: int) -> list[Entry]:
    params = dict(next(c.params for c in front.candidates if c.trial == number))
    entrant = Retrained(f"confirm trial {number}", study, number, params)
    return [
        Entry(entrant, seed, study.point({**params, "seed": seed}))
        for seed in new_seeds(_seed(study, front, number), seeds)
    ]


def _known(asked: Sequence[Entry], ledger: Mapping[int, Trial]) -> Iterator[tuple[Entry, Trial]]:
    """Each retraining with its newest record, where it has one."""
    for entry in asked:
        same = [trial for trial in ledger.values() if trial.params == entry.params]
        if same:
            yield entry, same[-1]


def _seed(study: Study, front: Front, number: int) -> int:
    params = next(c.params for c in front.candidates if c.trial == number)
    return int(study.point(params).seed)


def _checkpoint(front: Front, number: int) -> str:
    return next(c.checkpoint for c in front.candidates if c.trial == number)
