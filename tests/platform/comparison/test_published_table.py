"""The published figures are the paper's, as its own text has them, and rank correlations are with them."""

import re
from pathlib import Path
from platform.comparison.published_table import PAIRED, TABLE, UNPAIRED, correlations
from platform.comparison.systems import LABELS
from platform.stats.scores import SystemResult
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.platform.stats.examples import result
from trainers.metrics.names import METRICS

PAPER = Path("/work/shared/000_2fcfc5a3a5ae417c.txt")


def best(metric: str) -> set[str]:
    choose = min if METRICS[metric] == "minimize" else max
    top = choose(row[metric] for row in TABLE.values())
    return {name for name, row in TABLE.items() if row[metric] == top}


def test_every_system_has_every_metric_in_its_range_and_the_papers_claims_hold() -> None:
    """Section 5: best FID; highest PSNR and MS-SSIM on T1; DMD2 strengthens the alignment of UNSB."""
    assert list(TABLE) == list(LABELS) and len(LABELS) == 10
    assert all(tuple(row) == UNPAIRED + PAIRED for row in TABLE.values())
    assert set(UNPAIRED + PAIRED) <= set(METRICS)
    assert best("fid") == best("psnr_t1") == best("ms_ssim_t1") == {"asp_dmd"}
    assert all(TABLE["unsb_dmd"][m] < TABLE["unsb"][m] for m in ("fid", "rad_fid"))
    for metric in UNPAIRED + PAIRED:
        values = np.array([row[metric] for row in TABLE.values()])
        top = {"piqe": 100, "ms_ssim_t1": 1, "ms_ssim_t2": 1}.get(metric, 80)
        assert ((values > 0) & (values < top)).all() and np.array_equal(values, values.round(4))


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


def test_rank_correlation_with_the_paper_is_scipys() -> None:
    rng = np.random.default_rng(0)
    ours = {name: dict(zip(UNPAIRED + PAIRED, rng.random(8).tolist(), strict=True)) for name in TABLE}
    outside = result("input", dict.fromkeys(METRICS, 1.0), kind="input")

    def of(values: Any, *more: SystemResult) -> dict[str, float]:
        return correlations([*more, *(result(name, row) for name, row in values.items())])

    found = of(ours, outside)
    assert list(found) == list(UNPAIRED + PAIRED)
    for metric, value in found.items():
        columns = [[table[name][metric] for name in TABLE] for table in (ours, TABLE)]
        assert value == pytest.approx(stats.spearmanr(*columns).statistic)
    assert all(value == pytest.approx(1) for value in of(TABLE).values())
    assert np.isnan(list(of({name: TABLE[name] for name in ("cut", "unsb")}, outside).values())).all()
