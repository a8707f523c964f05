import numpy as np
import pytest

from trainers.cohorts.simulation import physics
from trainers.cohorts.simulation.physics import Contrast, Field

# DATA.md A3: WM, GM, deep GM, CSF.
TABLE: list[tuple[Field, Contrast, tuple[float, ...]]] = [
    ("3T", "T1", (0.377, 0.249, 0.285, 0.040)),
    ("3T", "T2", (0.220, 0.312, 0.251, 0.699)),
    ("64mT", "T1", (0.336, 0.254, 0.291, 0.036)),
    ("64mT", "T2", (0.099, 0.139, 0.117, 0.367)),
]


def test_signals_are_those_of_the_table_by_hand_and_the_contrast_of_lesions() -> None:
    tissue = physics.Relaxation(pd=0.8, t1=1000, t2=100)
    spin_echo = physics.signal(tissue, physics.Sequence(tr=1000, te=100))
    assert spin_echo == pytest.approx(0.8 * (1 - 0.367879) * 0.367879, rel=1e-5)
    null = physics.Sequence(tr=1e9, te=0, ti=1000 * np.log(2))
    assert physics.signal(tissue, null) == pytest.approx(0, abs=1e-12)
    for field in physics.FIELDS:
        white, lesion = physics.RELAXATION[field][0], physics.RELAXATION[field][4]
        t1, t2 = physics.SEQUENCES[field, "T1"], physics.SEQUENCES[field, "T2"]
        assert physics.signal(lesion, t2) > 1.5 * physics.signal(white, t2)
        assert physics.signal(lesion, t1) < 0.9 * physics.signal(white, t1)
    for field, contrast, expected in TABLE:
        sequence = physics.SEQUENCES[field, contrast]
        signals = [physics.signal(tissue, sequence) for tissue in physics.RELAXATION[field][:4]]
        np.testing.assert_allclose(signals, expected, atol=5.5e-4)


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("cycles", [0, 3, 20, 30, 31, 45])
def test_kspace_crop_passes_each_frequency_with_its_gain(cycles: int, shift: float) -> None:
    n, spacing, n_out, spacing_out, apodisation = 98, 2.0, 62, 3.2, 0.3
    frequency, cutoff = cycles / (n * spacing), 0.5 / spacing_out
    matrix = physics.kspace_crop(n, spacing, n_out, spacing_out, shift, apodisation)
    wave = np.cos(2 * np.pi * frequency * physics.centres(n, spacing))
    gain = 1 - apodisation * np.sin(np.pi * frequency / (2 * cutoff)) ** 2 if frequency <= cutoff else 0.0
    positions = physics.centres(n_out, spacing_out) + shift
    np.testing.assert_allclose(matrix @ wave, gain * np.cos(2 * np.pi * frequency * positions), atol=1e-9)


def test_slab_profile_has_its_thickness_as_full_width_at_half_maximum() -> None:
    positions = np.arange(-40.0, 41.0)
    profile = physics.slab_profile(positions, np.array([0.0]), 1.0, 10.0)[0]
    assert profile.sum() == pytest.approx(1, abs=1e-6)
    assert profile[45] / profile[40] == pytest.approx(0.5, abs=1e-9)
    frequency, sigma = 0.04, 10 / 2.354820045
    attenuation = profile @ np.cos(2 * np.pi * frequency * positions)
    assert attenuation == pytest.approx(np.exp(-2 * (np.pi * sigma * frequency) ** 2), abs=1e-5)


def test_noise_bias_and_denoising_have_their_moments() -> None:
    rng, sigma = np.random.default_rng(0), 0.25
    background = physics.rician(np.zeros((80, 80, 40), np.float32), rng, sigma)
    assert background.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=5e-3)
    assert background.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=5e-3)
    bright = physics.rician(np.full((80, 80, 40), 4.0, np.float32), rng, sigma)
    assert (bright**2).mean() == pytest.approx(16 + 2 * sigma**2, rel=2e-3)
    assert bright.std() == pytest.approx(sigma, rel=1e-2)
    rng = np.random.default_rng(0)
    logs = [np.log(physics.bias_field(rng, (20, 24, 20), 12, 0.15)) for _ in range(300)]
    assert np.std(logs) == pytest.approx(0.15, rel=0.1)
    noise = np.random.default_rng(0).standard_normal((60, 60, 20)).astype(np.float32)
    quiet = physics.denoise_in_plane(noise)
    np.testing.assert_allclose(physics.denoise_in_plane(np.ones((9, 9, 2), np.float32)), 1, atol=1e-6)
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 0.5) ** 2)
    assert quiet.std() == pytest.approx(((weights / weights.sum()) ** 2).sum(), rel=0.02)
    along = (quiet[..., 1:] * quiet[..., :-1]).mean() / quiet.var()
    assert along == pytest.approx(0, abs=0.02)
