"""Inputs of `translate`: files, BIDS folders, and DICOM series against their geometry in closed form."""

import json
from pathlib import Path
from platform.models import scan_inputs
from platform.models.scan_inputs import Job
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cohorts.preprocessing import nifti
from trainers.cohorts.scans.field_strength import Sidecars
from trainers.cohorts.scans.filters import Filters
from trainers.errors import InputError

Array = NDArray[Any]
ORIGIN, SPACING = np.array([-31.5, -42.25, 10.0]), (2.0, 1.5, 5.0)
AXIAL = np.eye(3)[:2]
OBLIQUE = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0]])


def pixels(seed: int = 0) -> Array:
    """Slices, rows, columns."""
    return np.random.default_rng(seed).integers(1, 1000, (14, 20, 16))


@pytest.mark.parametrize("axes", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_every_pixel_of_a_series_is_where_dicom_says(axes: Array, series: Any, tmp_path: Path) -> None:
    """DICOM PS3.3 C.7.6.2.1.1: P = origin + column * X + row * Y + slice * X x Y, in LPS."""
    volume = pixels()
    scan = nifti.read(
        scan_inputs.dicom(series(tmp_path / "series", volume, axes, ORIGIN, SPACING), tmp_path / "work")
    )
    k, row, column = (grid.ravel() for grid in np.indices(volume.shape))
    directions = np.stack([axes[0] * SPACING[1], axes[1] * SPACING[0], np.cross(*axes) * SPACING[2]])
    lps = ORIGIN + np.stack([column, row, k], 1) @ directions
    there = np.linalg.solve(scan.ras_affine, np.c_[lps * [-1, -1, 1], np.ones(len(lps))].T)[:3]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
    np.testing.assert_array_equal(scan.values[tuple(np.rint(there).astype(int))], volume.ravel())
    assert scan.values.size == volume.size


def test_outputs_of_a_series_take_the_name_of_its_folder(
    series: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    t1, t2 = series(tmp_path / "t1_series", pixels()), tmp_path / "t2.nii.gz"
    nib.save(nib.Nifti1Image(pixels().astype("int16"), np.eye(4)), t2)
    job = scan_inputs.from_files({"T1": t1, "T2": t2}, None, tmp_path / "out", tmp_path / "work")
    assert job.stems == {"T1": "t1_series", "T2": "t2"} and job.paths["T2"] == t2
    assert job.sources == {"T1": t1, "T2": t2}
    assert (job.output, job.mask) == (tmp_path / "out", None)
    monkeypatch.chdir(t1)
    here = scan_inputs.from_files({"T1": Path(".")}, None, tmp_path / "out", tmp_path / "again")
    assert here.stems == {"T1": "t1_series"}


@pytest.mark.parametrize("field", [0.064, 3.0])
def test_the_field_strength_of_a_series_is_kept(field: float, series: Any, tmp_path: Path) -> None:
    path = scan_inputs.dicom(series(tmp_path / "series", pixels(), field=field), tmp_path / "work")
    said = Sidecars.around(path).strength(path)
    assert said and said.tesla == pytest.approx(field)


def test_a_folder_with_another_number_of_series_is_one_line(series: Any, tmp_path: Path) -> None:
    for name in ("none", "garbage"):
        (tmp_path / name).mkdir()
    (tmp_path / "garbage/IM0001.dcm").write_bytes(b"this is no DICOM " * 100)
    (tmp_path / "garbage/notes.txt").write_text("nor this")
    series(series(tmp_path / "two", pixels()), pixels(1), number=2)
    reasons = {
        "none": "holds no DICOM series (",
        "garbage": "holds no DICOM series (",
        "two": "holds 2 DICOM series (1_scan, 2_scan); allowed: a folder with one",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError) as error:
            scan_inputs.dicom(tmp_path / name, tmp_path / f"work_{name}")
        assert str(error.value).startswith(f"{tmp_path / name}: {reason}") and "\n" not in str(error.value)


def test_a_conversion_that_takes_too_long_is_stopped(
    series: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_inputs, "TIMEOUT", 0.001)
    with pytest.raises(InputError, match=r"series: not converted within 0\.001 s; allowed: one DICOM series"):
        scan_inputs.dicom(series(tmp_path / "series", pixels()), tmp_path / "work")


def test_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    pair = {"T1": tmp_path / "a/scan.nii", "T2": tmp_path / "b/scan.nii.gz"}
    with pytest.raises(InputError) as error:
        scan_inputs.from_files(pair, None, tmp_path, tmp_path / "work")
    named = f"{tmp_path}/b/scan.nii.gz is named as --t1; allowed: another name, as outputs take theirs"
    assert str(error.value) == f"--t2: {named}"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_bids_folder_gives_its_low_field_visits_in_a_tree_like_it(tmp_path: Path) -> None:
    root, out = tmp_path / "bids", tmp_path / "out"
    touch(
        root,
        "sub-01/anat/sub-01_acq-64mT_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-64mT_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-3T_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-64mT_FLAIR.nii.gz",
        "sub-02/ses-01/anat/sub-02_ses-01_T1w.nii",
        "sub-02/ses-02/anat/sub-02_ses-02_T2w.nii",
        "sub-02/ses-02/anat/sub-02_ses-02_acq-mrsLocAx_run-1_T2w.nii",
        "sub-03/anat/sub-03_T1w.nii.gz",
        "sub-03/anat/sub-03_T2w.nii.gz",
        "derivatives/strip/sub-01/anat/sub-01_acq-64mT_desc-brain_mask.nii.gz",
    )
    for contrast in ("T1", "T2"):
        sidecar = root / f"sub-03/anat/sub-03_{contrast}w.json"
        sidecar.write_text(json.dumps({"MagneticFieldStrength": 3}))

    def job(place: str, mask: str | None = None, **names: str) -> Job:
        paths = {c: root / place / name for c, name in names.items()}
        stems = {c: name.removesuffix(".gz").removesuffix(".nii") for c, name in names.items()}
        return Job(paths, paths, stems, out / place, None if mask is None else root / mask)

    first = {c: f"sub-01_acq-64mT_{c}w.nii.gz" for c in ("T1", "T2")}
    mask = "derivatives/strip/sub-01/anat/sub-01_acq-64mT_desc-brain_mask.nii.gz"
    jobs, selection = scan_inputs.from_bids(root, out, Filters.of(), known_field=True)
    assert jobs == [
        job("sub-01/anat", mask, **first),
        job("sub-02/ses-01/anat", T1="sub-02_ses-01_T1w.nii"),
        job("sub-02/ses-02/anat", T2="sub-02_ses-02_T2w.nii"),
    ]
    assert [left.kind for left in selection.left] == ["a localizer"]
    known, *unknown = scan_inputs.from_bids(root, out, Filters.of())[0]
    assert known == jobs[0] and all("no strength in a sidecar" in each.problem for each in unknown)


def test_a_bids_folder_without_low_field_scans_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "bids/sub-01/anat/sub-01_acq-3T_T1w.nii.gz", "empty/README")
    line = r"--bids: .*bids holds no 64 mT scan; allowed: a folder with some"
    for name, expected in (("bids", line), ("empty", r"empty: holds no scan; allowed: ")):
        with pytest.raises(InputError, match=expected):
            scan_inputs.from_bids(tmp_path / name, tmp_path, Filters.of())
