"""A study's hypervolume as its trials complete, against volumes worked out by hand and anew each time."""

from collections.abc import Sequence
from platform.pareto.curve import Curve
from platform.pareto.front import Candidate, Front, candidates
from platform.storage.ledger import Trial
from platform.study.settings import Objective

import numpy as np
import pytest

OBJECTIVES = (Objective("fid", "minimize"), Objective("psnr", "maximize"))


class Judge:
    """Counts the candidates that it is asked to judge."""

    def __init__(self) -> None:
        self.judged = 0

    def __call__(self, found: Sequence[Candidate]) -> Front:
        self.judged += len(found)
        return Front(OBJECTIVES, {"fid": 10.0, "psnr": 0.0}, found)


def trial(number: int, *points: tuple[float, float]) -> Trial:
    """Completed, with FID and PSNR by refinement step count."""
    scores = {str(i): {"fid": fid, "psnr": psnr} for i, (fid, psnr) in enumerate(points, 1)}
    return Trial(number, {}, "completed", reports={5: {"scores": scores, "checkpoint": ""}})


def test_boxes_add_up() -> None:
    trials = [trial(0, (8.0, 2.0)), trial(1, (9.0, 1.0)), trial(2, (5.0, 1.0), (9.0, 4.0))]
    assert Curve(Judge()).volumes(trials) == pytest.approx([4, 4, 4 + 3 + 2])


def test_one_that_comes_late_changes_those_behind_it_alone() -> None:
    rng = np.random.default_rng(0)
    trials = [trial(n, *(tuple(row) for row in rng.uniform(0, 9, (3, 2)).tolist())) for n in range(40)]
    judge = Judge()
    curve = Curve(judge)
    kept = curve.volumes([t for t in trials if t.number != 35])
    before = judge.judged
    found = curve.volumes(trials)
    assert judge.judged - before < 5 * 20, "not forty fronts again"
    assert found[:35] == kept[:35]
    anew = [Judge()(candidates(trials[: n + 1])).hypervolume for n in range(40)]
    assert found == pytest.approx(anew)
    assert curve.volumes(trials[:3]) == pytest.approx(anew[:3])
    assert curve.volumes([]) == []
