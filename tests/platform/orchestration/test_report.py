"""Rank correlations of rungs with the ends of training, for known rankings; terms that do nothing."""

from pathlib import Path
from platform.orchestration.progress import Progress
from platform.orchestration.report import closing_lines, inert_terms, rung_correlations
from platform.storage.ledger import Ledger
from platform.storage.trials import Trial, TrialStatus
from platform.study.criteria import Criteria
from platform.study.settings import Objective

from tests.platform.conftest import MakeStudy
from tests.platform.world import REFERENCE
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


def shared(number: int, *rungs: dict[str, float]) -> Trial:
    """A trial that reported shares of the gradient."""
    reports = {i: Report(i, 40, {}, losses | {"D": 1.0}, 1.0, "") for i, losses in enumerate(rungs)}
    return Trial(number, {}, reports=reports)


def test_a_term_is_named_if_its_mean_share_is_below_one_percent_in_every_trial() -> None:
    """The mean over a trial's rungs that have it; the largest over trials; a term of weight 0 has none."""
    late = shared(1, {"share_G_GAN": 0.99}, {"share_G_DMD": 0.003, "share_G_SB": 0.02, "share_G_GAN": 0.97})
    trials = [shared(0, {"share_G_DMD": 0.001}, {"share_G_DMD": 0.007, "share_G_SB": 0.001}), late]
    line = "lambda_DMD: its term had at most 0.4 % of the gradient in every trial: it does nothing"
    assert inert_terms(trials) == [line]
    assert inert_terms([*trials, shared(2, {"share_G_DMD": 0.01})]) == []
    assert [line.split(":")[0] for line in inert_terms([shared(0, {"share_G_ent": 0.0})])] == ["w_ent"]
    assert inert_terms([Trial(3, {})]) == []


def test_notes_and_faults_of_the_environment_are_told_at_the_end(toy: MakeStudy, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(2):
        ledger.proposed(number, {})
        ledger.interrupted(number, "its worker died")
    ledger.noted(1, "trains by 2 slices at a time")
    ledger.close()
    lines = closing_lines(Progress(toy(), Criteria(REFERENCE), ledger), None, list(ledger.trials.values()))
    assert "trial 1: trains by 2 slices at a time" in lines
    assert "2 times a fault of the environment stopped a trial, which was resumed" in lines
