"""PSNR against a paired 3 T scan by hand, references where they lie, pictures as they are seen."""

from pathlib import Path
from platform.translate import compare, laid_onto, planes, spread_of, square
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.preprocessing.examination import Examination
from trainers.cohorts.preprocessing.nifti import Scan
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import Stripped
from trainers.inference import Enhanced

Array = NDArray[Any]
SHAPE = (18, 20, 16)
GRID = np.diag([8.0, 8.0, 8.0, 1.0])
"""Voxels so large that an ellipsoid of a few thousand of them has a brain's volume."""
EVERY = np.ones(SHAPE, bool)


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


def stored(path: Path, values: Array, affine: Array = GRID) -> Path:
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)
    return path


def scan(values: Array, affine: Array = GRID) -> Scan:
    return Scan(Path("t1.nii"), values, affine, nib.io_orientation(affine))


def scores(volume: Array, inside: Array, reference: Path) -> dict[str, float]:
    """Of ``volume`` as the output for ``brain(0)`` with its brain ``inside``."""
    untouched = unit(brain(0), inside)
    enhanced = Enhanced({"T1": volume}, {}, {"T1": inside}, {"T1": untouched}, {})
    examination = Examination({"T1": scan(brain(0))}, Stripped(inside, "given", {}), {"T1": np.eye(4)})
    return compare(enhanced, "T1", examination, reference)


def test_psnr_is_of_output_and_untouched_input_against_the_normalised_reference(tmp_path: Path) -> None:
    reference, inside = brain(1), brain(0) != 0
    inside[:2] = False
    volume = np.where(inside, np.random.default_rng(2).uniform(0, 1, SHAPE), 0)
    truth = np.where(inside, unit(reference, reference != 0), 0)
    assert scores(volume, inside, stored(tmp_path / "3T.nii.gz", reference)) == {
        "output": pytest.approx(decibel(volume, truth), abs=1e-3),
        "untouched input": pytest.approx(decibel(unit(brain(0), inside), truth), abs=1e-3),
    }


def test_a_perfect_output_is_infinitely_good_on_any_scale_of_the_reference(tmp_path: Path) -> None:
    inside = brain(0) != 0
    truth = unit(brain(1), inside).astype(np.float32)
    for scale in (1.0, 1000.0):
        found = scores(truth, inside, stored(tmp_path / "3T.nii.gz", brain(1) * scale))
        assert found["output"] > 100 and 0 < found["untouched input"] < 20


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "RPI", "ASR", "PIL", "SRA", "IPL"])
def test_a_reference_is_read_where_it_lies(code: str, tmp_path: Path) -> None:
    """The same points stored along other axes and from other ends."""
    turn = nib.orientations.axcodes2ornt(code)
    image = nib.Nifti1Image(brain(1), GRID).as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(GRID), turn)
    )
    nib.save(image, tmp_path / "3T.nii")
    found = laid_onto(Image(brain(0), GRID), nifti.read(tmp_path / "3T.nii"))
    np.testing.assert_allclose(found, unit(brain(1), brain(1) != 0), atol=1e-5)


def test_a_reference_is_interpolated_linearly_between_its_voxels(tmp_path: Path) -> None:
    moved = GRID.copy()
    moved[0, 3] = 2.0  # a quarter of a voxel to the right
    found = laid_onto(Image(np.zeros(SHAPE), moved), nifti.read(stored(tmp_path / "3T.nii", brain(1))))
    whole = unit(brain(1), brain(1) != 0)
    expected = 0.75 * whole[:-1] + 0.25 * whole[1:]
    np.testing.assert_allclose(found[:-1], expected, atol=1e-5)


def test_beyond_the_reference_is_black(tmp_path: Path) -> None:
    far = GRID.copy()
    far[2, 3] = 1000.0
    assert not laid_onto(Image(brain(0), far), nifti.read(stored(tmp_path / "3T.nii", brain(1)))).any()


def test_planes_show_most_brain_anterior_and_superior_up() -> None:
    volume = np.zeros(SHAPE, np.float32)
    volume[2:6, 2:6, 3] = 0.5
    volume[1, 19, 3] = 0.75  # left, most anterior
    axial, coronal = square(volume, scan(volume), 2, 3), square(volume, scan(volume), 1, 2)
    assert axial.shape == (20, 18) and coronal.shape == (16, 18)
    assert np.argwhere(axial == 0.75).tolist() == [[0, 1]]
    assert np.flatnonzero(coronal.any(1)).tolist() == [16 - 1 - 3]
    brain_of_most = volume > 0.4
    enhanced = Enhanced({"T1": volume}, {}, {"T1": brain_of_most}, {"T1": volume / 2}, {})
    rows = planes("T1", scan(volume), enhanced)
    assert [list(row) for row in rows] == [["T1 input", "T1 output"]] * 2
    np.testing.assert_array_equal(rows[0]["T1 input"], axial / 2)
    np.testing.assert_array_equal(rows[1]["T1 output"], coronal)


@pytest.mark.parametrize(
    ("spacing", "axis", "shape"),
    [
        ((2, 2, 10), 2, (20, 18)),
        ((2, 2, 10), 1, (80, 18)),
        ((5, 1, 1), 2, (20, 90)),
        ((3, 2, 2), 1, (16, 36)),
    ],
)
def test_pixels_of_planes_are_about_square(spacing: Any, axis: int, shape: tuple[int, int]) -> None:
    volume = brain(0)
    assert square(volume, scan(volume, np.diag([*spacing, 1.0])), axis, 8).shape == shape


def test_spread_is_the_mean_inside_the_brain() -> None:
    inside, map_ = np.zeros(SHAPE, bool), np.full(SHAPE, 7.0)
    inside[:2], map_[0], map_[1] = True, 0.25, 0.75
    assert spread_of(Enhanced({}, {"T1": map_}, {"T1": inside}, {}, {}), "T1") == 0.5
    assert spread_of(Enhanced({}, {}, {"T1": inside}, {}, {}), "T1") == 0
