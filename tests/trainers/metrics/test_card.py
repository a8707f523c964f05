"""The sensitivity card of a cohort: computed once, of the distances that trials report."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainers.errors import InputError
from trainers.metrics import card, realism
from trainers.metrics.corruptions import CORRUPTIONS
from trainers.metrics.names import VERSION
from trainers.metrics.realism import some_rows


def test_the_card_of_a_cohort_is_computed_once_from_what_trials_report(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = card.read_or_compute(tmp_path, tiny.judge)
    floor, untouched = tiny.judge.baselines["floor"], tiny.judge.baselines["input"]
    assert {"fid", "fid_spatial", "patch_fd"} <= cards.keys() <= floor.keys()
    for name, found in cards.items():
        assert [line.corruption for line in found.lines] == list(CORRUPTIONS)
        assert found.lines[-1].multiple * found.floor == pytest.approx(untouched[name], rel=1e-3, abs=1e-3)
    assert cards["fid"].floor == pytest.approx(floor["fid"], abs=1e-4)
    monkeypatch.setattr(card, "compute", None)
    assert card.read_or_compute(tmp_path, tiny.judge) == cards
    layout = tiny.references.config.channels
    patches = card.read_or_compute_patches(tmp_path, tiny.cohort, layout)
    assert patches == {name: found for name, found in cards.items() if name in realism.PATCHES}
    (scans,) = tmp_path.glob(f"cards/{tiny.cohort.hash[:16]}-{layout}-val-{VERSION}-*.json")
    (encoder,) = tmp_path.glob(f"cards/*-{tiny.references.hash[:16]}-val-{VERSION}-*.json")
    scans.write_text("{")
    with pytest.raises(InputError, match=r"cards/.*\.json: cannot be read .*; allowed: the card as written"):
        card.read_or_compute(tmp_path, tiny.judge)
    scans.unlink(), encoder.unlink()


def test_a_card_of_other_corruptions_or_another_order_is_not_read(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested: list[Any] = []
    monkeypatch.setattr(card, "compute", lambda files, pairs: requested.extend(files))
    monkeypatch.setattr(card, "_read", lambda path: {})
    changes = {
        "ORDER": card.ORDER[1:],
        "CORRUPTIONS": {**CORRUPTIONS, "new": None},
        "BIAS": 0.06,
        "VERSION": 99,
    }
    for change in ({}, *({name: value} for name, value in changes.items())):
        with monkeypatch.context() as patch:
            for name, value in change.items():
                patch.setattr(card, name, value)
            card.read_or_compute(tmp_path, tiny.judge)
    assert len(set(requested)) == 2 * (1 + len(changes)) == len(requested)


def test_without_two_paired_subjects_or_a_pool_there_is_no_card_but_a_reason(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = tiny.references.config.channels
    entries = [
        {**s, "domains": ["64mT"]} if s["split"] == "val" else s for s in tiny.cohort.manifest["subjects"]
    ]
    unpaired = replace(tiny.cohort, manifest={**tiny.cohort.manifest, "subjects": entries})
    assert card.read_or_compute(tmp_path, replace(tiny.judge, cohort=unpaired)) == {}
    assert card.read_or_compute_patches(tmp_path, unpaired, layout) == {}
    assert str(card.refusal(unpaired, layout)).startswith(
        "patch_fd: 0 paired subjects of val are not allowed"
    )
    assert card.refusal(tiny.cohort, layout) is None
    monkeypatch.setattr(realism, "SLICES", 1)
    assert card.read_or_compute_patches(tmp_path, tiny.cohort, layout) == {}
    assert str(card.refusal(tiny.cohort, layout)).startswith("patch_fd: 3 pool subjects")


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
