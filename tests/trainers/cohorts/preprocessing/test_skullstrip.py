"""Skull stripping on simulated heads whose brain is known, on real heads, and with fake tools."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from tests.trainers.cohorts.geometry import dice, displacement
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.scan_checks import check_scan, rim_to_core
from trainers.cohorts.preprocessing.skullstrip import (
    Stripped,
    edge_cut,
    head_template,
    is_extracted,
    refine,
    strip,
)
from trainers.cohorts.simulation import physics
from trainers.cohorts.simulation.physics import RELAXATION, Contrast, Field, Relaxation
from trainers.data.arrays import Array, separable
from trainers.errors import InputError

VOLUMES = Path(__file__).parents[5] / "shared" / "volumes"
# Tissues: air, WM, GM, deep GM, CSF, fat and marrow, muscle, bone, skin, eye, blood.
LABELS: dict[int, tuple[int, ...]] = {
    1: (2, 41, 7, 46, 16, 28, 60, 85, 508, 512),
    3: (10, 11, 12, 13, 26, 49, 50, 51, 52, 58, 136, 137, 163, 164),
    4: (4, 5, 14, 15, 24, 25, 30, 43, 44, 57, 62, 72),
    5: (516,),
    6: (507,),
    7: (515,),
    8: (509, 511),
    9: (506,),
    10: (502, 514),
}
OUTSIDE: dict[Field, tuple[Relaxation, ...]] = {
    field: tuple(Relaxation(*row) for row in zip((0.9, 0.75, 0.08, 0.8, 1.0, 0.8), t1, t2, strict=True))
    for field, t1, t2 in (
        ("3T", (380, 1400, 400, 1000, 3800, 1700), (70, 40, 5, 60, 600, 35)),
        ("64mT", (150, 200, 150, 250, 2800, 700), (80, 45, 5, 60, 600, 60)),
    )
}


@cache
def volume(name: str) -> Image:
    path = VOLUMES / f"{name}.nii.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: real volumes are no part of the product")
    loaded = nib.as_closest_canonical(nib.load(path))
    return Image(np.asarray(loaded.dataobj, np.float32), loaded.affine)


@cache
def anatomy() -> tuple[Array, Array, Array]:
    """Tissue index and exact brain (tissue, CSF and ventricles; no cord below the cerebellum) at 1 mm."""
    image = volume("labelmap_synthseg05")
    labels = image.values.astype(int)[40:221, 17:255, 16:251]
    affine = image.affine @ np.array([[1, 0, 0, 40], [0, 1, 0, 17], [0, 0, 1, 16], [0, 0, 0, 1]])
    table = np.zeros(531, np.uint8)
    table[1:500] = 2
    for tissue, members in LABELS.items():
        table[list(members)] = tissue
    tissues = table[labels]
    depth = distance_transform_edt(binary_fill_holes(labels > 0))
    tissues[(labels == 507) & (depth < 9)] = 5
    brain = (labels > 0) & (labels < 500)
    brain[:, :, : np.flatnonzero(np.isin(labels, (7, 8, 46, 47)).any((0, 1)))[0]] = False
    return tissues, binary_fill_holes(brain), affine


@cache
def simulated(field: Field, contrast: Contrast) -> tuple[Image, Array]:
    """A whole head and its exact brain: 1 mm at 3 T, 1.6 x 1.6 x 5 mm at 64 mT (DATA.md A3)."""
    tissues, brain, affine = anatomy()
    rng = np.random.default_rng(0)
    sequence, scanner = physics.SEQUENCES[field, contrast], physics.SCANNERS[field]
    rows = (Relaxation(0, 1000, 50), *RELAXATION[field][:4], *OUTSIDE[field])
    signals = np.array([physics.signal(row, sequence) for row in rows], np.float32)
    image = signals[tissues] * physics.bias_field(rng, tissues.shape, 55, 1.5 * scanner.bias)
    noise = float(signals[1]) / scanner.white_matter_snr[contrast]
    if field == "3T":
        return Image(physics.rician(image, rng, noise), affine), brain
    spacing, n = np.array([1.6, 1.6, 5.0]), np.array(tissues.shape)
    out = (n / spacing).astype(int)
    blur = (
        physics.kspace_crop(n[0], 1.0, out[0], 1.6),
        physics.kspace_crop(n[1], 1.0, out[1], 1.6),
        physics.slab_profile(physics.centres(n[2], 1.0), physics.centres(out[2], 5.0), 1.0, 5.0),
    )
    values = physics.denoise_in_plane(physics.rician(separable(image, blur), rng, noise))
    grid = affine @ np.diag([*spacing, 1.0])
    grid[:3, 3] = (affine @ [*(n - 1) / 2, 1])[:3] - grid[:3, :3] @ ((out - 1) / 2)
    return Image(values.astype(np.float32), grid), separable(brain.astype(np.float32), blur) > 0.5


@pytest.mark.parametrize(
    "field, contrast, least", [("3T", "T1", 0.94), ("64mT", "T1", 0.93), ("64mT", "T2", 0.95)]
)
def test_the_brain_of_a_simulated_head_is_found_in_any_pose(
    field: Field, contrast: Contrast, least: float
) -> None:
    scan, exact = simulated(field, contrast)
    found = strip(scan)
    assert found.method == "template" and found.facts["refined"]
    assert dice(found.mask, exact) >= least
    assert check_scan(scan, found, contrast) == []
    other: Contrast = "T2" if contrast == "T1" else "T1"
    assert [line for line in check_scan(scan, found, other) if f"looks like {contrast}" in line]
    if contrast == "T2":  # the same voxels elsewhere in the scanner
        turned = Image(scan.values, displacement((20, 15, -10), (40, -60, 90)) @ scan.affine)
        assert dice(strip(turned, "template").mask, exact) >= 0.95


def test_the_template_is_a_head_around_a_brain_and_gives_the_reference_mask() -> None:
    scan, reference = volume("pydeface_mean_head_template"), volume("pydeface_brainmask_derived")
    found = strip(scan)
    assert dice(found.mask, reference.values > 0.5) >= 0.95
    assert 1500 <= found.facts["brain_ml"] <= 2050
    head, brain = head_template()
    assert head.values.shape == brain.values.shape and head.spacing == pytest.approx(2)
    assert 1500 < (brain.values > 0.5).sum() * brain.voxel_ml < 1600


@pytest.mark.parametrize(
    "name, contrast",
    [("niivue_otsu_T1w_head", "T1"), ("niivue_register_T2w_head", "T2"), ("niivue_T1_head_1p6mm", "T1")],
)
def test_a_real_head_gives_a_plausible_brain(name: str, contrast: Contrast) -> None:
    scan = volume(name)
    found = strip(scan)
    assert found.method == "template" and 1500 <= found.facts["brain_ml"] <= 2050
    assert check_scan(scan, found, contrast) == []


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_an_extracted_brain_is_kept_and_a_cropped_head_is_none(contrast: Contrast) -> None:
    scan = volume(f"stroke_{contrast}w_brain")
    found = strip(scan)
    assert found.method == "given" and (found.mask >= (scan.values != 0)).all()
    assert check_scan(scan, found, contrast) == []
    assert check_scan(scan, found, "T2" if contrast == "T1" else "T1")
    head = volume("niivue_T1_head_1p6mm")  # cropped to the size of a brain
    assert not is_extracted(Image(head.values[:, :, 85:], head.affine))


def cube() -> Image:
    rng, grid = np.random.default_rng(0), np.abs(np.indices((60, 60, 60)) - 29.5).max(0)
    values = (grid < 22) + 0.02 * np.abs(rng.standard_normal(grid.shape))
    return Image(values.astype(np.float32), np.diag([3.2, 3.2, 3.2, 1]))


def test_a_cube_and_a_head_upside_down_look_wrong_and_two_runs_give_the_same_bits() -> None:
    scan = cube()
    first, second = strip(scan), strip(scan)
    assert "looks like neither" in check_scan(scan, first, "T1")[-1]
    assert (first.mask == second.mask).all() and first.facts == second.facts
    head, _ = simulated("64mT", "T1")
    upside = Image(head.values, np.diag([1, 1, -1, 1]) @ head.affine)
    assert check_scan(upside, strip(upside), "T1")


def ball(radius: float, spacing: float = 2.0) -> Array:
    return np.asarray(np.sqrt(((np.indices((90, 90, 90)) - 44.5) ** 2).sum(0)) * spacing < radius)


def given(mask: Array) -> Stripped:
    return Stripped(mask, "given", {})


def test_field_of_view_volume_edge_cut_and_slice_direction_are_checked() -> None:
    brain = ball(70)
    values = np.where(brain, np.where(ball(55), 1.0, 0.7), 0.0)
    good = Image(values, np.diag([2.0, 2, 2, 1]))
    assert check_scan(good, given(brain), "T1") == []
    cut = check_scan(Image(values[45:], good.affine), given(brain[45:]), "T1")
    assert "cut by the edge" in "".join(cut)
    huge = check_scan(Image(values, np.diag([20.0, 20, 20, 1])), given(brain), "T1")
    assert [line.split()[0] for line in huge[:2]] == ["voxels", "a"] and "no brain" in huge[2]
    assert "no brain" in check_scan(good, given(np.zeros_like(brain)), "T1")[0]
    assert rim_to_core(good, brain) == pytest.approx(0.7)
    assert edge_cut(ball(70)) == 0
    assert edge_cut(ball(70)[45:]) == 1
    quarter = ball(70)[44 - 31 :]  # cut where the radius is sqrt(70^2 - 63^2) mm
    assert edge_cut(quarter) == pytest.approx(1 - 0.9**2, abs=0.02)
    # Sagittal slices of 5 mm give axial planes of 5 mm pixels; axial slices may be of any thickness.
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 100, 100)), indexing="ij"))
    body = (np.linalg.norm(grid, axis=0) < 0.75).astype(np.float32)
    for spacing, warned in (((5.0, 1.6, 1.6), True), ((1.6, 1.6, 5.0), False), ((3.2, 3.2, 9.4), False)):
        lines = check_scan(Image(body, np.diag([*spacing, 1.0])), given(body > 0), "T1")
        assert any("slices that are not axial" in line for line in lines) == warned


def test_refinement_keeps_the_volume_and_a_given_mask_is_kept() -> None:
    """A shifted ball's mask is corrected: the mean shift is 0, so that only the shape changes."""
    image = ball(60).astype(float)
    off = np.sqrt(
        ((np.indices((90, 90, 90)) - np.array([46.0, 44.5, 44.5])[:, None, None, None]) ** 2).sum(0)
    )
    moved = refine(image, 60 - 2 * off)
    assert dice(moved > 0, ball(60)) > dice(off < 30, ball(60)) + 0.02
    assert (moved > 0).sum() == pytest.approx((off < 30).sum(), rel=0.02)
    mask = ball(70)
    scan = Image(np.random.default_rng(0).random(mask.shape), np.diag([2.0, 2, 2, 1]))
    found = strip(scan, given=mask)
    assert found.method == "given" and (found.mask == mask).all()
    assert found.facts["brain_ml"] == pytest.approx(4 / 3 * np.pi * 70**3 / 1000, rel=0.01)
    with pytest.raises(InputError, match="constant"):
        strip(Image(np.ones((9, 9, 9)), np.eye(4)))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, body: str) -> None:
    """A fake tool, alone on PATH."""
    program = folder / command
    program.write_text(f"#!{sys.executable}\nimport sys, shutil\narguments = sys.argv[1:]\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


HD_BET = """
assert arguments[4:] == ["-device", "cpu", "--disable_tta", "--save_bet_mask", "--no_bet_image"], arguments
shutil.copy(arguments[1], arguments[3].removesuffix(".nii.gz") + "_bet.nii.gz")
"""
SYNTHSTRIP = 'assert arguments[2] == "-m"; shutil.copy(arguments[1], arguments[3])'


@pytest.mark.parametrize(
    "name, command, body", [("hd-bet", "hd-bet", HD_BET), ("synthstrip", "mri_synthstrip", SYNTHSTRIP)]
)
def test_a_tool_is_run_and_its_mask_is_read(
    name: Any, command: str, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, command, body)
    scan = cube()
    for found in (strip(scan, name), strip(scan)):
        assert found.method == name and (found.mask == (scan.values > 0.5)).all()


@pytest.mark.parametrize(
    "body, message", [("sys.exit('no weights')", "no weights"), ("pass", "wrote no mask")]
)
def test_a_tool_that_fails_or_is_missing_is_a_one_line_error(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "mri_synthstrip", body)
    with pytest.raises(InputError, match=message) as caught:
        strip(cube(), "synthstrip")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="hd-bet is not installed"):
        strip(cube(), "hd-bet")
