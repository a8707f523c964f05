"""The front against brute force: dominance pair by pair, volumes by counting, the knee by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from platform.pareto.front import FRONTS, Candidate, Front, HypervolumeCurve, candidates, candidates_at
from platform.storage.trials import Trial
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Objective

import numpy as np
import pytest

from trainers.errors import InputError
from trainers.report import Report

FID, SSIM, PSNR = (
    Objective("fid", "minimize"),
    Objective("ms_ssim", "maximize"),
    Objective("psnr", "maximize"),
)
REFERENCE = {"fid": 10.0, "ms_ssim": 0.0, "psnr": 10.0}
BOUNDS = Bound("psnr", "min", 20.0), Bound("fid", "max", 4.0)
EMPTY = ([], 0.0, None)


def candidate(number: int, fid: float, ms_ssim: float, psnr: float, steps: int = 1) -> Candidate:
    values = {"fid": fid, "ms_ssim": ms_ssim, "psnr": psnr, "kid": -1.0}
    return Candidate(number, steps, values, {"lr": number}, f"/c/{number}")


def front(*found: Candidate, objectives: Sequence[Objective] = (FID, SSIM, PSNR)) -> Front:
    return Front(objectives, REFERENCE, found)


def constrained(*found: Candidate) -> Front:
    return Front.of(Criteria(REFERENCE, BOUNDS), (FID, SSIM, PSNR), found)


def random_candidates(seed: int, count: int) -> list[Candidate]:
    """On a coarse lattice, so that ties and copies occur."""
    rng = np.random.default_rng(seed)
    rows = np.stack(
        [rng.integers(0, 10, count), rng.integers(1, 10, count) / 10, rng.integers(11, 20, count)], 1
    )
    return [candidate(n, *map(float, row)) for n, row in enumerate(rows)]


def dominates(a: Candidate, b: Candidate, objectives: Sequence[Objective]) -> bool:
    """Nowhere worse, somewhere better; in natural directions."""
    gains = [
        (b.values[o.name] - a.values[o.name]) * (1 if o.direction == "minimize" else -1) for o in objectives
    ]
    return min(gains) >= 0 and max(gains) > 0


def trial(number: int, scores: Mapping[int, Mapping[str, float]], step: int = 10) -> Trial:
    report = Report(step, 10, scores, {}, 1.0, f"/c/{number}/{step}")
    return Trial(number, {"lr": 0.1}, "completed", reports={step: report})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objectives", [(FID,), (SSIM, FID), (FID, SSIM, PSNR)], ids=len)
def test_members_are_the_candidates_that_no_other_dominates(
    seed: int, objectives: tuple[Objective, ...]
) -> None:
    found = random_candidates(seed, 25)
    members = front(*found, objectives=objectives).members
    expected = {c.trial for c in found if not any(dominates(other, c, objectives) for other in found)}
    assert {c.trial for c in members} == expected and len(members) == len(expected)
    first = [c.values[objectives[0].name] for c in members]
    assert first == sorted(first, reverse=objectives[0].direction == "maximize")


@pytest.mark.parametrize("seed", range(3))
def test_volumes_by_counting_lattice_cells(seed: int) -> None:
    found = random_candidates(seed, 8)
    lower_corners = np.array(list(product(range(10), np.arange(10) / 10, range(10, 20))))
    fid, ssim, psnr = lower_corners.T  # of cells 1 x 0.1 x 1
    values = np.array([[c.values[o.name] for o in (FID, SSIM, PSNR)] for c in found])[..., None]
    covered = values[:, 0] <= fid
    covered &= (values[:, 1] >= ssim + 0.1 - 1e-9) & (values[:, 2] >= psnr + 1)
    assert front(*found).hypervolume == pytest.approx(0.1 * covered.any(0).sum())
    volumes = front(*found).own_volumes
    np.testing.assert_allclose(volumes, 0.1 * covered.sum(1), atol=1e-12)
    beyond = front(candidate(1, 11.0, 0.9, 19.0), candidate(2, 1.0, 0.9, 10.0))
    assert beyond.own_volumes.tolist() == [0, 0] and beyond.hypervolume == 0


def test_scores_of_two_versions_of_the_measures_are_never_on_one_front() -> None:
    one = Trial(0, {}, reports={6: Report(6, 6, {1: {"fid": 1.0}}, {}, 1.0, "")})
    two = Trial(1, {}, reports={6: Report(6, 6, {1: {"fid": 2.0}}, {}, 1.0, "", measures=2)})
    assert {c.measures for c in candidates([one])} == {1}
    with pytest.raises(InputError, match="ledger: scores of versions 1, 2 of the measures"):
        front(*candidates([one, two]), objectives=(FID,))


def test_an_empty_front_is_not_an_error() -> None:
    for empty in (front(), constrained()):
        assert (empty.members, empty.hypervolume, empty.knee) == EMPTY and empty.feasible.tolist() == []


def test_the_knee_is_the_member_farthest_below_the_extremes() -> None:
    """Scaled to the unit square the extremes lie on x + y = 1 and the others at 0.7, 0.45 and 0.9."""
    rows = [(0.0, 0.1), (1.0, 0.5), (2.5, 0.9), (8.0, 1.0 - 0.1 * 0.9), (10.0, 1.0)]
    found = [candidate(n, fid, ssim, 11.0) for n, (fid, ssim) in enumerate(rows)]
    dominated = candidate(9, 9.0, 0.2, 11.0)
    heights = [fid / 10 + (1 - ssim) / 0.9 for fid, ssim in rows]
    knee = front(dominated, *found, objectives=(FID, SSIM)).knee
    assert knee is found[int(np.argmin(heights))] is found[2]
    assert front(found[1]).knee is found[1]


def test_candidates_are_every_step_count_of_the_newest_report() -> None:
    one, two = {"fid": 3.0, "ms_ssim": 0.4}, {"fid": 2.0, "ms_ssim": 0.3}
    reported = trial(4, {2: two, 1: one})
    reported.reports[5] = replace(reported.reports[10], step=5, scores={1: {"fid": 0.0}}, checkpoint="/c/old")
    assert candidates([reported, Trial(5, {})]) == [
        Candidate(4, 1, one, {"lr": 0.1}, "/c/4/10"),
        Candidate(4, 2, two, {"lr": 0.1}, "/c/4/10"),
    ]
    assert candidates_at(reported, 5) == [Candidate(4, 1, {"fid": 0.0}, {"lr": 0.1}, "/c/old")]
    assert candidates([reported])[1].key == (4, 2)


def test_the_best_has_the_largest_volume_by_itself() -> None:
    scores = {
        1: {"fid": 1.0, "ms_ssim": 0.1, "psnr": 11.0},  # 9 x 0.1 x 1
        2: {"fid": 5.0, "ms_ssim": 0.5, "psnr": 15.0},  # 5 x 0.5 x 5
        3: {"fid": 9.0, "ms_ssim": 0.9, "psnr": 19.0},  # 1 x 0.9 x 9
    }
    found = front(*candidates([trial(0, scores)]), objectives=(PSNR, FID, SSIM))
    assert found.best == 1 and found.minimised[found.best].tolist() == [-15.0, 5.0, -0.5]
    no_volume = (99.0, 0.1, 5.0), (98.0, 0.1, 5.0)
    assert front(*(candidate(n, *row) for n, row in enumerate(no_volume))).best == 0, "the first of equals"


@pytest.mark.parametrize("seed", range(4))
def test_a_constrained_front_is_that_of_the_feasible_candidates(seed: int) -> None:
    found = [
        replace(c, values={**c.values, "psnr": c.values["psnr"] + 4}) for c in random_candidates(seed, 40)
    ]
    feasible = [c for c in found if c.values["psnr"] >= 20 and c.values["fid"] <= 4]
    bounded, rest = constrained(*found), front(*feasible)
    assert 0 < len(feasible) < 40
    assert bounded.members == rest.members and bounded.knee == rest.knee
    assert bounded.hypervolume == pytest.approx(rest.hypervolume)
    assert bounded.best == found.index(feasible[rest.best])
    assert bounded.feasible.tolist() == [c in feasible for c in found]


def test_if_all_candidates_violate_bounds_the_best_has_the_least_violation() -> None:
    found = [candidate(0, 5.0, 0.9, 10.0), candidate(1, 9.0, 0.1, 19.0), candidate(2, 4.4, 0.1, 19.0)]
    bounded = constrained(*found)
    violations = [bounded.total_violation(i) for i in range(3)]
    assert violations == pytest.approx([0.25 + 0.5, 1.25 + 0.05, 0.1 + 0.05]) and bounded.best == 2
    assert (bounded.members, bounded.hypervolume, bounded.knee) == EMPTY


def test_values_keep_their_natural_directions_and_only_minimised_ones_change_sign() -> None:
    found = front(candidate(0, 4.0, 0.5, 12.0))
    assert found.members[0].values["ms_ssim"] == 0.5
    assert found.minimised.tolist() == [[4.0, -0.5, -12.0]] and found.corner.tolist() == [10.0, -0.0, -10.0]


# Hypervolume as trials complete


class MakeFront:
    """Counts the candidates that are compared."""

    def __init__(self) -> None:
        self.compared = 0

    def __call__(self, found: Sequence[Candidate]) -> Front:
        self.compared += len(found)
        return Front((FID, PSNR), {"fid": 10.0, "psnr": 0.0}, found)


def completed(number: int, *points: Sequence[float]) -> Trial:
    """FID and PSNR by refinement step count."""
    return trial(number, {i: {"fid": fid, "psnr": psnr} for i, (fid, psnr) in enumerate(points, 1)})


def test_volumes_of_a_curve_by_hand() -> None:
    trials = [completed(0, (8, 2)), completed(1, (9, 1)), completed(2, (5, 1), (9, 4))]
    curve = HypervolumeCurve(MakeFront())
    assert curve.volumes(dict(enumerate(trials)), [0, 1, 2]) == pytest.approx([4, 4, 4 + 3 + 2])


@pytest.mark.parametrize("count", [40, FRONTS + 40])
def test_a_trial_inserted_late_recomputes_only_those_after_it(count: int) -> None:
    rng = np.random.default_rng(0)
    trials = [completed(n, *rng.uniform(0, 9, (3, 2)).tolist()) for n in range(count)]
    known, order, late = dict(enumerate(trials)), list(range(count)), count - 5
    make_front = MakeFront()
    curve = HypervolumeCurve(make_front)
    before = list(curve.volumes(known, [n for n in order if n != late]))
    compared = make_front.compared
    volumes = list(curve.volumes(known, order))
    assert make_front.compared - compared < 5 * 20, "five fronts, not all"
    assert volumes[:late] == before[:late]
    expected = [MakeFront()(candidates(trials[: n + 1])) for n in order]
    assert volumes == pytest.approx([front.hypervolume for front in expected])
    assert curve.members == expected[-1].members
    assert curve.volumes(known, order[:3]) == pytest.approx(volumes[:3]), (
        "earlier than any front that is kept"
    )
    assert curve.members == expected[2].members
    assert curve.volumes(known, []) == [] and curve.members == []
