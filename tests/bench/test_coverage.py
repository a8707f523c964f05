"""The intervals that reports print contain the truth in 93 to 97 of 100 simulated cohorts, up to chance."""

from pathlib import Path

import pytest
from scipy.stats import binom

from tests.bench import coverage
from tests.bench.coverage import Coverage, of_distances, of_means

REPEATS = 150
LEAST, MOST = binom.ppf(0.001, REPEATS, 0.93) / REPEATS, binom.ppf(0.999, REPEATS, 0.97) / REPEATS


def test_intervals_of_means_and_of_a_pooled_distance_contain_the_truth() -> None:
    rows = [*of_means(REPEATS), *of_distances(REPEATS, 300, ["patch distance"])]
    assert len(rows) == len(coverage.MEANS) + len(coverage.SHIFTS)
    for row in rows:
        assert LEAST <= row.table <= MOST and LEAST <= row.confirmed <= MOST, row


def test_the_page_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Coverage("FID", 0.95, 0.03, 0.94)]
    monkeypatch.setattr(coverage, "of_means", lambda repeats: rows)
    monkeypatch.setattr(coverage, "of_distances", lambda repeats, known: rows)
    monkeypatch.setattr(coverage, "PAGE", tmp_path / "page.md")
    coverage.main(["--quick"])
    assert not coverage.PAGE.exists()
    coverage.main([])
    assert coverage.PAGE.read_text().count("FID") == 2 and "95.0%" in coverage.PAGE.read_text()
