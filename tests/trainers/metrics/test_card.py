"""The sensitivity card of a cohort: computed once, of the distances that trials report."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainers.metrics import card, realism
from trainers.metrics.corruptions import CORRUPTIONS
from trainers.metrics.realism import some_rows


def test_the_card_of_a_cohort_is_computed_once_from_what_trials_report(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = card.read_or_compute(tmp_path, tiny.judge)
    floor, untouched = tiny.judge.baselines["floor"], tiny.judge.baselines["input"]
    assert {"fid", "fid_spatial"} <= cards.keys() <= floor.keys()
    for name, found in cards.items():
        assert [line.corruption for line in found.lines] == list(CORRUPTIONS)
        assert found.lines[-1].multiple * found.floor == pytest.approx(untouched[name], rel=1e-3, abs=1e-3)
    assert cards["fid"].floor == pytest.approx(floor["fid"], abs=1e-4)
    monkeypatch.setattr(card, "compute", None)
    assert card.read_or_compute(tmp_path, tiny.judge) == cards
    assert card.read_or_compute(tmp_path, replace(tiny.judge, truth=tiny.judge.truth[:0])) == {}


def test_a_distance_for_which_the_cohort_is_too_small_is_refused_and_not_scored(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(map(tiny.judge.refusal, ("fid", "fid_spatial", "patch_place", "psnr")))
    monkeypatch.setattr(realism, "SLICES", 1)
    judge = replace(tiny.judge)
    refusal = r"patch_fd: 3 pool subjects with .* are not allowed; allowed: "
    assert re.match(refusal, str(judge.refusal("patch_place")))
    assert not any(name.startswith("patch") for name in judge.baselines["input"])


def test_few_evenly_spread_slices_of_each_subject_are_compared() -> None:
    rows, subjects = some_rows([(0, 40), (40, 120)])
    assert subjects == [(0, 16), (16, 32)] and len(set(rows.tolist())) == 32
    assert rows[:16].max() < 40 <= rows[16:].min()
    assert some_rows([(0, 3), (3, 9)])[1] == [(0, 3), (3, 6)]
