"""Whether a result is like its reference, and what a confirmation says of its model."""

from pathlib import Path
from platform.translation.fidelity import aligned, compare, less_alike, worse_than_input
from platform.translation.fidelity import reference as known_reference
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.cohorts.preprocessing import nifti, registration
from trainers.cohorts.preprocessing.examination import Examination
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import Stripped
from trainers.cohorts.preprocessing.slicing import normalise
from trainers.inference import Enhanced

Array = NDArray[Any]
CONFIG = PhantomConfig(train=3, val=2, test=2, anatomy="first")


def save(path: Path, values: Array, affine: Array) -> Path:
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def oriented(image: Any, code: str) -> Any:
    """The same points stored along other axes and from other ends."""
    axes = nib.orientations.axcodes2ornt(code)
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), axes))


SHAPE = (18, 20, 16)
GRID = np.diag([8.0, 8.0, 8.0, 1.0])
"""Voxels so large that an ellipsoid of a few thousand of them has a brain's volume."""


def brain(seed: int) -> Array:
    """Intensities in (100, 900), zero outside an ellipsoid."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    values = np.random.default_rng(seed).uniform(100, 900, SHAPE)
    return np.where((grid**2).sum(0) < 0.9, values, 0).astype(np.float32)


def unit(values: Array, mask: Array) -> Array:
    """p0.5..p99.5 inside the mask to [0, 1], clipped, 0 outside."""
    low, high = np.percentile(values[mask], [0.5, 99.5])
    return np.where(mask, np.clip((values - low) / (high - low), 0, 1), 0)


def decibel(x: Array, y: Array) -> float:
    return float(-10 * np.log10(np.mean((x - y) ** 2)))


def scan(values: Array, affine: Array = GRID) -> Scan:
    return Scan(Path("t1.nii"), values, affine, nib.io_orientation(affine))


def scores(volume: Array, inside: Array, reference: Path) -> dict[str, float]:
    """Of ``volume`` as the output for ``brain(0)`` with its brain ``inside``."""
    untouched = unit(brain(0), inside)
    enhanced = Enhanced({"T1": volume}, {}, {"T1": inside}, {"T1": untouched}, {})
    examination = Examination({"T1": scan(brain(0))}, Stripped(inside, "given", {}), {"T1": np.eye(4)})
    return compare(enhanced, "T1", known_reference(enhanced, "T1", examination, reference))


def test_psnr_is_of_output_and_untouched_input_against_the_normalised_reference(tmp_path: Path) -> None:
    reference, inside = brain(1), brain(0) != 0
    inside[:2] = False
    volume = np.where(inside, np.random.default_rng(2).uniform(0, 1, SHAPE), 0)
    truth = np.where(inside, unit(reference, reference != 0), 0)
    assert scores(volume, inside, save(tmp_path / "3T.nii.gz", reference, GRID)) == {
        "output": pytest.approx(decibel(volume, truth), abs=1e-3),
        "untouched input": pytest.approx(decibel(unit(brain(0), inside), truth), abs=1e-3),
    }


def test_the_psnr_of_a_perfect_output_is_high_on_any_scale_of_the_reference(tmp_path: Path) -> None:
    inside = brain(0) != 0
    truth = unit(brain(1), inside).astype(np.float32)
    for scale in (1.0, 1000.0):
        psnr = scores(truth, inside, save(tmp_path / "3T.nii.gz", brain(1) * scale, GRID))
        assert psnr["output"] > 100 and 0 < psnr["untouched input"] < 20


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "RPI", "ASR", "PIL", "SRA", "IPL"])
def test_a_reference_is_read_in_any_orientation(code: str, tmp_path: Path) -> None:
    nib.save(oriented(nib.Nifti1Image(brain(1), GRID), code), tmp_path / "3T.nii")
    placed = aligned(Image(brain(0), GRID), nifti.read(tmp_path / "3T.nii"))
    np.testing.assert_allclose(placed, unit(brain(1), brain(1) != 0), atol=1e-5)


def test_a_reference_is_interpolated_linearly_between_its_voxels(tmp_path: Path) -> None:
    moved = GRID.copy()
    moved[0, 3] = 2.0  # a quarter of a voxel to the right
    placed = aligned(Image(np.zeros(SHAPE), moved), nifti.read(save(tmp_path / "3T.nii", brain(1), GRID)))
    whole = unit(brain(1), brain(1) != 0)
    expected = 0.75 * whole[:-1] + 0.25 * whole[1:]
    np.testing.assert_allclose(placed[:-1], expected, atol=1e-5)


def test_beyond_the_reference_is_black(tmp_path: Path) -> None:
    far = GRID.copy()
    far[2, 3] = 1000.0
    reference = nifti.read(save(tmp_path / "3T.nii", brain(1), GRID))
    assert not aligned(Image(brain(0), far), reference).any()


def test_a_reference_with_its_skull_is_stripped_and_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brain's own 3 T scan, shifted; its brain mask is given in place of skull stripping."""
    volumes = native_volumes(CONFIG, "test-0000")
    scan, high = (Image(*volumes[field, "T1"]) for field in ("64mT", "3T"))
    brain, affine = high.values != 0, high.affine + np.pad(np.array([[6, -5, 4]]).T, ((0, 1), (3, 0)))
    path = save(tmp_path / "3T.nii.gz", np.where(brain, high.values, 0.01), affine)
    stripped = Stripped(brain, "template", {})
    monkeypatch.setattr("platform.translation.fidelity.skullstrip.strip", lambda image: stripped)
    unit = (normalise(high.values, brain) + 1) / 2
    expected, wrong = (
        registration.resample(Image(unit, a), scan, np.eye(4), order=1) for a in (high.affine, affine)
    )
    registered = aligned(scan, nifti.read(path))
    assert np.corrcoef(registered.ravel(), expected.ravel())[0, 1] > 0.98
    assert np.corrcoef(wrong.ravel(), expected.ravel())[0, 1] < 0.9


def confirmed(estimate: float, low: float | None, high: float | None, untouched: float | None) -> Any:
    return {"estimate": estimate, "low": low, "high": high, "input": untouched}


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        (
            "psnr",
            (18, 17.9, 18.2, 18.3),
            "PSNR (dB), 18.00 [17.90, 18.20], is below the 18.30",
        ),
        ("psnr", (18, 17.9, 18.4, 18.3), ""),
        ("psnr", (19, 18.5, 19.5, 18.3), ""),
        ("psnr", (18, None, None, 18.3), ""),
        ("psnr", (18, 17.9, 18.2, None), ""),
        ("fid", (3, 2.5, 3.5, 2.4), "FID, 3.000 [2.500, 3.500], is above the 2.400"),
        ("fid", (3, 2.5, 3.5, 2.6), ""),
    ],
)
def test_a_confirmed_interval_worse_than_the_input_is_a_line(name: str, values: Any, line: str) -> None:
    expected = [f"the model's confirmed {line} of untouched scans"] if line else []
    assert worse_than_input({name: confirmed(*values)}) == expected


def test_only_a_lower_psnr_is_less_alike() -> None:
    assert less_alike("T1", {"output": 20.0, "untouched input": 19.0}) == [] == less_alike("T1", {})
