"""A study's candidates trained again with new seeds: which trainings, and their results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from platform.execution.training import Training
from platform.pareto.front import CandidateKey, Front
from platform.storage.ledger import read_trials
from platform.study.study import Study

FOLDER = "confirm"
"""Of a study's folder: the retrainings with a ledger of their own."""


@dataclass(frozen=True)
class Checkpoint:
    """A finished training of a finalist."""

    trial: int
    seed: int
    path: str
    searched: bool
    """Whether it is the search's own training, by whose scores the candidate was chosen."""


@dataclass(frozen=True)
class Retrainings:
    """The results of the trainings of some finalists."""

    checkpoints: tuple[Checkpoint, ...]
    diverged: Mapping[int, int]
    """By trial, how many of its retrainings."""
    failed: tuple[str, ...]
    """Why, of those that the same command tries again."""


def new_seeds(used: int, seeds: int) -> list[int]:
    """The first seeds from 0 that are not the one ``used``; more seeds only add to fewer."""
    return list(islice((seed for seed in count() if seed != used), seeds))


def trainings(study: Study, front: Front, keys: Sequence[CandidateKey], seeds: int) -> list[Training]:
    """The retrainings: every trial of ``keys`` with its first new seed, then with the second, ..."""
    return [training for _, training in _by_seed(study, front, keys, seeds)]


def results(
    folder: Path, study: Study, front: Front, keys: Sequence[CandidateKey], seeds: int
) -> Retrainings:
    """What the ledgers of a study, in ``folder``, and of its confirmation hold of the finalists."""
    checkpoints = [Checkpoint(n, _seed(study, front, n), _checkpoint(front, n), True) for n in trials(keys)]
    diverged = dict.fromkeys(trials(keys), 0)
    failed = []
    ledger = read_trials(folder / FOLDER) if seeds else {}
    for number, training in _by_seed(study, front, keys, seeds):
        recorded = [trial for trial in ledger.values() if trial.params == training.params]
        if not recorded:
            continue
        trial = recorded[-1]
        if trial.status == "completed" and trial.last:
            checkpoints.append(Checkpoint(number, training.seed, trial.last.checkpoint, False))
        diverged[number] += trial.status == "diverged"
        if trial.status == "failed":
            failed.append(f"{training.system}, seed {training.seed}: {trial.reason}")
    return Retrainings(tuple(checkpoints), diverged, tuple(failed))


def trials(keys: Sequence[CandidateKey]) -> list[int]:
    """The trials of the candidates, each once, in their order."""
    return list(dict.fromkeys(trial for trial, _ in keys))


def _by_seed(
    study: Study, front: Front, keys: Sequence[CandidateKey], seeds: int
) -> Iterator[tuple[int, Training]]:
    """Trial and retraining, seed by seed."""
    numbers = trials(keys)
    for of_seed in zip(*(_of_trial(study, front, number, seeds) for number in numbers), strict=True):
        yield from zip(numbers, of_seed, strict=True)


def _of_trial(study: Study, front: Front, number: int, seeds: int) -> list[Training]:
    params = next(c.params for c in front.candidates if c.trial == number)
    method = study.method_of(params)
    return [
        Training(
            *(f"confirm trial {number}", f"trial {number}", seed),
            *(method, study.point({**params, "seed": seed})),
        )
        for seed in new_seeds(_seed(study, front, number), seeds)
    ]


def _seed(study: Study, front: Front, number: int) -> int:
    params = next(c.params for c in front.candidates if c.trial == number)
    return int(study.point(params).seed)


def _checkpoint(front: Front, number: int) -> str:
    return next(c.checkpoint for c in front.candidates if c.trial == number)
