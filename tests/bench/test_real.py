"""Real studies with and without early stopping: their curves against volumes worked out by hand."""

import math
from pathlib import Path
from platform.spaces.loader import load_study
from platform.storage.ledger import Ledger
from platform.storage.saved_study import StartFacts, save_new
from platform.study.criteria import Criteria

import pytest

from tests.bench import real
from tests.bench.simulator import Run
from trainers.report import Report


def report(step: int, distance: float) -> Report:
    """One candidate, .25 above the corner in MS-SSIM and 4 dB in PSNR: its gain in distance is its volume."""
    return Report(step, 24, {1: {"patch_fd": distance, "ms_ssim": 0.75, "psnr": 14.0}}, {}, 1.0, "c")


def test_volume_of_completed_trials_by_steps_of_all(tmp_path: Path) -> None:
    """A paused trial adds its steps but no volume, until it is resumed and completes."""
    criteria = Criteria({"patch_fd": 3.0, "ms_ssim": 0.5, "psnr": 10.0})
    study = load_study(real.write_space(real.SPACE, "none", 0, 10, tmp_path), profile="laptop")
    save_new(tmp_path, study, criteria, StartFacts("", "", 1))
    ledger = Ledger(tmp_path)
    for number in (0, 1):
        ledger.proposed(number, {})
        ledger.reported(number, report(12, 0.5))
    ledger.paused(0)
    ledger.reported(1, report(24, 2.0))
    ledger.ended(1, "completed")
    ledger.continued(0, 12)
    ledger.reported(0, report(24, 1.0))
    ledger.ended(0, "completed")
    ledger.close()
    found = real.curve(tmp_path)
    points = list(zip(found.costs, found.volumes, strict=True))
    assert points == [(36, pytest.approx(1.0)), (48, pytest.approx(2.0))]
    assert (found.cost, found.started) == (48, 2)


def run(*points: tuple[float, float]) -> Run:
    """Hypervolume by steps."""
    costs, volumes = ([point[i] for point in points] for i in range(2))
    return Run(costs, [], volumes, max(costs, default=0.0), 0, [], [])


def test_shares_of_the_study_without_early_stopping() -> None:
    """At half of 100 steps halving has 3 of 4; it has all at 60, the other seed's never."""
    whole = run((50, 2.0), (100, 4.0))
    pairs = {0: (whole, run((20, 1.0), (50, 3.0), (60, 5.0))), 1: (whole, run((51, 3.9)))}
    rows = [row[1:] for row in real.table(pairs).rows]
    assert rows[:2] == [("0.750", "0.500", "0.600"), ("0.000", "0.500", "not")]
    assert rows[2] == ("0.375 [0.188, 0.562]", "0.500 [0.500, 0.500]", "not [not, not]")
    assert math.isinf(whole.reached(4.1))


def test_a_study_that_has_found_nothing_has_no_row() -> None:
    nothing = {0: (run(), run((5, 1.0))), 1: (run((5, 0.0)), run())}
    assert real.table(nothing).rows == (("median [quartiles]", "-", "-", "-"),)


@pytest.mark.parametrize("rule", real.RULES)
def test_spaces_are_valid_and_halving_has_more_trials(rule: str, tmp_path: Path) -> None:
    """The learning rate is searched and no longer fixed."""
    study = load_study(real.write_space(real.SPACE, rule, 3, 10, tmp_path), profile="laptop")
    assert (study.scheduler.name, study.seed) == (rule, 3)
    named = tmp_path / "named.yaml"
    named.write_text(f"extends: {real.SPACE}\nname: mine\n")
    path = real.write_space(named, rule, 3, 10, tmp_path)
    assert load_study(path, profile="laptop").name == path.stem != study.name
    assert study.budget.trials == {"none": 10, "asha": 18}[rule]
    assert "lr" in {dimension.name for dimension in study.search}


def test_picture_is_drawn(tmp_path: Path) -> None:
    """One file, whatever the seeds."""
    real.draw({0: (run((1, 1.0)), run((1, 0.5), (2, 1.0))), 1: (run(), run())}, tmp_path / "real.png")
    assert (tmp_path / "real.png").stat().st_size > 10_000
