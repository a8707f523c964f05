"""Tables and pictures of a confirmation hold means, intervals and the search's values."""

from pathlib import Path
from platform.confirmation.retraining import Retrainings
from platform.confirmation.seed_report import closing, figure, markdown, overlay, terminal
from platform.reporting.panels import PlottedCandidate

from tests.platform.confirmation.examples import OBJECTIVES, finalist
from tests.platform.reporting.reading import markdown_cells, screen
from trainers.metrics.frechet import Interval


def test_tables_show_mean_interval_search_value_probability_and_rank() -> None:
    baselines = {name: {"fid": Interval(9.0, 8.0, 10.0)} for name in ("input", "lookup")}
    many = [finalist(), finalist(trial=4, rank=2, diverged=1)]
    text = markdown(many, OBJECTIVES, baselines)
    assert markdown_cells(text)[1] == [
        *("1", "3", "2", "2.000 [1.500, 2.500]", "1.000", "20.00", "21.00", "0.75", "1, 2")
    ]
    assert "1, 2, 1 diverged" in text and "untouched input" in text and "joint lookup (bound" in text
    shown = screen(terminal(many, OBJECTIVES, baselines))
    assert "[1.500, 2.500]" in shown and "search 1.000" in shown and "9.000" in shown and "…" not in shown
    known = {"psnr": "3 of 4 subjects"}
    assert "PSNR (dB) (3 of 4 subjects) ↑" in markdown_cells(markdown(many, OBJECTIVES, {}, known))[0]
    assert "3 of 4" in screen(terminal(many, OBJECTIVES, {}, known))
    violated = markdown([finalist(broken={"ms_ssim": 0.5})], OBJECTIVES, {})
    assert "| violates a constraint: MS-SSIM 0.5000 |" in violated and "| 0.75 |" not in violated


def test_the_last_lines_name_optimism_failures_and_the_report() -> None:
    retrainings = Retrainings((), {}, ("confirm trial 3, seed 1: its worker died",))
    assert closing([finalist()], OBJECTIVES, retrainings, Path("/report")).splitlines() == [
        "winner's curse (how much better the search's values are, on average): FID +1, PSNR (dB) +1",
        "confirm trial 3, seed 1: its worker died; the same command tries it again",
        "report: /report",
    ]


def test_the_picture_holds_means_with_bars_and_the_searchs_values(tmp_path: Path) -> None:
    candidates = [
        PlottedCandidate(3, 2, {"fid": 1.0, "psnr": 21.0}, {}, True, True),
        PlottedCandidate(4, 1, {"fid": 3.0, "psnr": 22.0}, {}, True, False),
    ]
    many = [finalist(), finalist(trial=4, steps=1, rank=2)]
    page, picture = figure(many, OBJECTIVES, candidates, {"fid": 4.0, "psnr": 19.0}, tmp_path / "confirm")
    assert page.name == "confirm.html" and "P(non-dominated) 0.75" in page.read_text()
    assert picture.stat().st_size > 10_000
    shown = overlay(many, ("fid", "psnr"))
    assert shown.searched[0].tolist() == [1.0, 21.0] and shown.bars.points[0].tolist() == [2.0, 20.0]
    assert shown.bars.lengths[0].tolist() == [[0.5, 0.5], [0.0, 0.0]]
    alone = (OBJECTIVES[0],)
    assert figure(many, alone, candidates, {}, tmp_path / "one")[1].stat().st_size > 5_000
