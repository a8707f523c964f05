"""Greedy selection by hypervolume, and the finalists of a front, against brute force."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from platform.pareto.dominance import hypervolume
from platform.pareto.front import Candidate, CandidateKey, Front
from platform.pareto.selection import choose, greedy, saved_front
from platform.storage.ledger import Ledger
from platform.storage.saved_study import SavedStudy, StartFacts
from platform.storage.trials import TrialStatus
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Constraint, Objective
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest

from trainers.errors import InputError
from trainers.report import Report

Array = np.ndarray[Any, Any]
OBJECTIVES = (Objective("fid", "minimize"), Objective("psnr", "maximize"))
CORNER = {"fid": 10.0, "psnr": 0.0}


def front(*points: tuple[int, int, float, float]) -> Front:
    """Candidates (trial, steps, FID, PSNR)."""
    found = [Candidate(t, steps, {"fid": fid, "psnr": psnr}, {}, "") for t, steps, fid, psnr in points]
    return Front(OBJECTIVES, CORNER, found)


def volume(found: Front, trials: Sequence[int]) -> float:
    """Hypervolume of the front's members of some trials."""
    return replace(found, candidates=[c for c in found.members if c.trial in trials]).hypervolume


# Greedy selection


@pytest.mark.parametrize(("objectives", "candidates"), [(2, 1), (3, 1), (2, 3), (4, 2)])
def test_greedy_is_near_the_best_choice(objectives: int, candidates: int) -> None:
    """Within 1 - 1/e of it (Nemhauser et al. 1978); a single set is the best one."""
    corner = np.ones(objectives)
    for seed, keep in itertools.product(range(12), (1, 2, 3, 5)):
        rng = np.random.default_rng(seed)
        sets = {key: rng.random((candidates, objectives)) * 1.1 for key in range(7)}
        volumes = {
            keys: hypervolume(np.concatenate([sets[key] for key in keys]), corner)
            for keys in itertools.combinations(sets, keep)
        }
        chosen, best = greedy(sets, keep, corner, dict.fromkeys(sets, 0.0)), max(volumes.values())
        assert len(set(chosen)) == keep
        assert volumes[tuple(sorted(chosen))] >= (1 if keep == 1 else 1 - 1 / math.e) * best - 1e-9


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("before", [(), (12, 3)])
def test_greedy_takes_each_time_the_set_that_adds_most(objectives: int, before: tuple[int, ...]) -> None:
    """As the plain loop without a queue."""
    corner = np.ones(objectives)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sets = {int(key): rng.random((2, objectives)) for key in rng.permutation(16)}
        expected = list(before)
        covered = np.concatenate([np.empty((0, objectives)), *(sets[key] for key in before)])
        others = {key: points for key, points in sets.items() if key not in before}
        while others:
            gains = {k: hypervolume(np.concatenate([covered, v]), corner) for k, v in others.items()}
            best = max(gains, key=gains.__getitem__)
            if gains[best] - hypervolume(covered, corner) < 1e-12:
                break
            covered = np.concatenate([covered, others.pop(best)])
            expected.append(best)
        chosen = [*before, *greedy(sets, 16, corner, dict.fromkeys(sets, 0.0), before)]
        assert chosen[: len(expected)] == expected and sorted(chosen) == sorted(sets)


def test_of_sets_that_add_the_same_the_least_tie_value_then_the_least_key_is_first() -> None:
    points = {4: (0.1, 0.1), 3: (2.0, 0.5), 2: (0.3, 0.2), 7: (0.3, 0.3), 5: (0.3, 0.3)}
    sets = {key: np.array([point]) for key, point in points.items()}
    ties = {key: max(point) for key, point in points.items()}
    assert greedy(sets, 9, np.ones(2), ties) == [4, 2, 5, 7, 3]
    assert greedy(sets, 9, np.ones(2), ties | {7: 0.0}) == [4, 7, 2, 5, 3]


# Finalists

STAIRS = front(
    (0, 1, 1.0, 1.0), (1, 1, 2.0, 5.0), (2, 1, 4.0, 7.0), (2, 2, 5.0, 8.0), (3, 1, 9.0, 8.5), (4, 1, 9, 1)
)
"""The knee is trial 2's at 2 steps; trial 4 is dominated."""


def test_the_knee_comes_first_then_what_adds_most_hypervolume() -> None:
    assert STAIRS.knee is not None and STAIRS.knee.key == (2, 2)
    assert choose(STAIRS, 1) == [(2, 1), (2, 2)], "all of a trial's counts on the front are candidates"
    # Of 10 x 8 the knee's trial covers 6 x 7 and 5 x 1; trial 0 adds 3 x 1, trial 1 2 x 5, trial 3 .5 x 1
    assert choose(STAIRS, 2) == [(2, 1), (2, 2), (1, 1)]
    assert [trial for trial, _ in choose(STAIRS, 9)] == [2, 2, 1, 0, 3], (
        "a dominated trial is not a candidate"
    )


def random_front(rng: np.random.Generator) -> Front:
    """Some trials with several members, a reference that some may lie beyond, units of any size."""
    objectives, count = int(rng.integers(2, 5)), int(rng.integers(3, 14))
    angles = np.abs(rng.normal(size=(count, objectives)))
    sphere = angles / np.linalg.norm(angles, axis=1, keepdims=True)
    units, corner = 10.0 ** rng.integers(-4, 4, objectives), rng.uniform(0.3, 1.3, objectives)
    values, names = (
        (1 - sphere if rng.random() < 0.5 else sphere) * units,
        [f"o{i}" for i in range(objectives)],
    )
    found = [
        Candidate(int(trial), steps, dict(zip(names, row, strict=True)), {}, "")
        for steps, (trial, row) in enumerate(zip(rng.integers(0, 10, count), values.tolist(), strict=True))
    ]
    reference = dict(zip(names, (corner * units).tolist(), strict=True))
    return Front([Objective(name, "minimize") for name in names], reference, found)


def brute_force(found: Front, top: int, started: Sequence[CandidateKey]) -> list[int]:
    """The finalists' trials in order, all volumes computed at every step."""
    chosen, on_front = [trial for trial, _ in started], {c.trial for c in found.members}
    while len(on_front & set(chosen)) < top and (left := sorted(on_front - set(chosen))):
        before, volumes = volume(found, chosen), {t: volume(found, [*chosen, t]) for t in left}
        best = max(left, key=volumes.__getitem__)
        knee = found.knee.trial if found.knee and found.knee.trial in left else best
        chosen.append(knee if volumes[knee] > before or volumes[best] <= before else best)
    return chosen


def test_finalists_are_those_of_brute_force() -> None:
    beyond = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        found, top = random_front(rng), int(rng.integers(1, 7))
        started = [(found.candidates[0].trial, found.candidates[0].steps), (99, 1)] if seed % 3 == 0 else []
        assert found.knee is not None
        beyond += volume(found, [found.knee.trial]) == 0
        order = brute_force(found, top, started)
        members = {c.key for c in found.members if c.trial in order}
        expected = sorted({*started, *members}, key=lambda key: (order.index(key[0]), key[1]))
        assert choose(found, top, started) == expected, seed
    assert beyond > 10


def test_a_knee_that_adds_nothing_comes_after_the_trials_that_do() -> None:
    """Trial 1, though the front's knee, lies beyond the reference point."""
    beyond = front((0, 1, 1.0, 2.0), (1, 1, 10.5, 80.0), (2, 1, 40.0, 81.0))
    more = front((0, 1, 1.0, 2.0), (1, 1, 10.5, 80.0), (3, 1, 2.0, 2.5), (2, 1, 40.0, 81.0))
    assert beyond.knee and more.knee and beyond.knee.trial == more.knee.trial == 1
    assert choose(beyond, 1) == [(0, 1)]
    assert choose(more, 2) == [(3, 1), (0, 1)] and choose(more, 2, [(0, 1)]) == [(0, 1), (3, 1)]
    assert choose(more, 3) == [(3, 1), (0, 1), (1, 1)], "then the knee"
    nothing = front((0, 1, 11.0, 2.0), (1, 1, 12.0, 80.0), (2, 1, 40.0, 81.0))
    assert nothing.knee is not None and choose(nothing, 1) == [(nothing.knee.trial, 1)]


def test_started_candidates_stay_and_only_those_on_the_front_count() -> None:
    few = choose(STAIRS, 2)
    many = choose(STAIRS, 3, few)
    assert many[: len(few)] == few and len(many) == len(few) + 1 and choose(STAIRS, 1, few) == few
    moved = front((7, 1, 0.5, 9.0))
    assert choose(moved, 2, [(1, 1)]) == choose(moved, 1, [(1, 1)]) == [(1, 1), (7, 1)]


# The front of a saved study


def saved(study: Study, folder: Path, *statuses: TrialStatus, bounds: Sequence[Bound] = ()) -> SavedStudy:
    """A study with trials of these statuses, each of two candidates."""
    ledger = Ledger(folder)
    for number, status in enumerate(statuses):
        ledger.proposed(number, {})
        scores = {1: {"fid": 1.0 + number, "psnr": 5.0 + number}, 2: {"fid": 8.0, "psnr": 1.0}}
        ledger.reported(number, Report(6, 6, scores, {}, 1.0, f"/c/{number}"))
        ledger.ended(number, status)
    ledger.close()
    return SavedStudy(folder, study, Criteria(CORNER, tuple(bounds)), StartFacts("", "", 1))


def test_a_saved_front_is_that_of_the_completed_trials(smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, objectives=OBJECTIVES)
    found = saved_front(saved(study, tmp_path, "diverged", "completed", "completed"))
    assert {c.key for c in found.candidates} == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_an_empty_saved_front_is_an_error(smoke: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="study: no trial of 'smoke' has completed; allowed: a study with"):
        saved_front(saved(smoke, tmp_path / "none", "diverged", "failed"))
    study = replace(smoke, objectives=OBJECTIVES, constraints=(Constraint("psnr", "min", 30.0),))
    with pytest.raises(InputError, match=r"'smoke' satisfies its constraints \(psnr"):
        saved_front(saved(study, tmp_path / "bound", "completed", bounds=[Bound("psnr", "min", 30.0)]))
