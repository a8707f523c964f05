"""Scans in every orientation come back exactly; damaged files are one line each."""

import gzip
import itertools
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from platform import nifti
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.errors import InputError

Array = NDArray[Any]

SHAPE = (5, 6, 7)
ORIENTATIONS = ["RAS", "LPS", "LAS", "RPI", "ASR", "PIL", "SRA", "IPL"]


def values(dtype: str, shape: tuple[int, ...] = SHAPE) -> Array:
    drawn = np.random.default_rng(0).integers(0, 200, shape)
    return (drawn / 7 if dtype.startswith("float") else drawn).astype(dtype)


def oriented(code: str, oblique: float = 0.0) -> Array:
    """An affine whose axes point to the letters of ``code``, 1, 2 and 3 mm along R-L, A-P and S-I."""
    affine = np.zeros((4, 4))
    for axis, letter in enumerate(code):
        row = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = (row + 1) * (1 if letter in "RAS" else -1)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(oblique), -np.sin(oblique)], [np.sin(oblique), np.cos(oblique)]]
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:, 3] = [-11.5, 20.25, 3.0, 1.0]
    return affine.astype(np.float32).astype(float)  # as a header holds it


def save(path: Path, array: Array, affine: Array) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("code", ORIENTATIONS)
def test_read_and_written_back_a_scan_is_the_same(code: str, dtype: str, tmp_path: Path) -> None:
    source = nib.load(save(tmp_path / "in.nii.gz", values(dtype), oriented(code, 0.2)))
    scan = nifti.read(tmp_path / "in.nii.gz")
    nifti.write(tmp_path / "out.nii.gz", scan.values, scan)
    back = nib.load(tmp_path / "out.nii.gz")
    assert back.shape == SHAPE and back.get_data_dtype() == np.float32
    np.testing.assert_array_equal(back.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(back.dataobj), values(dtype).astype(np.float32))


@pytest.mark.parametrize("code", ["".join(c) for c in itertools.product("RL", "AP", "SI")] + ORIENTATIONS)
def test_every_voxel_keeps_its_place_in_millimetres(code: str, tmp_path: Path) -> None:
    affine, array = oriented(code, 0.2), values("float32")
    scan = nifti.read(save(tmp_path / "scan.nii", array, affine))
    canonical = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    np.testing.assert_array_equal(scan.values, canonical.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(scan.ras_affine, canonical.affine, atol=1e-5)
    assert nib.aff2axcodes(scan.ras_affine) == ("R", "A", "S")
    assert scan.spacing == pytest.approx((1, 2, 3), rel=1e-6)
    for index in [(0, 0, 0), (4, 5, 6), (1, 3, 2)]:
        place = affine @ [*index, 1]
        there = np.linalg.solve(scan.ras_affine, place)[:3]
        assert scan.values[tuple(np.rint(there).astype(int))] == array[index]


def test_an_edit_in_ras_lands_where_it_was_meant(tmp_path: Path) -> None:
    scan = nifti.read(save(tmp_path / "scan.nii", values("int16"), oriented("PIL")))
    edited = scan.values.copy()
    edited[0, 0, 0] = 999  # the corner most to the left, the back and the foot
    nifti.write(tmp_path / "out.nii", edited, scan)
    changed = np.argwhere(np.asarray(nib.load(tmp_path / "out.nii").dataobj) == 999)
    assert changed.tolist() == [[SHAPE[0] - 1, SHAPE[1] - 1, SHAPE[2] - 1]]


def test_intensities_are_scaled_by_the_header(tmp_path: Path) -> None:
    def edit(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = 0.5, -3

    (tmp_path / "scan.nii").write_bytes(raw(edit))
    np.testing.assert_array_equal(nifti.read(tmp_path / "scan.nii").values, values("int16") * 0.5 - 3)


def test_grids_are_compared_by_shape_and_place(tmp_path: Path) -> None:
    first = nifti.read(save(tmp_path / "a.nii", values("int16"), oriented("RAS")))
    near = oriented("RAS") + np.diag([0, 1e-4, 0, 0])
    far = oriented("RAS") + np.diag([0, 1e-2, 0, 0])
    assert first.same_grid(nifti.read(save(tmp_path / "b.nii", values("int16"), near)))
    assert not first.same_grid(nifti.read(save(tmp_path / "c.nii", values("int16"), far)))
    longer = values("int16", (5, 6, 8))
    assert not first.same_grid(nifti.read(save(tmp_path / "d.nii", longer, oriented("RAS"))))


def raw(edit: Callable[[Any], None], array: Array | None = None) -> bytes:
    """A scan whose header was edited behind nibabel's back."""
    array = values("int16") if array is None else array
    header = nib.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0])).header.copy()
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    edit(header)
    return bytes(header.binaryblock) + bytes(4) + array.tobytes("F")


def field(name: str, value: Any, index: Any = None) -> bytes:
    def edit(header: Any) -> None:
        if index is None:
            header[name] = value
        else:
            header[name][index] = value

    return raw(edit)


def floats(value: float) -> bytes:
    array = values("float32")
    array[2, 2, 2] = value
    return bytes(nib.Nifti1Image(array, np.eye(4)).to_bytes())


def image(array: Array, affine: Array | None = None) -> bytes:
    return bytes(nib.Nifti1Image(array, np.eye(4) if affine is None else affine).to_bytes())


GOOD = image(values("int16"))
ZIPPED = gzip.compress(GOOD)

DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.nii", b"", "not a readable NIfTI scan"),
    "empty gzip": ("a.nii.gz", b"", "not a readable NIfTI scan"),
    "text": ("a.nii", b"this is no scan\n" * 50, "not a readable NIfTI scan"),
    "text as gzip": ("a.nii.gz", b"this is no scan\n" * 50, "not a readable NIfTI scan"),
    "short header": ("a.nii", GOOD[:200], "not a readable NIfTI scan"),
    "truncated": ("a.nii", GOOD[:-1], "not a readable NIfTI scan"),
    "truncated gzip": ("a.nii.gz", ZIPPED[: len(ZIPPED) // 2], "not a readable NIfTI scan"),
    "gzip without its end": ("a.nii.gz", ZIPPED[:-4], "not a readable NIfTI scan"),
    "gzip with a bad checksum": (
        "a.nii.gz",
        ZIPPED[:-8] + bytes(4) + ZIPPED[-4:],
        "not a readable NIfTI scan",
    ),
    "gzip with a bad length": ("a.nii.gz", ZIPPED[:-4] + struct.pack("<I", 1), "not a readable NIfTI scan"),
    "plain as gzip": ("a.nii.gz", GOOD, "not a readable NIfTI scan"),
    "gzip as plain": ("a.nii", ZIPPED, "not a readable NIfTI scan"),
    "gzip bomb": ("a.nii.gz", gzip.compress(GOOD + bytes(1 << 26)), "expands to more than its header says"),
    "nan": ("a.nii", floats(float("nan")), "values that are not finite"),
    "inf": ("a.nii", floats(float("inf")), "values that are not finite"),
    "2-D": ("a.nii", image(values("int16", (5, 6))), "has shape (5, 6); allowed: a 3-D scan"),
    "4-D": ("a.nii", image(values("int16", (5, 6, 7, 2))), "has shape (5, 6, 7, 2); allowed: a 3-D scan"),
    "one slice": ("a.nii", image(values("int16", (5, 6, 1))), "allowed: a 3-D scan"),
    "constant": ("a.nii", image(np.full(SHAPE, 7, np.int16)), "is constant (7)"),
    "black": ("a.nii", image(np.zeros(SHAPE, np.int16)), "is constant (0)"),
    "singular affine": ("a.nii", field("srow_x", [0, 0, 0, 0]), "its affine is singular or not finite"),
    "parallel axes": ("a.nii", field("srow_x", [0, 2, 0, 0]), "its affine is singular or not finite"),
    "affine of nan": ("a.nii", field("srow_y", [0, np.nan, 0, 0]), "its affine is singular or not finite"),
    "voxels of size zero": ("a.nii", field("pixdim", 0, 1), "has voxel sizes [0.0, 2.0, 2.0]"),
    "voxels of size nan": ("a.nii", field("pixdim", np.nan, 2), "has voxel sizes [2.0, nan, 2.0]"),
    "slope of nan": ("a.nii", field("scl_slope", np.nan), "has intensity scaling [nan, 0.0]"),
    "slope of inf": ("a.nii", field("scl_slope", np.inf), "has intensity scaling [inf, 0.0]"),
    "huge": ("a.nii", field("dim", 32767, slice(1, 4)), "voxels; allowed: at most 134217728"),
    "empty axis": ("a.nii", field("dim", 0, 1), "allowed: a 3-D scan"),
    "unknown type": ("a.nii", field("datatype", 9999), "not a readable NIfTI scan"),
    "colours": ("a.nii", field("datatype", 128), "not a readable NIfTI scan"),
    "magic": ("a.nii", GOOD[:344] + b"nope" + GOOD[348:], "not a readable NIfTI scan"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_scan_is_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, content, reason = DAMAGED[kind]
    path = tmp_path / name
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(InputError) as told:
        nifti.read(path)
    assert time.monotonic() - started < 2
    assert str(told.value).startswith(f"{path}: ") and "\n" not in str(told.value)
    assert reason in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_the_undamaged_are_accepted(tmp_path: Path) -> None:
    for name, content in (("a.nii", GOOD), ("a.nii.gz", ZIPPED), ("b.nii", raw(lambda header: None))):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(nifti.read(tmp_path / name).values, values("int16"))
    assert zlib.crc32(GOOD) == int.from_bytes(ZIPPED[-8:-4], "little")  # what the damaged one lacks


def test_a_missing_scan_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.nii.gz", tmp_path):
        with pytest.raises(InputError, match=r"no such file; allowed: a NIfTI scan \(\.nii, \.nii\.gz\)"):
            nifti.read(path)


def test_another_format_is_told(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(values("float32"), np.eye(4)), tmp_path / "scan.mgz")
    with pytest.raises(InputError, match=r"scan\.mgz: is MGHImage; allowed: a NIfTI scan"):
        nifti.read(tmp_path / "scan.mgz")
