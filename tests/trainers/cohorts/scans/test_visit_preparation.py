"""One visit from files to slices: set aside when it fails, skipped when it was done."""

import shutil
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
    VisitSettings,
    VisitTask,
    content_settings,
    onto_frame,
    prepare_visit,
)
from trainers.cohorts.scans.visits import Visit
from trainers.data.grid import GRIDS


def visit(clinic: Any, person: str, field: str, session: str = "") -> Visit:
    found = [
        path for path in clinic.root.rglob(f"sub-{person}_*acq-{field}_T?w.nii.gz") if session in path.name
    ]
    t1, t2 = sorted(found)
    return Visit(f"sub-{person}", session, field, t1, t2)


@pytest.fixture
def settings(tmp_path: Path) -> VisitSettings:
    return VisitSettings(tmp_path / "visits", "2mm", "auto")


@pytest.fixture
def taken(clinic: Any, settings: VisitSettings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A 64 mT visit, prepared; 3 T ones are taken as they lie from now on."""
    monkeypatch.setattr(registration, "register", lambda *_, **__: np.eye(4))
    folder = prepare_visit(settings, VisitTask(visit(clinic, "b", "64mT"))).folder
    assert folder is not None
    return folder


def test_a_visit_is_published_whole(taken: Path, clinic: Any, settings: VisitSettings) -> None:
    facts = weights.verify(taken)
    assert taken.name == f"sub-b_64mT-{facts['key'][:8]}" and taken.parent == settings.folder
    slices = weights.read_tensors(taken, "slices")
    frame = Frame.read(facts["frame"])
    depth = frame.box[2][1] - frame.box[2][0]
    assert {name: tuple(t.shape) for name, t in slices.items()} == dict.fromkeys(
        ("T1", "T2", "mask"), (depth, 112, 96)
    )
    native = weights.read_tensors(taken, "native")
    values, affine = clinic.volumes["b", "64mT", "T1"]
    np.testing.assert_allclose(native["T1"].numpy(), values, atol=1e-6)
    np.testing.assert_allclose(frame.affine, affine, atol=1e-5)
    assert facts["content_settings"] == list(content_settings(settings)) and facts["peak_gib"] < 4


def test_it_is_skipped_where_it_was_done(
    taken: Path, clinic: Any, settings: VisitSettings, examined: list[str]
) -> None:
    order = VisitTask(visit(clinic, "b", "64mT"))
    assert prepare_visit(settings, order).folder == taken and examined == []
    other = prepare_visit(replace(settings, size="1mm"), order).folder
    assert other not in (None, taken) and len(examined) == 1
    assert prepare_visit(replace(settings, size="1mm"), order).folder == other and len(examined) == 1


def test_a_half_written_visit_is_done_again(
    taken: Path, clinic: Any, settings: VisitSettings, examined: list[str]
) -> None:
    (taken / weights.MANIFEST).unlink()
    assert (
        prepare_visit(settings, VisitTask(visit(clinic, "b", "64mT"))).folder == taken and len(examined) == 1
    )
    weights.verify(taken)


def test_each_input_and_setting_has_its_own_folder(
    taken: Path, clinic: Any, settings: VisitSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """T1 and T2 swapped, a mask, another method, recipe or version: none passes for another."""
    first = visit(clinic, "b", "64mT")
    brain = nib.load(first.t1)
    nib.save(nib.Nifti1Image((brain.get_fdata() > 0).astype(np.uint8), brain.affine), tmp_path / "mask.nii")
    variants = [
        prepare_visit(settings, VisitTask(replace(first, t1=first.t2, t2=first.t1))),
        prepare_visit(settings, VisitTask(replace(first, mask=tmp_path / "mask.nii"))),
        prepare_visit(replace(settings, brain_mask="given"), VisitTask(first)),
    ]
    monkeypatch.setattr(visit_preparation, "RECIPE", "another")
    variants.append(prepare_visit(settings, VisitTask(first)))
    monkeypatch.setattr(visit_preparation.importlib.metadata, "version", lambda name: f"99 of {name}")
    variants.append(prepare_visit(settings, VisitTask(first)))
    assert all(not found.reason for found in variants)
    assert len({taken, *(found.folder for found in variants)}) == 1 + len(variants)


def test_a_3_t_visit_is_another_on_another_target(taken: Path, clinic: Any, settings: VisitSettings) -> None:
    high = visit(clinic, "hh1", "3T")
    second = prepare_visit(settings, VisitTask(visit(clinic, "a", "64mT", "ses-1"))).folder
    folders = {prepare_visit(settings, VisitTask(high, target)).folder for target in (taken, second)}
    assert len(folders) == 2 and None not in folders
    for folder in folders:
        facts = weights.verify(folder)
        assert facts["target"] in (taken.name, second and second.name)
        depths = {
            len(weights.read_tensors(f, "slices")["mask"])
            for f in (folder, settings.folder / facts["target"])
        }
        assert len(depths) == 1


@pytest.mark.parametrize(
    "lacking, told", [(("t1",), "no T1 scan"), (("t2",), "no T2"), (("t1", "t2"), "no T1 and no T2")]
)
def test_a_visit_that_lacks_a_contrast_is_set_aside(
    lacking: tuple[str, ...], told: str, clinic: Any, settings: VisitSettings
) -> None:
    found = prepare_visit(settings, VisitTask(replace(visit(clinic, "b", "64mT"), **dict.fromkeys(lacking))))
    assert found.folder is None and found.reason.startswith("sub-b_64mT: has") and told in found.reason
    assert not settings.folder.exists()


def test_an_unreadable_scan_and_a_missing_one_are_set_aside(
    clinic: Any, settings: VisitSettings, tmp_path: Path
) -> None:
    good, bad = visit(clinic, "b", "64mT"), tmp_path / "bad.nii.gz"
    bad.write_bytes(good.t1.read_bytes()[:5000] if good.t1 else b"")
    found = prepare_visit(settings, VisitTask(replace(good, t1=bad)))
    assert found.folder is None and found.reason.startswith(f"{bad}: not a readable NIfTI scan")
    found = prepare_visit(settings, VisitTask(replace(good, t2=tmp_path / "none.nii.gz")))
    absent = f"{tmp_path / 'none.nii.gz'}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"
    assert found.folder is None and found.reason == absent


def test_a_bug_keeps_its_traceback_and_the_rest_goes_on(
    clinic: Any, settings: VisitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(examination: Any, *_: Any) -> Any:
        if "sub-b" in str(examination.scans["T1"].path):
            raise ZeroDivisionError("of nothing")
        return original(examination, *_)

    original = visit_preparation._in_own_space
    monkeypatch.setattr(visit_preparation, "_in_own_space", broken)
    orders = [VisitTask(visit(clinic, "b", "64mT")), VisitTask(visit(clinic, "a", "64mT", "ses-1"))]
    first, second = (prepare_visit(settings, order) for order in orders)
    log = settings.folder / "sub-b_64mT.traceback.txt"
    assert first.folder is None and first.reason == f"ZeroDivisionError: of nothing (see {log})"
    assert "in broken" in log.read_text() and "Traceback" in log.read_text()
    assert second.folder is not None and not second.reason
    assert sorted(path.name for path in settings.folder.iterdir()) == [second.folder.name, log.name]


def test_a_brain_that_does_not_fit_its_grid_is_set_aside(
    clinic: Any, settings: VisitSettings, tmp_path: Path
) -> None:
    low = visit(clinic, "b", "64mT")
    paths = {}
    for contrast, path in low.scans.items():
        image = nib.load(path)
        wide = np.repeat(image.get_fdata(dtype=np.float32), 2, axis=0)
        paths[contrast.lower()] = tmp_path / f"{contrast}.nii"
        nib.save(nib.Nifti1Image(wide, image.affine), paths[contrast.lower()])
    found = prepare_visit(replace(settings, brain_mask="given"), VisitTask(replace(low, **paths)))
    assert found.folder is None and "mm in plane; allowed: at most 224 x 192" in found.reason


def test_a_damaged_target_sets_its_visit_aside(taken: Path, clinic: Any, settings: VisitSettings) -> None:
    content = bytearray((taken / "native.safetensors").read_bytes())
    content[-1] ^= 1
    (taken / "native.safetensors").write_bytes(content)
    found = prepare_visit(settings, VisitTask(visit(clinic, "hh1", "3T"), taken))
    assert found.folder is None and f"{taken / 'native.safetensors'}: missing or damaged" in found.reason
    shutil.rmtree(taken)
    assert "manifest" in prepare_visit(settings, VisitTask(visit(clinic, "hh1", "3T"), taken)).reason


def test_slices_onto_a_frame_are_its_own_scan_where_nothing_moves(clinic: Any) -> None:
    """3 T voxels of 2 mm on pixels of 2 mm: with an even number along each axis one lies upon the other."""
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
    """Brain 1, skull 9, air 0: after a shift of half a voxel all that is called brain is still 1."""
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
def test_coarser_pixels_see_a_smoothed_scan(spacing: float, wide: float) -> None:
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
