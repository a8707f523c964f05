"""What rungs told of the end, against rankings known beforehand."""

from platform.orchestration.foretold import foretold
from platform.storage.ledger import Trial
from platform.study.settings import Objective
from typing import Any

FID, PSNR = Objective("fid", "minimize"), Objective("psnr", "maximize")


def trial(number: int, rungs: dict[int, list[tuple[float, float]]], status: Any = "completed") -> Trial:
    """A trial with FID and PSNR of each refinement step count, by step."""
    reports = {
        step: {
            "scores": {str(i + 1): {"fid": f, "psnr": p} for i, (f, p) in enumerate(pairs)},
            "checkpoint": "",
        }
        for step, pairs in rungs.items()
    }
    return Trial(number, {}, status, reports=reports)


def test_same_order_is_one_and_reversed_is_minus_one() -> None:
    """FID keeps its order, PSNR turns round; of several candidates the best in each objective counts."""
    worse = (99.0, -99.0)
    trials = [trial(i, {10: [(i, i), worse], 40: [worse, (i**2, -(i**3))]}) for i in range(6)]
    assert foretold(trials, [FID, PSNR]) == [
        "rank correlation of step 10 with the end, 6 trials: fid 1.00, psnr -1.00"
    ]


def test_spearmans_formula_without_ties() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) of ranks 0..4 against 1, 0, 2, 4, 3: 1 - 6 * 4 / 120."""
    ends = (1, 0, 2, 4, 3)
    trials = [trial(i, {10: [(i, 0)], 40: [(end, 0)]}) for i, end in enumerate(ends)]
    assert foretold(trials, [FID]) == ["rank correlation of step 10 with the end, 5 trials: fid 0.80"]


def test_equal_values_have_no_order() -> None:
    """Where nothing differs there is no correlation."""
    trials = [trial(i, {10: [(1, i)], 40: [(i, 1)]}) for i in range(5)]
    (line,) = foretold(trials, [FID, PSNR])
    assert line.endswith("fid nan, psnr nan")


def test_only_rungs_that_all_completed_trials_share() -> None:
    """Trials that wait or failed do not count, nor does a rung that one trial did not have."""
    done = [trial(i, {10: [(i, 0)], 40: [(i, 0)]}) for i in range(5)]
    other = trial(5, {20: [(0, 0)], 40: [(0, 0)]}, "paused")
    assert len(foretold([*done, other], [FID])) == 1
    assert not foretold([*done, trial(5, {20: [(0, 0)], 40: [(9, 0)]})], [FID])
    assert not foretold([*done[:4], other], [FID])
