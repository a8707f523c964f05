"""Degraded slices against the means, maps and noise that they are defined by."""

from typing import Any

import numpy as np
import pytest

from trainers.data.degrader import FIELD, Degradation, Degrader, blurred, grainy, mapped, receive_field
from trainers.data.planes import Planes, slice_profile

CLEAN = Degradation(
    width=3.0,
    blur=np.zeros(2),
    noise=np.zeros(2),
    grain=np.zeros(2),
    map=np.array([[0.6, -0.1], [-0.3, 0.8], [0.2, 0.1], [0.1, 0.05]]),
)


def planes_of(depth: int = 9, side: int = 16) -> Planes:
    """One subject with random planes and a background margin; its slices are planes 2, 4 and 8."""
    rng = np.random.default_rng(0)
    volumes = tuple(rng.uniform(-0.9, 0.9, (depth, side, side)).astype(np.float32) for _ in range(2))
    for volume in volumes:
        volume[:, :3] = -1
    return Planes((volumes,), np.array([[0, 2], [0, 4], [0, 8]]), 3.0)


def test_a_thick_slice_is_the_weighted_mean_of_its_planes() -> None:
    planes = planes_of()
    offsets, weights = slice_profile(3.0)
    assert offsets.tolist() == [-3, -2, -1, 0, 1, 2, 3] and weights.sum() == pytest.approx(1)
    # Half of the height at half of the width: Gaussian through (0, 1) and (1.5, 1/2).
    assert weights[3 + 3] / weights[3] == pytest.approx(0.5 ** (3 / 1.5) ** 2)
    thick = planes.thick(1, 3.0)
    t1, t2 = ((volume.astype(float) + 1) / 2 for volume in planes.volumes[0])
    inside = np.ones_like(t1)
    inside[:, :3] = 0
    for k, values in enumerate((t1, t2, inside)):
        expected = sum(w * values[4 + o] for o, w in zip(offsets, weights, strict=True))
        assert np.allclose(thick[k], expected, atol=1e-6)
    last = planes.thick(2, 3.0)  # three of its planes are above the volume
    assert np.allclose(last[2, 8], weights[:4].sum()) and np.allclose(planes.thick(0, 0.0)[0], t1[2])


def test_a_degraded_slice_has_the_maps_intensities_and_the_brain_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WIDTH", "BLUR", "NOISE", "GAIN", "OFFSET", "FIELD"):
        monkeypatch.setattr(f"trainers.data.degrader.{name}", 0.0)
    planes = planes_of()
    for row, others in ((0, [0, 1]), (1, [0, 2]), (2, [1, 2])):  # at an end there is none but itself
        out = Degrader(planes, CLEAN).degrade(row, np.random.default_rng(0))
        assert np.all(out[:, :, :3] == -1) and out.dtype == np.float32
        for image, own in zip(out, [row, *others], strict=True):
            t1, t2, share = planes.thick(own, 3.0)
            for k in (0, 1):
                a, b, c, d = CLEAN.map[:, k]
                expected = np.clip(a * t1 + b * t2 + c * share + d, 0, 1)
                assert np.allclose(image[k, 3:], 2 * expected[3:] - 1, atol=1e-6)
    outside = mapped(np.zeros((3, 2, 2)), CLEAN.map)
    assert np.allclose(outside, CLEAN.map[3][:, None, None])


def test_every_slice_draws_its_own_deviations_and_the_same_ones_from_the_same_generator() -> None:
    degrader = Degrader(planes_of(), CLEAN)
    first, again, other = (degrader.degrade(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_noise_has_its_deviation_and_the_correlation_of_a_gaussian() -> None:
    noise = grainy(np.random.default_rng(0), (2, 400, 400), np.array([0.1, 0.3]), np.array([0.0, 1.5]))
    assert noise.std((1, 2)) == pytest.approx([0.1, 0.3])
    neighbours = [np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] for image in noise]
    # White noise convolved with a Gaussian of deviation s is correlated as one of deviation sqrt(2) s.
    assert neighbours == pytest.approx([0, np.exp(-1 / (4 * 1.5**2))], abs=0.02)
    point = np.zeros((2, 41, 41))
    point[:, 20, 20] = 1
    spread = blurred(point, np.array([1.0, 2.0]))
    variance = (spread.sum(1) * (np.arange(41) - 20) ** 2).sum(1)
    assert variance == pytest.approx([1, 4], rel=0.02)


def test_planes_of_a_cohort_are_its_slices_where_it_keeps_no_others(tiny: Any) -> None:
    planes, split = Planes.of(tiny.cohort), tiny.cohort.split("train")
    assert planes.spacing == 0
    row = len(planes.places) - 1
    brain = split.mask("3T")[row] > 0
    for k, contrast in enumerate(("T1", "T2")):
        expected = (split.slices("3T", contrast)[row].astype(np.float32) + 1) / 2
        assert np.allclose(planes.thick(row, 0.0)[k][brain], expected[brain], atol=1e-6)


def test_a_degradation_is_saved_and_read_to_the_last_digit() -> None:
    read = Degradation.of(CLEAN.tensors())
    assert all(np.array_equal(value, getattr(read, name)) for name, value in vars(CLEAN).items())


def test_a_receive_field_is_smooth_and_its_logarithm_has_the_expected_variance() -> None:
    """Of the polynomial's terms: the sum of their squares at a corner, and in the middle, times FIELD^2."""
    rng = np.random.default_rng(0)
    fields = np.log(np.stack([receive_field(rng, (2, 33, 21)) for _ in range(2000)]))
    corner, middle = fields[:, :, 0, 0].std(), fields[:, :, 16, 10].std()
    assert corner == pytest.approx(FIELD * np.sqrt(3 + 2 * (2 / 3) ** 2), rel=0.05)
    assert middle == pytest.approx(FIELD * np.sqrt(2) / 3, rel=0.05)
    assert np.abs(np.diff(fields, 3, axis=2)).max() < 1e-9  # of second degree
