"""Which candidates of a study are looked at again: those that together keep most of the front's hypervolume.

A trial is retrained as a whole; all of its step counts that are on the front are candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from platform.pareto.front import Front, candidates
from platform.storage.ledger import of_status, read_trials
from platform.study.criteria import Terms
from platform.study.study import Study
from typing import Any

from trainers.errors import InputError

Key = tuple[int, int]
"""A candidate's trial and refinement step count."""


def saved_front(folder: Path, study: Study, saved: Mapping[str, Any]) -> Front:
    """The front of a study's completed trials; raises InputError where there is nothing on it."""
    done = candidates(of_status(read_trials(folder), "completed"))
    if not done:
        missing = f"no trial of {study.name!r} has completed"
        raise InputError(f"study: {missing}; allowed: a study with a completed trial")
    front = Terms.from_plain(saved).front(study.objectives, done)
    if not front.members:
        broken = ", ".join(map(str, study.constraints))
        missing = f"no completed trial of {study.name!r} keeps its constraints ({broken})"
        raise InputError(f"study: {missing}; allowed: a study with one that does")
    return front


def choose(front: Front, top: int, begun: Sequence[Key] = ()) -> list[Key]:
    """Candidates of ``top`` trials of the front, and all that are ``begun``, on the front still or not.

    First the knee's trial, then again and again the one that adds most hypervolume (Guerreiro, Fonseca &
    Paquete 2016, Evolutionary Computation 24(3)). A knee that adds none, as it lies beyond the reference
    point, comes after those that do.
    """
    chosen = list(dict.fromkeys(trial for trial, _ in begun))
    on_front: dict[int, list[int]] = {}
    for member in front.members:
        on_front.setdefault(member.trial, []).append(member.steps)
    while len(on_front.keys() & set(chosen)) < top and (left := sorted(set(on_front) - set(chosen))):
        totals = {trial: kept_volume(front, [*chosen, trial]) for trial in left}
        held, most = kept_volume(front, chosen), max(left, key=totals.__getitem__)
        knee = front.knee.trial if front.knee and front.knee.trial in left else most
        chosen.append(knee if totals[knee] > held or totals[most] <= held else most)
    keys = [(trial, steps) for trial in chosen for steps in on_front.get(trial, [])]
    return sorted({*begun, *keys}, key=lambda key: (chosen.index(key[0]), key[1]))


def kept_volume(front: Front, trials: Sequence[int]) -> float:
    """Hypervolume of the front's members of some trials alone."""
    return replace(front, candidates=[c for c in front.members if c.trial in trials]).hypervolume
