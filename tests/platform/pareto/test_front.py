"""The front against brute force: dominance pair by pair, volumes by counting, the knee by hand."""

from collections.abc import Mapping
from itertools import product
from platform.pareto.front import (
    SLOWEST,
    Bound,
    Candidate,
    Front,
    bounds,
    candidates,
    candidates_at,
    reference_point,
)
from platform.storage.ledger import Trial
from platform.study.settings import Constraint, Objective
from typing import Any

import numpy as np
import pytest

FID, SSIM, PSNR = (
    Objective("fid", "minimize"),
    Objective("ms_ssim", "maximize"),
    Objective("psnr", "maximize"),
)
REFERENCE = {"fid": 10.0, "ms_ssim": 0.0, "psnr": 10.0}


def candidate(number: int, fid: float, ms_ssim: float, psnr: float, steps: int = 1) -> Candidate:
    values = {"fid": fid, "ms_ssim": ms_ssim, "psnr": psnr, "kid": -1.0}
    return Candidate(number, steps, values, {"lr": number}, f"/c/{number}")


def front(*found: Candidate, objectives: tuple[Objective, ...] = (FID, SSIM, PSNR)) -> Front:
    return Front(objectives, REFERENCE, found)


def random_candidates(seed: int, count: int) -> list[Candidate]:
    """On a coarse lattice, so that ties and copies occur."""
    rng = np.random.default_rng(seed)
    rows = np.stack(
        [rng.integers(0, 10, count), rng.integers(1, 10, count) / 10, rng.integers(11, 20, count)], 1
    )
    return [candidate(n, *map(float, row)) for n, row in enumerate(rows)]


def beats(a: Candidate, b: Candidate, objectives: tuple[Objective, ...]) -> bool:
    """Nowhere worse, somewhere better; in natural directions."""
    gains = [
        (b.values[o.name] - a.values[o.name]) * (1 if o.direction == "minimize" else -1) for o in objectives
    ]
    return min(gains) >= 0 and max(gains) > 0


def trial(number: int, scores: Mapping[int, Mapping[str, float]], step: int = 10) -> Trial:
    report = {
        "step": step,
        "scores": {str(n): v for n, v in scores.items()},
        "checkpoint": f"/c/{number}/{step}",
    }
    return Trial(number, {"lr": 0.1}, reports={step: report})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objectives", [(FID,), (SSIM, FID), (FID, SSIM, PSNR)], ids=len)
def test_members_are_those_that_none_beats(seed: int, objectives: tuple[Objective, ...]) -> None:
    found = random_candidates(seed, 25)
    members = front(*found, objectives=objectives).members
    expected = {c.trial for c in found if not any(beats(other, c, objectives) for other in found)}
    assert {c.trial for c in members} == expected and len(members) == len(expected)
    first = [c.values[objectives[0].name] for c in members]
    assert first == sorted(first, reverse=objectives[0].direction == "maximize")


@pytest.mark.parametrize("seed", range(3))
def test_volumes_by_counting_lattice_cells(seed: int) -> None:
    found = random_candidates(seed, 8)
    cells = list(product(range(10), np.arange(10) / 10, range(10, 20)))  # lower corners of cells 1 x 0.1 x 1

    def covered(cell: tuple[float, float, float], by: list[Candidate]) -> bool:
        fid, ssim, psnr = cell
        return any(
            c.values["fid"] <= fid
            and c.values["ms_ssim"] >= ssim + 0.1 - 1e-9
            and c.values["psnr"] >= psnr + 1
            for c in by
        )

    judged = front(*found)
    assert judged.hypervolume == pytest.approx(0.1 * sum(covered(cell, found) for cell in cells))
    for index, one in enumerate(found):
        assert judged.own_volume(index) == pytest.approx(0.1 * sum(covered(cell, [one]) for cell in cells))


def test_own_volume_is_a_box_and_nothing_beyond_the_reference() -> None:
    judged = front(candidate(0, 4.0, 0.5, 12.0), candidate(1, 11.0, 0.9, 19.0), candidate(2, 1.0, 0.9, 10.0))
    assert judged.own_volume(0) == pytest.approx(6.0 * 0.5 * 2.0)
    assert judged.own_volume(1) == judged.own_volume(2) == 0
    assert judged.hypervolume == pytest.approx(6.0)


def test_an_empty_front_is_no_error() -> None:
    assert (front().members, front().hypervolume, front().knee) == ([], 0.0, None)


def test_the_knee_is_the_member_farthest_below_the_extremes() -> None:
    """Scaled to the unit square the extremes lie on x + y = 1 and the others at 0.7, 0.45 and 0.9."""
    rows = [(0.0, 0.1), (1.0, 0.5), (2.5, 0.9), (8.0, 1.0 - 0.1 * 0.9), (10.0, 1.0)]
    found = [candidate(n, fid, ssim, 11.0) for n, (fid, ssim) in enumerate(rows)]
    dominated = candidate(9, 9.0, 0.2, 11.0)
    judged = front(dominated, *found, objectives=(FID, SSIM))
    heights = [fid / 10 + (1 - ssim) / 0.9 for fid, ssim in rows]
    assert judged.knee is found[int(np.argmin(heights))] is found[2]
    assert front(found[1]).knee is found[1]


def test_candidates_are_every_step_count_of_the_newest_report() -> None:
    one, two = {"fid": 3.0, "ms_ssim": 0.4}, {"fid": 2.0, "ms_ssim": 0.3}
    known = trial(4, {2: two, 1: one})
    known.reports[5] = {"step": 5, "scores": {"1": {"fid": 0.0}}, "checkpoint": "/c/old"}
    assert candidates([known, Trial(5, {})]) == [
        Candidate(4, 1, one, {"lr": 0.1}, "/c/4/10"),
        Candidate(4, 2, two, {"lr": 0.1}, "/c/4/10"),
    ]
    assert candidates_at(known, 5) == [Candidate(4, 1, {"fid": 0.0}, {"lr": 0.1}, "/c/old")]


def test_the_best_is_the_step_count_that_alone_dominates_most() -> None:
    scores = {
        1: {"fid": 1.0, "ms_ssim": 0.1, "psnr": 11.0},  # 9 x 0.1 x 1
        2: {"fid": 5.0, "ms_ssim": 0.5, "psnr": 15.0},  # 5 x 0.5 x 5
        3: {"fid": 9.0, "ms_ssim": 0.9, "psnr": 19.0},  # 1 x 0.9 x 9
    }
    judged = front(*candidates([trial(0, scores)]), objectives=(PSNR, FID, SSIM))
    assert judged.best == 1 and judged.minimised[judged.best].tolist() == [-15.0, 5.0, -0.5]


def test_one_is_the_best_of_those_that_all_dominate_nothing() -> None:
    rows = (99.0, 0.1, 5.0), (98.0, 0.1, 5.0)
    assert front(*(candidate(n, *row) for n, row in enumerate(rows))).best == 0


# Outcome constraints

AT_LEAST, AT_MOST = Bound("psnr", "min", 20.0), Bound("fid", "max", 4.0)


def constrained(*found: Candidate) -> Front:
    return Front((FID, SSIM, PSNR), REFERENCE, found, (AT_LEAST, AT_MOST))


def test_what_breaks_a_bound_is_on_no_front_and_adds_no_volume() -> None:
    """The first dominates the second; the third is on the front of those that are left."""
    found = [candidate(0, 1.0, 0.9, 19.9), candidate(1, 2.0, 0.8, 20.0), candidate(2, 4.0, 0.9, 21.0)]
    found.append(candidate(3, 4.1, 0.99, 30.0))
    judged, rest = constrained(*found), front(*found[1:3])
    assert judged.feasible.tolist() == [False, True, True, False]
    assert [c.trial for c in judged.members] == [1, 2] == [c.trial for c in rest.members]
    assert judged.hypervolume == pytest.approx(rest.hypervolume)
    assert judged.hypervolume < front(*found).hypervolume
    assert judged.knee in found[1:3]
    assert judged.best in (1, 2) and front(*found).best in (0, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_constrained_front_is_that_of_the_feasible(seed: int) -> None:
    found = [
        Candidate(c.trial, c.steps, {**c.values, "psnr": c.values["psnr"] + 4}, c.params, c.checkpoint)
        for c in random_candidates(seed, 40)
    ]
    kept = [c for c in found if c.values["psnr"] >= 20 and c.values["fid"] <= 4]
    judged, rest = constrained(*found), front(*kept)
    assert 0 < len(kept) < 40
    assert judged.members == rest.members and judged.knee == rest.knee
    assert judged.hypervolume == pytest.approx(rest.hypervolume)
    assert judged.best == found.index(kept[rest.best])


def test_where_all_break_bounds_the_best_breaks_them_least() -> None:
    found = [candidate(0, 5.0, 0.9, 10.0), candidate(1, 9.0, 0.1, 19.0), candidate(2, 4.4, 0.1, 19.0)]
    judged = constrained(*found)
    assert [judged.broken(i) for i in range(3)] == pytest.approx([0.25 + 0.5, 1.25 + 0.05, 0.1 + 0.05])
    assert judged.best == 2
    assert (judged.members, judged.hypervolume, judged.knee) == ([], 0.0, None)


def test_an_empty_constrained_front_is_no_error() -> None:
    judged = constrained()
    assert (judged.members, judged.hypervolume, judged.knee, judged.feasible.tolist()) == ([], 0.0, None, [])


def test_directions_are_natural_everywhere_a_person_sees_them() -> None:
    judged = front(candidate(0, 4.0, 0.5, 12.0))
    assert judged.members[0].values["ms_ssim"] == 0.5
    expected: Any = [[4.0, -0.5, -12.0]]
    np.testing.assert_array_equal(judged.minimised, expected)
