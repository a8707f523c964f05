"""Examination of a visit's scans: brain, registration of contrasts, and warnings."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.trainers.cohorts.geometry import displacement
from trainers.cohorts.preprocessing import examination, registration
from trainers.cohorts.preprocessing.examination import Examination, dilate, examine, image_of
from trainers.cohorts.preprocessing.nifti import Scan, read
from trainers.data.arrays import Array
from trainers.errors import InputError


def scan(path: Path, values: Array, affine: Array) -> Scan:
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)
    return read(path)


Pair = dict[str, tuple[Array, Array]]
Scans = dict[str, Scan]


@pytest.fixture(scope="module")
def pair(clinic: Any) -> Pair:
    """T1 and T2 of one volunteer at 64 mT: brains alone, on one grid."""
    return {contrast: clinic.volumes["b", "64mT", contrast] for contrast in ("T1", "T2")}


@pytest.fixture
def scans(pair: Pair, tmp_path: Path) -> Scans:
    return {contrast: scan(tmp_path / f"{contrast}.nii", *pair[contrast]) for contrast in pair}


def test_brains_on_one_grid_count_as_registered(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(registration, "register")
    found = examine(scans, "auto")
    for contrast in ("T1", "T2"):
        np.testing.assert_array_equal(found.to_scan[contrast], np.eye(4))
        np.testing.assert_array_equal(found.volumes[contrast], scans[contrast].values)
    assert found.stripped.method == "given" and (found.mask >= (scans["T1"].values != 0)).all()
    assert found.warnings == []


def test_a_displaced_t2_and_one_with_a_distant_header_are_registered_to_t1(
    pair: Pair, scans: Scans, tmp_path: Path
) -> None:
    move = displacement((4, 2, -5), (3, -5, 4))
    values, affine = pair["T2"]
    turned = scan(tmp_path / "turned.nii", values, move @ affine)
    found = examine({"T1": scans["T1"], "T2": turned}, "auto")
    voxels = np.argwhere(found.mask)[::20]
    points = np.c_[voxels, np.ones(len(voxels))] @ affine.T
    error = np.linalg.norm(points @ (found.to_scan["T2"] - move).T, axis=1).mean()
    assert error < 0.7  # voxels 3.2 x 3.2 x 10 mm
    inside = found.mask & (values > 0)
    assert np.corrcoef(found.volumes["T2"][inside], values[inside])[0, 1] > 0.93
    assert found.facts()["similarity_t2_t1"] > 0.9 * examine(scans, "auto").facts()["similarity_t2_t1"]
    # T2 is 60 mm away by its header; the brains are still aligned.
    values, affine = pair["T2"]
    far = np.eye(4)
    far[:3, 3] = (60, -20, 10)
    found = examine({"T1": scans["T1"], "T2": scan(tmp_path / "far.nii", values, far @ affine)}, "auto")
    np.testing.assert_allclose(found.to_scan["T2"], far, atol=1)


def test_one_contrast_and_any_orientation_are_examined_and_facts_are_json(
    scans: Scans, tmp_path: Path
) -> None:
    found = examine({"T2": scans["T2"]}, "auto")
    assert list(found.volumes) == ["T2"] and "similarity_t2_t1" not in found.facts()
    assert found.first.affine.tolist() == scans["T2"].ras_affine.tolist()
    flipped = scan(tmp_path / "l.nii", scans["T1"].values[::-1], scans["T1"].affine @ np.diag([-1, 1, 1, 1]))
    np.testing.assert_array_equal(image_of(flipped).values, scans["T1"].values)
    assert isinstance(examine({"T1": flipped}, "auto"), Examination)
    facts = examine(scans, "auto").facts()
    assert json.loads(json.dumps(facts)) == facts
    inside = scans["T1"].values > 0
    expected = registration.mutual_information(*(s.values[inside] for s in scans.values()))
    assert facts["similarity_t2_t1"] == pytest.approx(expected, abs=0.02)
    assert {"brain_mask", "brain_ml", "warnings", "to_scan"} <= set(facts)


def test_a_given_mask_is_the_brain_and_swapped_contrasts_raise_warnings(scans: Scans, tmp_path: Path) -> None:
    brain = scans["T1"].values > 0
    brain[:30] = False
    mask = scan(tmp_path / "mask.nii", brain, scans["T1"].affine)
    found = examine(scans, "auto", mask)
    np.testing.assert_array_equal(found.mask, brain)
    assert found.facts()["brain_ml"] == pytest.approx(brain.sum() * 3.2 * 3.2 * 10 / 1000, abs=0.1)
    first, second = examine({"T1": scans["T2"], "T2": scans["T1"]}, "auto").warnings
    assert first.startswith("T1: said to be T1w but looks like T2")
    assert second.startswith("T2: said to be T2w")
    coronal = scan(tmp_path / "cor.nii", scans["T2"].values[:, :40], np.diag([3.2, 10, 3.2, 1]))
    both = {"T1": scans["T1"], "T2": coronal}
    lines = Examination(both, found.stripped, dict.fromkeys(both, np.eye(4))).warnings
    assert any(line.startswith("T2: slices that are not axial: voxels of 3.2 x 10") for line in lines)
    little = np.zeros(scans["T1"].values.shape)
    little[25:35, 30:40, 8:12] = 1
    mask = scan(tmp_path / "mask.nii", little, scans["T1"].affine)
    assert any("no brain found" in line for line in examine(scans, "given", mask).warnings)


def test_a_mask_of_another_grid_and_an_empty_one_are_errors(scans: Scans, tmp_path: Path) -> None:
    shifted = scans["T1"].affine.copy()
    shifted[0, 3] += 1
    for name, values, affine in (
        ("cut.nii", scans["T1"].values[1:] > 0, scans["T1"].affine),
        ("shifted.nii", scans["T1"].values > 0, shifted),
    ):
        mask = scan(tmp_path / name, values, affine)
        with pytest.raises(InputError) as caught:
            examine(scans, "auto", mask)
        message = f"its grid differs from that of {tmp_path / 'T1.nii'}; allowed: the scan's own"
        assert str(caught.value) == f"{tmp_path / name}: {message}"
    faint = scan(tmp_path / "mask.nii", 0.4 * (scans["T1"].values > 0), scans["T1"].affine)
    with pytest.raises(InputError, match=r"T1\.nii: no brain was found in it"):
        examine(scans, "auto", faint)


def test_errors_name_the_file_of_a_scan_without_the_brain_a_sheared_one_and_a_missing_tool(
    scans: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = scans["T2"].affine.copy()
    far[0, 3] += 500
    distant = scan(tmp_path / "far.nii", scans["T2"].values, far)
    message = r"far\.nii: has no contrast inside the brain; allowed: a scan of that"
    with monkeypatch.context() as patch, pytest.raises(InputError, match=message):
        patch.setattr(examination, "_align", lambda *_: np.eye(4))
        examine({"T1": scans["T1"], "T2": distant}, "auto")
    sheared = scans["T2"].affine.copy()
    sheared[0, 1] += 1
    other = scan(tmp_path / "sheared.nii", scans["T2"].values, sheared)
    message = r"sheared\.nii: its affine is sheared; allowed: axes at right angles"
    with pytest.raises(InputError, match=message):
        examine({"T1": scans["T1"], "T2": other}, "auto")
    with pytest.raises(InputError, match=r"T1\.nii: .*hd-bet"):
        examine(scans, "hd-bet")


@pytest.mark.parametrize("margin", [0.0, 4.0, 9.0])
def test_dilation_is_all_within_the_margin(margin: float) -> None:
    mask, spacing = np.zeros((21, 23, 9), bool), np.array([1.6, 1.6, 5.0])
    mask[10, 11, 4] = mask[2, 3, 0] = True
    positions = np.moveaxis(np.indices(mask.shape), 0, -1) * spacing
    distance = np.min([np.linalg.norm(positions - at * spacing, axis=-1) for at in np.argwhere(mask)], axis=0)
    np.testing.assert_array_equal(dilate(mask, spacing, margin), distance <= margin + 1e-9)
