"""Rank correlations of rungs with the ends of training, for known rankings."""

from platform.orchestration.report import rung_correlations
from platform.storage.ledger import Trial, TrialStatus
from platform.study.settings import Objective

from trainers.report import Report

FID, PSNR = Objective("fid", "minimize"), Objective("psnr", "maximize")
Rungs = dict[int, list[tuple[float, float]]]


def trial(number: int, rungs: Rungs, status: TrialStatus = "completed") -> Trial:
    """A trial with FID and PSNR of each refinement step count, by step."""
    scores = {
        step: {count: {"fid": fid, "psnr": psnr} for count, (fid, psnr) in enumerate(pairs, 1)}
        for step, pairs in rungs.items()
    }
    reports = {step: Report(step, 40, by_count, {}, 1.0, "") for step, by_count in scores.items()}
    return Trial(number, {}, status, reports=reports)


def test_same_order_is_one_and_reversed_is_minus_one() -> None:
    """FID keeps its order, PSNR is reversed; of several candidates the best in each objective counts."""
    worse = (99.0, -99.0)
    trials = [trial(i, {10: [(i, i), worse], 40: [worse, (i**2, -(i**3))]}) for i in range(6)]
    line = "rank correlation of step 10 with the end, 6 trials: fid 1.00, psnr -1.00"
    assert rung_correlations(trials, [FID, PSNR]) == [line]


def test_spearmans_formula_without_ties() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) of ranks 0..4 against 1, 0, 2, 4, 3: 1 - 6 * 4 / 120; NaN if equal."""
    ends = (1, 0, 2, 4, 3)
    trials = [trial(i, {10: [(i, 0)], 40: [(end, 1)]}) for i, end in enumerate(ends)]
    line = "rank correlation of step 10 with the end, 5 trials: fid 0.80, psnr nan"
    assert rung_correlations(trials, [FID, PSNR]) == [line]


def test_only_rungs_that_all_completed_trials_share() -> None:
    """Trials that wait or failed do not count, nor does a rung that one trial does not have."""
    completed = [trial(i, {10: [(i, 0)], 40: [(i, 0)]}) for i in range(5)]
    other = trial(5, {20: [(0, 0)], 40: [(0, 0)]}, "paused")
    assert len(rung_correlations([*completed, other], [FID])) == 1
    assert not rung_correlations([*completed, trial(5, {20: [(0, 0)], 40: [(9, 0)]})], [FID])
    assert not rung_correlations([*completed[:4], other], [FID])
