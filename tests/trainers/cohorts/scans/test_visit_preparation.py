"""One visit from files to slices: excluded when it fails, skipped when it is published."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from trainers import weights
from trainers.cohorts.preprocessing import registration
from trainers.cohorts.preprocessing.examination import examine, read
from trainers.cohorts.preprocessing.frame import Frame
from trainers.cohorts.preprocessing.registration import Image, resample
from trainers.cohorts.preprocessing.slicing import box
from trainers.cohorts.scans import visit_preparation
from trainers.cohorts.scans.visit_preparation import (
    VisitResult,
    VisitSettings,
    VisitTask,
    content_settings,
    onto_frame,
    prepare_visit,
)
from trainers.cohorts.scans.visits import Visit
from trainers.data.grid import GRIDS


def visit(clinic: Any, person: str, field: str, session: str = "") -> Visit:
    files = clinic.root.rglob(f"sub-{person}_*acq-{field}_T?w.nii.gz")
    t1, t2 = sorted(path for path in files if session in path.name)
    return Visit(f"sub-{person}", session, field, t1, t2)


Prepare = Callable[..., VisitResult]


@pytest.fixture
def settings(tmp_path: Path) -> VisitSettings:
    return VisitSettings(tmp_path / "visits", "2mm", "auto")


@pytest.fixture
def low(clinic: Any) -> Visit:
    return visit(clinic, "b", "64mT")


@pytest.fixture
def prepare(settings: VisitSettings) -> Prepare:
    """Prepare a visit by ``settings`` with changes."""

    def call(visit: Visit, target: Path | None = None, **changes: Any) -> VisitResult:
        return prepare_visit(replace(settings, **changes), VisitTask(visit, target))

    return call


@pytest.fixture
def folder(low: Visit, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared 64 mT visit; new registrations are the identity."""
    monkeypatch.setattr(registration, "register", lambda *_, **__: np.eye(4))
    published = prepare(low).folder
    assert published is not None
    return published


def test_a_visit_is_published_completely(folder: Path, clinic: Any, settings: VisitSettings) -> None:
    facts = weights.verify(folder)
    assert folder.name == f"sub-b_64mT-{facts['key'][:8]}" and folder.parent == settings.folder
    slices, native = (weights.read_tensors(folder, name) for name in ("slices", "native"))
    frame = Frame.read(facts["frame"])
    shape = (frame.box[2][1] - frame.box[2][0], 112, 96)
    assert {name: tuple(t.shape) for name, t in slices.items()} == dict.fromkeys(("T1", "T2", "mask"), shape)
    values, affine = clinic.volumes["b", "64mT", "T1"]
    np.testing.assert_allclose(native["T1"].numpy(), values, atol=1e-6)
    np.testing.assert_allclose(frame.affine, affine, atol=1e-5)
    assert facts["settings"] == list(content_settings(settings)) and facts["peak_gib"] < 4


def test_a_published_visit_is_skipped_and_an_incomplete_one_prepared_again(
    folder: Path, low: Visit, prepare: Prepare, examined: list[str]
) -> None:
    assert prepare(low).folder == folder and examined == []
    other = prepare(low, size="1mm").folder
    assert other not in (None, folder) and len(examined) == 1
    assert prepare(low, size="1mm").folder == other and len(examined) == 1
    (folder / weights.MANIFEST).unlink()
    assert prepare(low).folder == folder and len(examined) == 2
    weights.verify(folder)


def test_each_input_and_setting_has_its_own_folder(
    folder: Path, low: Visit, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """T1 and T2 swapped, a mask, another method, recipe or version: all in different folders."""
    brain = nib.load(low.t1)
    nib.save(nib.Nifti1Image((brain.get_fdata() > 0).astype(np.uint8), brain.affine), tmp_path / "mask.nii")
    variants = [
        prepare(replace(low, t1=low.t2, t2=low.t1)),
        prepare(replace(low, mask=tmp_path / "mask.nii")),
        prepare(low, brain_mask="given"),
    ]
    monkeypatch.setattr(visit_preparation, "RECIPE", "another")
    variants.append(prepare(low))
    monkeypatch.setattr(visit_preparation.importlib.metadata, "version", lambda name: f"99 of {name}")
    variants.append(prepare(low))
    assert all(not result.reason for result in variants)
    assert len({folder, *(result.folder for result in variants)}) == 1 + len(variants)


def test_a_3_t_visit_has_a_folder_for_each_target(
    folder: Path, clinic: Any, settings: VisitSettings, prepare: Prepare
) -> None:
    high, second = visit(clinic, "hh1", "3T"), prepare(visit(clinic, "a", "64mT", "ses-1")).folder
    folders = {prepare(high, target).folder for target in (folder, second)}
    assert len(folders) == 2 and None not in folders
    for each in folders:
        target = settings.folder / weights.verify(each)["target"]
        assert target in (folder, second)
        assert len({len(weights.read_tensors(f, "slices")["mask"]) for f in (each, target)}) == 1


@pytest.mark.parametrize(
    "missing, message", [(("t1",), "no T1 scan"), (("t2",), "no T2"), (("t1", "t2"), "no T1 and no T2")]
)
def test_a_visit_without_a_contrast_is_excluded(
    missing: tuple[str, ...], message: str, low: Visit, prepare: Prepare, settings: VisitSettings
) -> None:
    result = prepare(replace(low, **dict.fromkeys(missing)))
    assert result.folder is None and result.reason.startswith("sub-b_64mT: has") and message in result.reason
    assert not settings.folder.exists()


def test_an_unreadable_scan_a_missing_one_and_a_brain_larger_than_the_grid_are_excluded(
    low: Visit, prepare: Prepare, tmp_path: Path
) -> None:
    bad, wide = tmp_path / "bad.nii.gz", {}
    bad.write_bytes(low.scans["T1"].read_bytes()[:5000])
    result = prepare(replace(low, t1=bad))
    assert result.folder is None and result.reason.startswith(f"{bad}: not a readable NIfTI scan")
    result = prepare(replace(low, t2=tmp_path / "none.nii.gz"))
    absent = f"{tmp_path / 'none.nii.gz'}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"
    assert result.folder is None and result.reason == absent
    (tmp_path / "annex.nii").symlink_to("../.git/annex/objects/x.nii")
    for path in (tmp_path / "annex.nii", tmp_path / "lfs.nii"):
        path.is_symlink() or path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        assert "to a scan that is not here; allowed: the scan, by " in prepare(replace(low, t1=path)).reason
    for contrast, path in low.scans.items():
        image = nib.load(path)
        values = np.repeat(image.get_fdata(dtype=np.float32), 2, axis=0)
        wide[contrast.lower()] = tmp_path / f"{contrast}.nii"
        nib.save(nib.Nifti1Image(values, image.affine), wide[contrast.lower()])
    result = prepare(replace(low, **wide), brain_mask="given")
    assert result.folder is None and "mm in plane; allowed: at most 224 x 192" in result.reason


def test_a_bug_keeps_its_traceback_and_the_other_visits_are_prepared(
    clinic: Any, low: Visit, prepare: Prepare, settings: VisitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(examination: Any, *_: Any) -> Any:
        if "sub-b" in str(examination.scans["T1"].path):
            raise ZeroDivisionError("of nothing")
        return original(examination, *_)

    original = visit_preparation._in_own_space
    monkeypatch.setattr(visit_preparation, "_in_own_space", broken)
    first, second = prepare(low), prepare(visit(clinic, "a", "64mT", "ses-1"))
    log = settings.folder / "sub-b_64mT.traceback.txt"
    assert first.folder is None and first.reason == f"ZeroDivisionError: of nothing (see {log})"
    assert "in broken" in log.read_text() and "Traceback" in log.read_text()
    assert second.folder is not None and not second.reason
    assert sorted(path.name for path in settings.folder.iterdir()) == [second.folder.name, log.name]


def test_a_damaged_target_excludes_its_visit(folder: Path, clinic: Any, prepare: Prepare) -> None:
    content = bytearray((folder / "native.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "native.safetensors").write_bytes(content)
    high = visit(clinic, "hh1", "3T")
    result = prepare(high, folder)
    assert result.folder is None and f"{folder / 'native.safetensors'}: missing or damaged" in result.reason
    shutil.rmtree(folder)
    assert "manifest" in prepare(high, folder).reason


def test_slices_on_a_frame_are_the_scans_own_without_a_displacement(clinic: Any) -> None:
    """3 T voxels of 2 mm on pixels of 2 mm: with an even number along each axis the grids coincide."""
    found = examine(read(visit(clinic, "hh1", "3T").scans), "auto")
    even = np.zeros_like(found.mask)
    spans = [(cut.start, cut.stop - (cut.stop - cut.start) % 2) for cut in box(found.mask)[:2]]
    even[tuple(slice(*span) for span in spans)] = True
    frame = Frame.of(found.mask & even, found.first.affine, GRIDS["2mm"])
    slices = onto_frame(found, frame, np.eye(4))
    own, mask = frame.slices(found.volumes["T2"], found.mask)
    np.testing.assert_array_equal(slices["mask"] & mask, mask)
    np.testing.assert_allclose(slices["T2"][mask], own[mask], atol=2e-3)
    assert (slices["T2"][slices["mask"] == 0] == -1).all()


def test_neither_skull_nor_air_is_mixed_into_the_rim() -> None:
    """Brain 1, skull 9, air 0: after a shift of half a voxel the brain is still 1."""
    values = np.full((20, 20, 8), 9.0, np.float32)
    brain = np.zeros(values.shape, bool)
    brain[5:15, 5:15, 2:6] = True
    values[brain] = 1
    alone = visit_preparation._brain_alone(Image(values, np.eye(4)), Image(brain, np.eye(4)), np.eye(4))
    half = np.eye(4)
    half[:3, 3] = 0.4
    like = Image(np.empty(values.shape), np.eye(4))
    inside = resample(Image(brain, np.eye(4)), like, half, order=1) > 0.5
    assert inside.any()
    np.testing.assert_allclose(resample(alone, like, half)[inside], 1, atol=1e-3)


@pytest.mark.parametrize("spacing, wide", [(2.0, 2.0), (1.0, 3.0)])
def test_a_scan_is_smoothed_for_coarser_pixels(spacing: float, wide: float) -> None:
    """A point becomes as wide as the pixels (full widths at half maximum add in squares)."""
    values = np.zeros((31, 31, 5), np.float32)
    values[15, 15, 2] = 1
    scan = Image(values, np.diag([spacing, spacing, 5, 1]))
    found = visit_preparation._band_limited(scan, wide).values
    assert found.sum() == pytest.approx(1, abs=1e-3)
    assert np.isclose(found[:, :, [0, 1, 3, 4]], 0).all()
    along = found[:, :, 2].sum(1)
    variance = (along * (np.arange(31) - 15) ** 2).sum() * spacing**2
    assert variance * 8 * np.log(2) == pytest.approx(wide**2 - spacing**2, rel=0.05, abs=1e-6)
