"""Translations by intensity alone, against maps that are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trainers.data.neighbours import surrounded
from trainers.metrics import baselines
from trainers.metrics.intensity_maps import HistogramMatch, JointLookup
from trainers.metrics.judge import Judge
from trainers.metrics.names import BASELINES


def images(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {c: torch.rand(6, 40, 40, generator=generator) for c in ("T1", "T2")}


INSIDE = torch.zeros(6, 40, 40, dtype=torch.bool)
INSIDE[:, 4:36, 4:36] = True


def test_a_monotone_change_of_intensities_is_found_without_pairs() -> None:
    source, other = images(0), images(1)
    target = {"T1": other["T1"] ** 2, "T2": 0.2 + 0.5 * other["T2"]}
    found = HistogramMatch.of(source, INSIDE, target, INSIDE).apply(source, INSIDE)
    for contrast, expected in (("T1", source["T1"] ** 2), ("T2", 0.2 + 0.5 * source["T2"])):
        assert torch.allclose(found[contrast][INSIDE], expected[INSIDE], atol=0.03)
        assert not found[contrast][~INSIDE].any()


def test_a_lookup_finds_any_function_of_both_contrasts_and_ignores_what_is_outside() -> None:
    def exact(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"T1": given["T1"] * given["T2"], "T2": (given["T1"] - given["T2"]).abs()}

    source, new = images(0), images(1)
    target = {c: torch.where(INSIDE, image, 9.0) for c, image in exact(source).items()}
    found = JointLookup.of(source, target, INSIDE).apply(new, INSIDE)
    for contrast, expected in exact(new).items():
        error = (found[contrast] - expected)[INSIDE]
        assert error.abs().mean() < 0.02 and not found[contrast][~INSIDE].any()
    noise = {"T1": images(2)["T1"], "T2": images(2)["T2"]}
    flat = JointLookup.of(source, noise, INSIDE).apply(new, INSIDE)
    assert float(flat["T1"][INSIDE].std()) < 0.15, "of an unrelated target the mean is left"


def test_every_baseline_is_scored_and_the_lookup_of_a_subject_has_not_seen_its_3_t(tiny: Any) -> None:
    scores = baselines.scores(tiny.judge)
    assert scores.keys() == {*BASELINES, "floor"} - {"supervised"}
    assert (
        scores["lookup"]["psnr"] > scores["matched"]["psnr"]
        and scores["lookup"]["psnr"] > scores["input"]["psnr"]
    )
    assert scores["matched"]["fid"] < scores["input"]["fid"]
    start, stop = tiny.judge.subjects[0]
    first = baselines.output("lookup", tiny.judge)
    truth = tiny.judge.truth.clone()
    truth[start:stop] = -1
    changed = baselines.output("lookup", replace(tiny.judge, truth=truth))
    assert first is not None and changed is not None
    assert torch.equal(first[start:stop], changed[start:stop])
    assert not torch.equal(first[stop:], changed[stop:])
    assert np.isfinite(first.numpy()).all()


def test_without_pairs_or_others_there_is_no_lookup(tiny: Any) -> None:
    alone = replace(tiny.judge, truth=tiny.judge.truth[:0])
    assert baselines.output("lookup", alone) is None
    assert baselines.output("input", alone) is alone.source


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "supervised"])
def test_on_the_test_split_it_is_learnt_from_the_validation_split(tiny: Any, name: str) -> None:
    judge = Judge.of(tiny.cohort, tiny.references, "test")
    output = baselines.output(name, judge)
    assert output is not None and output.shape == judge.source.shape
    assert (output[:, :2][~judge.mask[:, None].expand(-1, 2, -1, -1)] == -1).all()


def test_the_closed_form_is_that_of_the_references_black_outside_the_brain(tiny: Any) -> None:
    judge = tiny.judge
    restored, source = baselines.output("restored", judge), surrounded(judge.source, judge.subjects)
    torch.testing.assert_close(
        restored,
        torch.where(judge.mask[:, None], judge.references.restorers[True](source), -1.0),
    )
    without = replace(judge, references=replace(judge.references, restorers={}))
    assert baselines.output("restored", without) is None
