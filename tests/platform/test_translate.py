"""Translating scans: masks and their errors, comparison by hand computation, resampling in closed form."""

from pathlib import Path
from platform.nifti import Scan
from platform.translate import brain_mask, compare, middle_slices, output_folder, resampled
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.errors import InputError

Array = NDArray[Any]
RAS = np.array([[0, 1], [1, 1], [2, 1]])


def scan(
    values: Array, affine: Array | None = None, name: str = "t1.nii.gz", orientation: Array = RAS
) -> Scan:
    return Scan(Path(name), values, np.eye(4) if affine is None else affine, orientation)


def brain(seed: int, shape: tuple[int, int, int] = (9, 10, 8)) -> Array:
    """Intensities in (100, 900), zero outside an ellipsoid."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    values = np.random.default_rng(seed).uniform(100, 900, shape)
    return np.where((grid**2).sum(0) < 0.9, values, 0).astype(np.float32)


def unit(values: Array, mask: Array) -> Array:
    """p0.5..p99.5 inside the mask to [0, 1], clipped, 0 outside."""
    low, high = np.percentile(values[mask], [0.5, 99.5])
    return np.where(mask, np.clip((values - low) / (high - low), 0, 1), 0)


def decibel(x: Array, y: Array) -> float:
    return float(-10 * np.log10(np.mean((x - y) ** 2)))


def test_the_mask_is_where_both_scans_hold_something() -> None:
    t1, t2 = brain(0), brain(1)
    t1[4, 5, 4] = t2[5, 5, 4] = 0
    mask = brain_mask({"T1": scan(t1), "T2": scan(t2)})
    assert mask.dtype == bool
    expected = brain(0) != 0
    expected[4, 5, 4] = expected[5, 5, 4] = False
    np.testing.assert_array_equal(mask, expected)


def test_another_grid_is_refused() -> None:
    moved = np.eye(4)
    moved[0, 3] = 0.5
    for other in (scan(brain(1), moved, "t2.nii"), scan(brain(1, (9, 10, 9)), name="t2.nii")):
        with pytest.raises(InputError) as told:
            brain_mask({"T1": scan(brain(0)), "T2": other})
        assert str(told.value) == (
            "t2.nii: its grid differs from that of t1.nii.gz; allowed: T2 registered and resampled to T1"
        )


def test_a_head_with_its_skull_is_refused() -> None:
    whole = brain(1) + 1
    whole[0, 0, :7] = 0  # 7 of 720 voxels
    with pytest.raises(InputError) as told:
        brain_mask({"T1": scan(brain(0)), "T2": scan(whole, name="t2.nii")})
    assert str(told.value).startswith("t2.nii: 1.0% of its voxels are 0; allowed: a brain-extracted scan")


def test_scans_without_common_brain_or_contrast_are_refused() -> None:
    left, right = brain(0), brain(1)
    left[4:], right[:4] = 0, 0
    with pytest.raises(InputError, match=r"has no contrast where t1\.nii\.gz and t2\.nii both hold brain"):
        brain_mask({"T1": scan(left), "T2": scan(right, name="t2.nii")})
    flat = np.where(brain(1) != 0, 7, 0).astype(np.float32)
    flat[0, 0, 0] = 3
    with pytest.raises(InputError, match=r"^t2\.nii: has no contrast"):
        brain_mask({"T1": scan(brain(0)), "T2": scan(flat, name="t2.nii")})


def test_psnr_is_of_output_and_untouched_input_against_the_normalised_reference() -> None:
    source, reference, volume = brain(0), brain(1), np.random.default_rng(2).uniform(0, 1, (9, 10, 8))
    mask = source != 0
    mask[:2] = False
    truth = np.where(mask, unit(reference, reference != 0), 0)
    scores = compare(volume, scan(source), scan(reference), mask)
    assert scores == {
        "output": pytest.approx(decibel(np.where(mask, volume, 0), truth), abs=1e-4),
        "untouched input": pytest.approx(decibel(unit(source, mask), truth), abs=1e-4),
    }


def test_a_perfect_output_is_infinitely_good_on_any_scale_of_the_reference() -> None:
    reference = brain(1)
    mask = reference != 0
    truth = unit(reference, mask).astype(np.float32)
    for scale in (1.0, 1000.0):
        scores = compare(truth, scan(brain(0)), scan(reference * np.float32(scale)), mask)
        assert scores["output"] > 100
        assert 0 < scores["untouched input"] < 20


def test_resampling_to_its_own_grid_changes_nothing() -> None:
    reference = brain(0)
    turned = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -3], [0, 0, 3.0, 1], [0, 0, 0, 1]])
    for affine in (np.eye(4), turned):
        orientation = nib.io_orientation(affine)
        one = scan(reference, affine, orientation=orientation)
        np.testing.assert_allclose(resampled(one, one), unit(reference, reference != 0), atol=1e-6)


def test_linear_intensities_are_resampled_exactly() -> None:
    """A ramp along x in mm, read at twice its resolution and shifted by a quarter of a millimetre."""
    ramp = np.broadcast_to(np.arange(1.0, 42.0)[:, None, None], (41, 6, 6)).astype(np.float32)
    fine = np.diag([0.5, 0.5, 0.5, 1.0])
    moved = np.eye(4)
    moved[:3, 3] = 0.25
    found = resampled(scan(ramp, fine), scan(np.zeros((15, 3, 3)), moved))
    low, high = np.percentile(ramp, [0.5, 99.5])
    x = np.arange(15) + 0.25
    expected = (1 + 2 * x - low) / (high - low)
    inside = slice(2, 13)
    np.testing.assert_allclose(
        found[inside, :2, :2], np.broadcast_to(expected[inside, None, None], (11, 2, 2)), atol=1e-6
    )


def test_a_flipped_reference_is_read_where_it_lies() -> None:
    """The same points stored from right to left, as RAS values with another affine of the file."""
    values = brain(0)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 8  # nine voxels: the file's last is at x = 0
    stored = scan(values, flipped, orientation=nib.io_orientation(flipped))
    np.testing.assert_allclose(resampled(stored, scan(brain(1))), unit(values, values != 0), atol=1e-6)


def test_beyond_the_reference_is_black() -> None:
    far = np.eye(4)
    far[2, 3] = 100.0
    assert not resampled(scan(brain(0)), scan(brain(1), far)).any()


def test_pictures_show_the_slice_with_most_brain_anterior_up() -> None:
    source, volume = brain(0), np.zeros((9, 10, 8), np.float32)
    mask = source != 0
    mask[:, :, [3, 4]] = False
    mask[2:6, 2:6, 3] = True  # now the sixth or third slice has most
    z = int(mask.sum((0, 1)).argmax())
    volume[1, 9, z] = 0.75  # left, most anterior
    shown = middle_slices("T1", scan(source), volume, mask)
    assert shown.keys() == {"T1 input", "T1 output"}
    assert shown["T1 output"].shape == (10, 9)
    assert np.argwhere(shown["T1 output"]).tolist() == [[0, 1]]
    np.testing.assert_allclose(shown["T1 input"], np.flipud(unit(source, mask)[:, :, z].T), atol=1e-6)


def test_outputs_of_one_name_and_folders_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    pair = {"T1": scan(brain(0), name="a/scan.nii"), "T2": scan(brain(1), name="b/scan.nii.gz")}
    with pytest.raises(InputError, match=r"--t2: b/scan\.nii\.gz is named as --t1; allowed: another name"):
        output_folder(tmp_path, pair)
    pair["T2"] = scan(brain(1), name="b/other.nii.gz")
    assert output_folder(tmp_path / "x" / "y", pair).is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--output: .*file cannot be made"):
        output_folder(tmp_path / "file", pair)
