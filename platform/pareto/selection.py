"""Choosing sets of points, and candidates of a front, that together keep most hypervolume."""

import heapq
from collections.abc import Mapping, Sequence
from platform.pareto.dominance import Values, added, hypervolume
from platform.pareto.front import CandidateKey, Front, candidates
from platform.storage.ledger import read_trials
from platform.storage.saved_study import SavedStudy

import numpy as np

from trainers.errors import InputError

DIGITS = 12
"""Decimals to which a gain is rounded: two sets that add the same do so but for rounding errors."""


def saved_front(saved: SavedStudy) -> Front:
    """The front of a study's completed trials; raises InputError where it is empty."""
    study = saved.study
    completed = candidates(read_trials(saved.folder).of_status("completed"))
    if not completed:
        missing = f"no trial of {study.name!r} has completed"
        raise InputError(f"study: {missing}; allowed: a study with a completed trial")
    front = Front.of(saved.criteria, study.objectives, completed)
    if not front.members:
        constraints = ", ".join(map(str, study.constraints))
        missing = f"no completed trial of {study.name!r} satisfies its constraints ({constraints})"
        raise InputError(f"study: {missing}; allowed: a study with one that does")
    return front


def choose(front: Front, top: int, started: Sequence[CandidateKey] = ()) -> list[CandidateKey]:
    """Candidates of ``top`` trials of the front, and all that are ``started``, on the front or not.

    A trial is retrained as a whole: all of its step counts on the front are candidates. First the knee's
    trial, then repeatedly the one that adds most hypervolume (Guerreiro, Fonseca & Paquete 2016,
    Evolutionary Computation 24(3)). A knee that adds none, as it lies beyond the reference point, comes
    after those that do.
    """
    chosen = list(dict.fromkeys(trial for trial, _ in started))
    sets, corner = _member_sets(front)
    knee = front.knee.trial if front.knee else None
    missing = top - len(sets.keys() & set(chosen))
    if missing > 0 and knee is not None and knee not in chosen:
        covered, volume = _union(sets, chosen, corner)
        if _gain(sets[knee], covered, volume, corner) > 0:
            chosen.append(knee)
            missing -= 1
    knee_first = {trial: float(trial != knee) for trial in sets}
    chosen += greedy(sets, missing, corner, knee_first, chosen)
    on_front = [member.key for member in front.members if member.trial in chosen]
    return sorted({*started, *on_front}, key=lambda key: (chosen.index(key[0]), key[1]))


def _member_sets(front: Front) -> tuple[dict[int, Values], Values]:
    """Points [k, m] of each trial on the front, and the corner [m], in units of the box from ideal to corner.

    A gain that is rounded to :data:`DIGITS` decimals must not depend on the units of the objectives.
    """
    rows: dict[int, list[int]] = {}
    for index, candidate in enumerate(front.candidates):
        if candidate in front.members:
            rows.setdefault(candidate.trial, []).append(index)
    values, corner = front.minimised, front.corner
    ideal = values[[index for indices in rows.values() for index in indices]].min(0) if rows else corner
    units = np.where(corner > ideal, corner - ideal, 1.0)
    return {t: (values[i] - ideal) / units for t, i in rows.items()}, (corner - ideal) / units


def greedy(
    sets: Mapping[int, Values],
    keep: int,
    corner: Values,
    ties: Mapping[int, float],
    chosen: Sequence[int] = (),
) -> list[int]:
    """Keys of ``keep`` more point sets [k, m], each the one that adds most to the volume of those before it.

    Volumes are bounded by ``corner`` [m]; the sets of the keys ``chosen`` come before all. The volume of the
    whole is within 1 - 1/e of the best choice's (Nemhauser et al. 1978). Of sets that add the same, the one
    with the least value of ``ties``, then the least key, is first.
    """
    covered, volume = _union(sets, chosen, corner)
    others = [key for key in sets if key not in chosen]
    queue = [(-_gain(sets[key], covered, volume, corner), ties[key], key, 0) for key in others]
    heapq.heapify(queue)
    selected: list[int] = []
    while queue and len(selected) < keep:
        gain, tie, key, since = heapq.heappop(queue)
        if since == len(selected):
            selected.append(key)
            covered, volume = np.concatenate([covered, sets[key]]), volume - gain
        else:  # gains only shrink: a set is evaluated again only when it comes to the top
            heapq.heappush(queue, (-_gain(sets[key], covered, volume, corner), tie, key, len(selected)))
    return selected


def _union(sets: Mapping[int, Values], keys: Sequence[int], corner: Values) -> tuple[Values, float]:
    """All points [n, m] of the sets of some keys, and the volume that they dominate."""
    covered = np.concatenate([np.empty((0, len(corner))), *(sets[key] for key in keys if key in sets)])
    return covered, hypervolume(covered, corner)


def _gain(points: Values, covered: Values, volume: float, corner: Values) -> float:
    """What points [k, m] add to the ``volume`` that others [n, m] cover, by the quicker method."""
    if not len(covered):
        return hypervolume(points, corner)
    if len(corner) > 3:
        return round(added(points, covered, corner), DIGITS)
    return round(hypervolume(np.concatenate([covered, points]), corner) - volume, DIGITS)
