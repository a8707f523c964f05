"""Several views of a contrast through a translator: fused, described, or refused with the reason."""

import json
from pathlib import Path
from platform import translate
from platform.translation import scan_inputs
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.validator import validated
from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.cohorts.scans.filters import Filters
from trainers.data.arrays import Array
from trainers.data.views import NORMAL
from trainers.errors import InputError

LABELS = {"axial": "AXI", "coronal": "COR", "sagittal": "SAG"}
THICK = 3
"""Planes of 2 mm in a slice."""


@pytest.fixture(scope="module")
def volume() -> tuple[Array, Array]:
    """A brain-extracted T1 of 2 mm."""
    return native_volumes(PhantomConfig(train=1, val=1, test=1, anatomy="first"), "test-0000")["3T", "T1"]


@pytest.fixture(scope="module")
def scans(volume: tuple[Array, Array], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its mean over every three planes along each axis, as a BIDS data set."""
    values, affine = volume
    folder = tmp_path_factory.mktemp("bids") / "sub-01/anat"
    folder.mkdir(parents=True)
    found = {}
    for view, axis in NORMAL.items():
        planes = np.moveaxis(values, axis, 0)
        planes = planes[: len(planes) // THICK * THICK]
        thick = np.moveaxis(planes.reshape(-1, THICK, *planes.shape[1:]).mean(1), 0, axis)
        matrix = affine.copy()
        matrix[:3, 3] += matrix[:3, axis] * (THICK - 1) / 2
        matrix[:3, axis] *= THICK
        found[view] = folder / f"sub-01_acq-{LABELS[view]}_T1w.nii.gz"
        nib.save(nib.Nifti1Image(thick.astype(np.float32), matrix), found[view])
        found[view].with_name(f"sub-01_acq-{LABELS[view]}_T1w.json").write_text(
            '{"MagneticFieldStrength": 0.064}'
        )
    return found


def named(scans: dict[str, Path], *views: str) -> list[str]:
    return [word for view in views for word in ("--t1", str(scans[view]))]


def test_three_views_are_fused_and_described(
    scans: dict[str, Path],
    volume: tuple[Array, Array],
    translator: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(translator("cut", channels="t1"))
    translate.main([model, "-o", str(tmp_path), *named(scans, "sagittal", "axial", "coronal")])
    assert ", 3 views, which disagree by 0." in capsys.readouterr().out
    anat = tmp_path / "sub-01/anat"
    names = {path.name for path in anat.iterdir()}
    ends = [f"sub-01_desc-{kind}_T1w" for kind in ("enhanced", "disagreement")]
    assert names == {f"{name}.{ending}" for name in ends for ending in ("nii.gz", "json")}
    made, spread = (nib.load(anat / f"{name}.nii.gz") for name in ends)
    np.testing.assert_allclose(made.header.get_zooms(), 2)
    np.testing.assert_array_equal(made.affine, spread.affine)
    brain = np.linalg.inv(made.affine) @ volume[1] @ [*np.argwhere(volume[0] > 0).mean(0), 1]
    np.testing.assert_allclose(brain[:3], np.argwhere(made.get_fdata() > 0).mean(0), atol=1)
    assert 0 < spread.get_fdata().max() < 1 and made.get_fdata().max() <= 1
    facts = json.loads((anat / f"{ends[0]}.json").read_text())
    assert len(facts["Sources"]) == 3 and facts["plane"] == "axial"
    assert list(facts["views"]) == list(NORMAL)
    assert sum(each["weight"] for each in facts["views"].values()) == pytest.approx(1)
    for matrix in facts["preprocessing"]["to_view"]["T1"].values():  # the subject has not moved
        np.testing.assert_allclose(matrix, np.eye(4), atol=0.3)
    assert validated(tmp_path) == []


def test_a_given_mask_is_the_brain_of_every_view(
    scans: dict[str, Path], translator: Any, tmp_path: Path
) -> None:
    axial = nib.load(scans["axial"])
    half = axial.get_fdata() > 0
    half[: len(half) // 2] = False
    nib.save(nib.Nifti1Image(half.astype(np.uint8), axial.affine), tmp_path / "mask.nii")
    words = [*named(scans, "axial", "coronal"), "--mask", str(tmp_path / "mask.nii")]
    translate.main([str(translator("cut", channels="t1")), "-o", str(tmp_path / "out"), *words])
    (path,) = (tmp_path / "out").rglob("*_desc-enhanced_T1w.nii.gz")
    made = nib.load(path)
    found = np.argwhere(made.get_fdata() > 0) @ made.affine[:3, :3].T + made.affine[:3, 3]
    places = np.argwhere(half) @ axial.affine[:3, :3].T + axial.affine[:3, 3]
    assert (
        len(found)
        and found[:, 0].min() > places[:, 0].min() - 4
        and found[:, 0].max() < places[:, 0].max() + 4
    )


def test_views_of_a_bids_folder_are_fused_where_it_is_asked_for(
    scans: dict[str, Path], tmp_path: Path
) -> None:
    root = scans["axial"].parents[2]
    (one,), selection = scan_inputs.from_bids(root, tmp_path, Filters.of())
    assert not one.views and one.paths["T1"] == scans["axial"]
    assert [each.kind for each in selection.left] == ["another view", "another view"]
    (job,), selection = scan_inputs.from_bids(root, tmp_path, Filters.of(), all_views=True)
    assert {each.path for each in job.views["T1"]} == set(scans.values()) and not selection.left
    assert job.prefixes == {"T1": "sub-01"}
    origins = sorted(each.origin for each in job.views["T1"])
    assert origins[0] == "bids:raw:sub-01/anat/sub-01_acq-AXI_T1w.nii.gz"


def test_views_that_cannot_be_fused_are_one_line(
    scans: dict[str, Path], translator: Any, tmp_path: Path
) -> None:
    model = str(translator("cut", channels="t1"))
    both = f"{scans['axial']} and {scans['axial']} are axial views of one contrast; allowed: one of each"
    with pytest.raises(InputError, match=both):
        translate.main([model, "-o", str(tmp_path / "out"), *named(scans, "axial", "axial")])
    thin = tmp_path / "thin.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((20, 20, 20)), np.eye(4)), thin)
    with pytest.raises(InputError, match=r"thin\.nii\.gz: has voxels of 1 x 1 x 1 mm, which are of no plane"):
        words = [*named(scans, "axial"), "--t1", str(thin), "--field-strength", "0.064"]
        translate.main([model, "-o", str(tmp_path / "out"), *words])
    words = [*named(scans, "axial", "coronal"), "--uncertainty", "2"]
    with pytest.raises(InputError, match="--uncertainty: is not of several views"):
        translate.main([model, "-o", str(tmp_path / "out"), *words])
    pair = str(translator("cut"))
    words = [*named(scans, "axial", "coronal"), "--t2", str(scans["axial"])]
    with pytest.raises(InputError, match="T1 has axial, coronal and T2 has axial views; allowed: the same"):
        translate.main([pair, "-o", str(tmp_path / "out"), *words])
