"""The lesion check on drawn balls: erased, planted, faded, unchanged; volume, place and contrast."""

import numpy as np
import pytest
from scipy import ndimage

from tests.trainers.metrics.balls import (
    BRAIN,
    CENTRE,
    HEIGHT,
    MAP,
    SHAPE,
    SPACING,
    ball,
    lesioned,
    mapped,
    report,
    scanned,
    tissue,
)
from trainers.data.arrays import Array
from trainers.metrics import outliers
from trainers.metrics.lesion_check import LEAST, Region, compare

IN_OUTPUT = {c: b * HEIGHT["T1"] + d * HEIGHT["T2"] for c, (_, b, d) in MAP.items()}
"""A lesion's height in the output."""


def is_at(region: Region, mask: Array, sign: float = 1) -> None:
    """Covers 60 % of a ball and nothing 6 mm from it; the contrast is the blurred ball's there, to 40 %."""
    away = (region.place - np.argwhere(mask).mean(0)) * SPACING
    assert np.abs(away).max() < 2
    assert (region.mask & mask).sum() > 0.6 * mask.sum()
    assert not (ndimage.distance_transform_edt(~mask, SPACING)[region.mask] > 6).any()
    share = ndimage.gaussian_filter(mask.astype(float), (0, outliers.DETAIL / 2, outliers.DETAIL / 2))
    for contrast, height in IN_OUTPUT.items():
        expected = sign * height * share[region.mask].mean()
        assert region.shown[contrast] == pytest.approx(expected, rel=0.4, abs=0.01)
    assert abs(region.kept) < 0.15


@pytest.mark.parametrize("radius", [8.0, 11.0])
def test_an_erased_lesion_has_vanished_and_a_planted_one_appeared(radius: float) -> None:
    mask = ball(radius)
    (erased,) = report(mask, 1, 0).changed
    (planted,) = report(mask, 0, 1).changed
    assert (erased.kind, planted.kind) == ("vanished", "appeared")
    is_at(erased, mask)
    is_at(planted, mask)
    (dark,) = report(mask, -1, 0).changed
    is_at(dark, mask, -1)


@pytest.mark.parametrize(("made", "kinds"), [(0.1, ["vanished"]), (0.6, []), (1.0, []), (1.7, [])])
def test_what_is_left_of_the_contrast_decides(made: float, kinds: list[str]) -> None:
    assert [region.kind for region in report(ball(12), 1, made).changed] == kinds


def test_what_is_kept_and_not_on_the_other_side_is_measured() -> None:
    mask = ball(12)
    for made in (1.0, 0.6):
        found = report(mask, 1, made)
        (one,) = (r for r in found.standing if r.mask[tuple(CENTRE)])
        assert one.kept == pytest.approx(made, abs=0.15) and one.extent == pytest.approx(1, abs=0.3)
    wider = report(mask, 1, 1, wide=ball(16))
    (one,) = (r for r in wider.standing if r.mask[tuple(CENTRE)])
    assert 1.2 < one.extent < 2.5  # the balls are 2.2 to 1
    both = mask | ball(12, np.array([5, 30, SHAPE[2] - 1 - 20]))
    assert not [r for r in report(both, 1, 1).standing if r.mask[tuple(CENTRE)]]


def test_unchanged_visits_are_silent() -> None:
    """None of 40 alarms: a rate of .1 a visit would give none with a chance of .9 ** 40 = 1.5 %."""
    alarms = [len(report(ball(10), seed % 2, seed % 2, seed).changed) for seed in range(40)]
    assert sum(alarms) == 0


def test_smaller_than_the_least_volume_is_no_region() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[5, 30, 20] = True
    assert mask.sum() * 0.02 < LEAST / 2
    assert not report(mask, 1, 0).changed


def test_one_contrast_is_enough() -> None:
    mask, healthy = ball(12), tissue(3)
    before = {"T2": scanned(lesioned(healthy, mask), 3)["T2"]}
    after = {"T2": np.where(BRAIN, 0.1 + 0.8 * healthy["T2"], 0)}
    (region,) = compare(before, after, BRAIN, SPACING).changed
    assert region.kind == "vanished" and region.shown["T2"] == pytest.approx(0.8 * HEIGHT["T2"], rel=0.5)


def test_the_fitted_map_is_exact_and_a_region_has_no_influence_on_it() -> None:
    before = tissue(5)
    after = mapped(before)
    found = outliers.expected(before, after, BRAIN, SPACING)
    np.testing.assert_allclose(found["T1"][BRAIN], after["T1"][BRAIN], atol=1e-4)
    after["T2"] = after["T2"] + 0.5 * ball(14)
    found, outside = outliers.expected(before, after, BRAIN, SPACING), BRAIN & ~ball(24)
    np.testing.assert_allclose(found["T2"][outside], after["T2"][outside], atol=0.06)
    assert np.abs(found["T2"] - mapped(before)["T2"])[ball(14)].mean() < 0.1


def test_smoothing_keeps_a_constant_up_to_the_brains_edge() -> None:
    image = np.where(BRAIN, 0.7, 0).astype(np.float32)
    np.testing.assert_allclose(outliers.smooth(image, BRAIN, SPACING, (5, 4, 4))[BRAIN], 0.7, atol=1e-5)


def test_deviations_of_noise_have_about_unit_scale() -> None:
    healthy = tissue(2)
    seen = scanned(healthy, 2)
    wanted = outliers.expected(mapped(healthy), seen, BRAIN, SPACING)
    pair = (outliers.in_plane(each, BRAIN, SPACING) for each in (seen, wanted))
    for z in outliers.deviations(*pair, BRAIN, SPACING).values():
        assert z[BRAIN].std() == pytest.approx(1, abs=0.25) and not z[~BRAIN].any()
