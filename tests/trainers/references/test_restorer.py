"""The closed-form restorer, against numpy's least squares and images whose restoration is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from trainers.data import channels
from trainers.data.neighbours import parted, surround, surrounded
from trainers.references.restorer import NEAR, RIDGE, WIDE, Restorer, blurred, blurred_inside, detail


def slices(count: int = 2, seed: int = 0) -> Tensor:
    """[count, 3, 24, 28] in [-1, 1], black outside an ellipse."""
    generator = torch.Generator().manual_seed(seed)
    t1, t2 = torch.rand(2, count, 24, 28, generator=generator) * 1.6 - 0.8
    y, x = torch.linspace(-1, 1, 24)[:, None], torch.linspace(-1, 1, 28)
    outside = (y**2 + x**2 > 0.9).expand(count, -1, -1)
    return channels.stack(t1.masked_fill(outside, -1), t2.masked_fill(outside, -1), "t1_t2_mean")


def test_a_gaussian_of_repeated_edges_is_scipys() -> None:
    images = torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))
    for deviation in (*NEAR, *WIDE):
        expected = [gaussian_filter(x, deviation, mode="nearest", truncate=3) for x in images[0].numpy()]
        np.testing.assert_allclose(blurred(images, deviation)[0].numpy(), np.stack(expected), atol=1e-6)


def test_means_over_the_brain_ignore_what_is_outside() -> None:
    brain = torch.zeros(1, 1, 20, 30)
    brain[..., 5:15, 8:20] = 1
    level = 0.3 * brain + 0.9 * (1 - brain)
    torch.testing.assert_close(
        blurred_inside(level.expand(1, 2, -1, -1), brain, 4.0), (0.3 * brain).expand(1, 2, -1, -1)
    )
    assert not detail(level, brain).abs().max() > 1e-6


@pytest.mark.parametrize("layout", ["t1_t2_mean", "t1", "t2"])
def test_before_it_is_fitted_it_is_the_identity(layout: channels.Layout) -> None:
    images = channels.delivered(slices(), layout)
    torch.testing.assert_close(Restorer(layout)(images), images)


def test_a_map_of_intensities_is_found_and_black_stays_black() -> None:
    source = slices(16)
    t1, t2 = (source[:, 0] + 1) / 2, (source[:, 1] + 1) / 2
    wanted = channels.stack(0.9 - 0.5 * t1 * t2, 0.2 + 0.3 * t1 + 0.4 * t2**2, "t1_t2_mean") * 2 - 1
    black = (source == -1).all(1, keepdim=True)
    wanted = torch.where(black, -1.0, wanted)
    restorer = Restorer("t1_t2_mean").fit([(source[:12], wanted[:12], ~black[:12, 0])])
    torch.testing.assert_close(restorer(source), wanted, atol=2e-3, rtol=0)


def test_what_neighbours_tell_of_a_thick_slice_is_found() -> None:
    source = surround(slices(16), slices(16, 1), slices(16, 2))
    own, mean = parted(source)
    brain = (own > -1).any(1)
    wanted = torch.where(brain[:, None], 1.4 * own - 0.4 * mean, -1.0)
    inside = (wanted.abs() < 1).all(1) & brain
    restorer = Restorer("t1_t2_mean").fit([(source, wanted, inside)])
    assert float((restorer(source) - wanted)[inside[:, None].expand_as(wanted)].abs().max()) < 2e-3
    assert not torch.allclose(restorer(own), restorer(source), atol=0.1)


def test_it_is_least_squares_over_the_pixels_that_count_however_they_are_parted() -> None:
    source, target = surrounded(slices(4)), slices(4, seed=1)
    counted = (slices(4) > -1).any(1)
    whole = Restorer("t1_t2_mean").fit([(source, target, counted)]).weight
    parted = Restorer("t1_t2_mean").fit(zip(*(x.split(1) for x in (source, target, counted)), strict=True))
    torch.testing.assert_close(parted.weight, whole, atol=1e-3, rtol=1e-3)
    x = Restorer("t1_t2_mean").features(source)[counted].double().numpy()
    y = ((target[:, :2] + 1) / 2).movedim(1, -1)[counted].double().numpy()
    # Ridge regression towards the identity is least squares with a row more for each weight.
    rows = np.sqrt(RIDGE * len(x)) * np.eye(x.shape[1])
    both = np.concatenate((x, rows)), np.concatenate((y, rows @ np.eye(x.shape[1], 2)))
    np.testing.assert_allclose(whole.numpy(), np.linalg.lstsq(*both, rcond=None)[0], atol=1e-6)


def test_one_without_neighbours_is_fitted_in_the_same_pass_as_by_itself() -> None:
    given = surround(slices(4), slices(4, 2), slices(4, 3)), slices(4, seed=1), (slices(4) > -1).any(1)
    beside, alone = (Restorer("t1_t2_mean", neighbours=False) for _ in range(2))
    both = Restorer("t1_t2_mean").fit_with([beside], [given])
    torch.testing.assert_close(beside.weight, alone.fit([given]).weight)
    torch.testing.assert_close(both.weight, Restorer("t1_t2_mean").fit([given]).weight)


def test_nothing_to_fit_to_leaves_the_identity() -> None:
    empty = torch.zeros(2, 24, 28, dtype=torch.bool)
    restorer = Restorer("t1_t2_mean").fit([(slices(), slices(2, 1), empty)])
    torch.testing.assert_close(restorer(slices()), slices())


def test_detail_is_amplified_to_that_of_3_t_by_the_share_that_is_asked_for() -> None:
    source = slices(4)
    brain = (source > -1).any(1)
    weak = Restorer("t1_t2_mean")
    unit = torch.stack([(x + 1) / 2 for x in channels.split(source, "t1_t2_mean").values()], 1)
    inside = brain[:, None].float()
    softer = unit - 0.5 * detail(unit, inside)
    soft = channels.stack(*(2 * softer - 1).unbind(1), "t1_t2_mean").where(brain[:, None], torch.tensor(-1.0))
    weak.fit_gain([(soft[:2], source[:2], brain[:2]), (soft[2:], source[2:], brain[2:])])
    real, own = (np.square(detail(x, inside).double().numpy()).sum((0, 2, 3)) for x in (unit, softer))
    np.testing.assert_allclose(weak.gain.numpy(), np.sqrt(real / own), rtol=1e-5)
    for share in (0.0, 0.25, 1.0):
        weak.detail = share
        expected = softer + share * (weak.gain.float() - 1)[:, None, None] * detail(softer, inside)
        found = channels.split(weak(soft), "t1_t2_mean")
        torch.testing.assert_close(torch.stack(list(found.values()), 1), 2 * expected.clamp(0, 1) - 1)
        assert torch.equal(weak(soft), weak.detailed(soft))


def test_nothing_to_fit_to_leaves_the_gain_at_one() -> None:
    empty = torch.zeros(2, 24, 28, dtype=torch.bool)
    assert torch.equal(Restorer("t2").fit_gain([(slices(), slices(), empty)]).gain, torch.ones(1).double())


def test_a_restorer_from_before_most_features_gives_what_it_gave() -> None:
    earlier = torch.randn(10, 2, generator=torch.Generator().manual_seed(0)).double() / 4
    restorer = Restorer("t1_t2_mean")
    restorer.load_state_dict({"weight": earlier})
    t1, t2 = ((slices()[:, k] + 1) / 2 for k in (0, 1))
    plain = torch.stack((t1, t2), 1)
    features = [t1, t2, t1 * t1, t1 * t2, t2 * t2]
    features += [blurred(plain, deviation)[:, k] for deviation in NEAR for k in (0, 1)]
    expected = torch.stack([*features, torch.ones_like(t1)], -1).double() @ earlier
    found = restorer.estimate(slices()).movedim(1, -1).double()
    torch.testing.assert_close(found, expected.clamp(0, 1), atol=1e-6, rtol=0)
