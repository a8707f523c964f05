"""Tables and pictures of validation against test."""

import json
from dataclasses import replace
from pathlib import Path
from platform.confirmation import test_report
from platform.confirmation.test_report import SplitComparison
from typing import Any

import numpy as np

from tests.platform.confirmation.examples import OBJECTIVES
from tests.platform.reporting.reading import markdown_cells, screen
from trainers.metrics.frechet import Interval

ROWS = [
    SplitComparison(
        *("trial 0, 1 step", (0, 1), {"fid": 1.0, "psnr": 25.0}),
        {"fid": Interval(2.0, 1.5, 2.5), "psnr": Interval(24.0, 23.0, 25.0)},
        {"fid": Interval(3.0, 2.0, 4.0), "psnr": Interval(23.0, np.nan, np.nan)},
        *({"fid": 3.5, "psnr": 22.5}, 2),
    ),
    *(
        test_report.baseline(name, {"fid": Interval(9.0, 8.0, 10.0)}, {"fid": Interval(9.5, 8.5, 10.5)}, {})
        for name in ("input", "matched")
    ),
]


def test_the_table_has_a_line_for_each_candidate_and_objective() -> None:
    _, *lines = markdown_cells(test_report.markdown(ROWS, OBJECTIVES))
    assert lines[0] == [
        *("FID ↓", "trial 0, 1 step", "1.000", "2.000 [1.500, 2.500]"),
        *("3.000 [2.000, 4.000]", "3.500", "2"),
    ]
    assert lines[1][:4] == ["FID ↓", "untouched input", "", "9.000 [8.000, 10.00]"]
    assert lines[2][1] == "histogram-matched input" and len(lines) == 6
    assert lines[3][3:5] == ["24.00 [23.00, 25.00]", "23.00"]
    assert "3.000 [2.000, 4.000]" in screen(test_report.terminal(ROWS, OBJECTIVES))


def test_the_shifted_test_split_has_a_column_where_a_cohort_has_one() -> None:
    rows = [replace(row, shifted={"fid": Interval(4.0, 3.0, 5.0)}) for row in ROWS]
    heads, line, *_ = markdown_cells(test_report.markdown(rows, OBJECTIVES))
    assert heads[4:6] == ["test", "shifted"] and line[5] == "4.000 [3.000, 5.000]"
    assert "shifted" in screen(test_report.terminal(rows, OBJECTIVES), width=160)
    assert rows[0].to_json()["shifted"]["fid"]["estimate"] == 4.0


def test_a_cell_says_on_how_many_subjects_where_some_have_no_value() -> None:
    known = {"test": {"fid": "3 of 4 subjects"}}
    rows = [replace(row, measured=known) for row in ROWS]
    _, line, *_ = markdown_cells(test_report.markdown(rows, OBJECTIVES))
    assert line[3:5] == ["2.000 [1.500, 2.500]", "3.000 [2.000, 4.000] (3 of 4 subjects)"]
    assert rows[0].to_json()["measured"] == known


def test_the_picture_and_the_page_are_written_even_for_one_objective(tmp_path: Path) -> None:
    page, picture = test_report.figure(ROWS, OBJECTIVES, tmp_path)
    assert picture.stat().st_size > 10_000 and "test = validation" in page.read_text()
    alone = [replace(row, test={"fid": row.test["fid"]}) for row in ROWS]
    assert test_report.figure(alone, OBJECTIVES, tmp_path / "one")[1].stat().st_size > 5_000


def test_json_has_no_nan_and_metrics_a_name_for_each_row() -> None:
    written: Any = json.loads(json.dumps([row.to_json() for row in ROWS], allow_nan=False))
    assert written[0]["test"]["psnr"] == {"estimate": 23.0, "low": None, "high": None}
    assert [row.place for row in ROWS] == ["0_1", "input", "matched"]
