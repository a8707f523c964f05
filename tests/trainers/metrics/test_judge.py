"""Validation of outputs whose scores are known."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics import tissue
from trainers.metrics.aggregate import balanced_rows
from trainers.metrics.judge import Judge, clamp_and_mask, encode, require_overlap
from trainers.metrics.names import METRICS, VERSION, require_measurable_version


def test_every_metric_is_reported_perfect_for_the_truth_and_psnr_in_closed_form(tiny: Any) -> None:
    scores = tiny.judge.score(tiny.judge.truth)
    assert scores["psnr"] == np.inf
    assert abs(scores["ms_ssim"] - 1) < 1e-6
    assert scores["fid"] == tiny.judge.baselines["floor"]["fid"]
    # A uniform error e in every pixel of one contrast is -20 log10(e / 2) dB on the [0, 1] scale.
    output = tiny.judge.truth.clone()
    output[:, 0] += 0.1
    scores = tiny.judge.score(output)
    assert abs(scores["psnr_t1"] + 20 * np.log10(0.05)) < 1e-4
    assert abs(scores["psnr_slice_t1"] + 20 * np.log10(0.05)) < 1e-4
    assert scores["psnr_t2"] == np.inf
    # One outside the brain of either counts in whole slices alone.
    output = torch.where(tiny.judge.region[:, None], tiny.judge.truth, tiny.judge.truth + 0.1)
    scores = tiny.judge.score(output)
    assert scores["psnr"] == np.inf and abs(scores["ms_ssim"] - 1) < 1e-12
    assert scores["psnr_slice"] < 40 and scores["ms_ssim_slice"] < 1
    measured = tiny.judge.score(tiny.judge.source).keys() | {"seconds_per_volume"}
    known = METRICS.keys() - {"rad_fid"}  # without RadImageNet's weights
    assert measured == {name for name in known if not tiny.judge.refusal(name)}
    # Of two subjects no distance is extrapolated; of four it is that of the slices without each.
    assert "fid_infinity" not in measured
    subjects = tuple(
        (start, stop) for a, b in tiny.judge.subjects for start, stop in ((a, a + 5), (b - 5, b))
    )
    four = replace(tiny.judge, subjects=subjects, balanced=balanced_rows(subjects, 5))
    found, drawn = four.distances(four.source), four.resampled(four.source)
    rows = [torch.cat([four.balanced[: 5 * i], four.balanced[5 * i + 5 :]]) for i in range(4)]
    fewer = [
        float(four.pools["domain"].frechet(encode(tiny.references.domain, four.source[r]))) for r in rows
    ]
    assert found["fid_infinity"] == pytest.approx(4 * found["fid"] - 3 * np.mean(fewer), rel=1e-3)
    estimate, draws = drawn["fid_infinity"]
    assert estimate == found["fid_infinity"]
    np.testing.assert_allclose(
        np.array(draws) - estimate, np.array(drawn["fid"][1]) - found["fid"], atol=1e-3
    )
    assert "fid_infinity" not in replace(four, version=1).distances(four.source)


def test_outputs_are_clamped_and_masked_and_noise_worsens_their_distances(tiny: Any) -> None:
    output, mask = torch.full((1, 3, 2, 2), 3.0), torch.tensor([[[True, False], [False, True]]])
    assert torch.equal(clamp_and_mask(output, mask)[0, 0], torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    truth = tiny.judge.truth
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    noisy = clamp_and_mask(truth + 0.5 * noise, tiny.judge.mask)
    clean, worse = tiny.judge.distances(truth), tiny.judge.distances(noisy)
    assert worse["fid"] > clean["fid"] and worse["kid"] > clean["kid"]


def test_a_free_third_channel_changes_no_score_but_those_of_version_1(tiny: Any) -> None:
    output = tiny.judge.source.clone()
    output[:, 2] = tiny.judge.truth[:, 2]
    assert tiny.judge.score(output) == tiny.judge.baselines["input"]
    first = replace(tiny.judge, version=1)
    found, expected = first.score(output), first.score(tiny.judge.source)
    assert found["fid"] != expected["fid"] == tiny.judge.baselines["input"]["fid"]
    assert expected["psnr"] == tiny.judge.baselines["input"]["psnr_slice"] and "psnr_slice" not in expected


def test_a_subject_whose_masks_do_not_overlap_is_named(tiny: Any) -> None:
    rows = tiny.cohort.split("val")
    region = tiny.judge.region.clone()
    start, stop = tiny.judge.subjects[1]
    region[start:stop] = False
    with pytest.raises(InputError, match=f"cohort: {rows.subjects('3T')[1].id}: its brain masks"):
        require_overlap(region, rows)


def test_extended_measures_count_black_pixels_of_the_3_t_in_both_brains_and_find_it_once(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = tiny.judge.region.clone()
    black[:, ::2] = False
    truth = torch.where(black[:, None], -1.0, tiny.judge.truth)
    judge, output = replace(tiny.judge, truth=truth), tiny.judge.truth
    scores = judge.extended(output)
    x, y = ((image[:, :2] + 1) / 2 for image in (output, truth))
    for i, (start, stop) in enumerate(judge.subjects):
        region = judge.region[start:stop]
        errors = [
            ((x[start:stop, c] - y[start:stop, c])[region].norm() / y[start:stop, c][region].norm())
            for c in (0, 1)
        ]
        assert float(scores["nrmse"][i]) == pytest.approx(float(sum(errors)) / 2, rel=1e-4)
    looked: list[int] = []
    original = tissue.segment
    monkeypatch.setattr(tissue, "segment", lambda *given: looked.append(1) or original(*given))
    again = judge.extended(output)
    assert len(looked) == len(judge.subjects), "of the output alone"
    assert all(torch.equal(again[name].nan_to_num(), scores[name].nan_to_num()) for name in scores)


def test_pooled_rows_samples_and_protocol(tiny: Any) -> None:
    rows = tiny.judge.balanced.numpy()
    counts = {sum(start <= row < stop for row in rows) for start, stop in tiny.judge.subjects}
    assert len(counts) == 1 and counts.pop() >= 1
    samples = tiny.judge.samples(tiny.judge.truth)
    assert set(samples) == {f"{c} {name}" for c in ("T1", "T2") for name in ("input", "output", "3 T")}
    start, stop = tiny.judge.subjects[1]
    expected = (tiny.judge.source[(start + stop) // 2, 1] + 1) / 2
    assert torch.equal(samples["T2 input"][1], expected)
    assert torch.equal(samples["T1 output"], samples["T1 3 T"])
    protocol = tiny.judge.protocol()
    assert "4 scales on 112x96" in protocol["ms_ssim"]
    assert "rad_fid" not in protocol
    assert tiny.references.hash[:12] in protocol["fid"]


def test_validation_never_opens_the_test_split(tiny: Any) -> None:
    """The test split is taken away and the judge of the validation split is built and used all the same."""
    hidden = tiny.cohort.path / "hidden"
    os.rename(tiny.cohort.path / "test", hidden)
    try:
        judge = Judge.of(Cohort.open(Path(tiny.cohort.path)), tiny.references, "val")
        assert judge.score(judge.source)["fid"] > 0
    finally:
        os.rename(hidden, tiny.cohort.path / "test")


def test_a_study_whose_measures_are_no_longer_computed_is_one_line() -> None:
    for version in (1, VERSION):
        require_measurable_version(version, "mine")
    with pytest.raises(InputError, match=r"^mine: scored by version 2 of the measures, .* allowed: 1 and 3;"):
        require_measurable_version(2, "mine")
