"""The published figures are the paper's, as its own text states them."""

import re
from pathlib import Path
from platform.comparison.published_table import LABELS, PAIRED, TABLE, UNPAIRED

import numpy as np
import pytest

from trainers.metrics.names import METRICS

PAPER = Path("/work/shared/000_2fcfc5a3a5ae417c.txt")


def best(metric: str) -> set[str]:
    choose = min if METRICS[metric] == "minimize" else max
    top = choose(row[metric] for row in TABLE.values())
    return {name for name, row in TABLE.items() if row[metric] == top}


def test_every_system_has_every_metric() -> None:
    assert list(TABLE) == list(LABELS)
    assert len(LABELS) == 10
    assert all(tuple(row) == UNPAIRED + PAIRED for row in TABLE.values())
    assert set(UNPAIRED + PAIRED) <= set(METRICS)


def test_the_paper_s_claims_hold_in_its_table() -> None:
    """Section 5: best FID; highest PSNR and MS-SSIM on T1; DMD2 strengthens the alignment of UNSB."""
    assert best("fid") == best("psnr_t1") == best("ms_ssim_t1") == {"asp_dmd"}
    assert all(TABLE["unsb_dmd"][m] < TABLE["unsb"][m] for m in ("fid", "rad_fid"))


@pytest.mark.parametrize("metric", UNPAIRED + PAIRED)
def test_figures_are_within_what_a_metric_can_be(metric: str) -> None:
    values = np.array([row[metric] for row in TABLE.values()])
    top = {"piqe": 100, "ms_ssim_t1": 1, "ms_ssim_t2": 1}.get(metric, 80)
    assert ((values > 0) & (values < top)).all()
    np.testing.assert_array_equal(values, values.round(4))


@pytest.mark.skipif(not PAPER.is_file(), reason=f"the paper's text is not at {PAPER}")
@pytest.mark.parametrize(("part", "metrics"), [("A", UNPAIRED), ("B", PAIRED)])
def test_the_figures_are_those_of_the_text(part: str, metrics: tuple[str, ...]) -> None:
    lines = PAPER.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"({part}) "))
    cells = lines[start + 6 : start + 6 + 50]  # a title, five heads, ten systems of a name and four numbers
    for row, (name, label) in zip(range(0, 50, 5), LABELS.items(), strict=True):
        printed = re.sub(r" \[.*", "", cells[row])
        assert label.startswith(printed) or label.lower() == printed.lower()
        assert [TABLE[name][m] for m in metrics] == [float(text) for text in cells[row + 1 : row + 5]]
