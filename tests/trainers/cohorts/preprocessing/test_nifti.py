"""Scans in every orientation are restored exactly; damaged files are one-line errors."""

import gzip
import itertools
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.trainers.cohorts.geometry import ORIENTATIONS, axes, displacement
from trainers.cohorts.preprocessing import nifti
from trainers.data.arrays import Array
from trainers.errors import InputError

SHAPE = (5, 6, 7)


def values(dtype: str, shape: tuple[int, ...] = SHAPE) -> Array:
    drawn = np.random.default_rng(0).integers(0, 200, shape)
    return (drawn / 7 if dtype.startswith("float") else drawn).astype(dtype)


def oriented(code: str, oblique: float = 0.0) -> Array:
    """An affine with axes as ``code``, 1, 2 and 3 mm along R-L, A-P and S-I, rotated by ``oblique``."""
    affine = displacement((0, 0, np.rad2deg(oblique)), (-11.5, 20.25, 3.0)) @ axes(code, (1, 2, 3))
    return affine.astype(np.float32).astype(float)  # the precision of a header


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
        there = np.linalg.solve(scan.ras_affine, affine @ [*index, 1])[:3]
        assert scan.values[tuple(np.rint(there).astype(int))] == array[index]


def test_an_edit_in_ras_is_written_to_the_same_voxel_and_grids_are_compared(tmp_path: Path) -> None:
    scan = nifti.read(save(tmp_path / "scan.nii", values("int16"), oriented("PIL")))
    edited = scan.values.copy()
    edited[0, 0, 0] = 999  # the left, posterior, inferior corner
    nifti.write(tmp_path / "out.nii", edited, scan)
    changed = np.argwhere(np.asarray(nib.load(tmp_path / "out.nii").dataobj) == 999)
    assert changed.tolist() == [[SHAPE[0] - 1, SHAPE[1] - 1, SHAPE[2] - 1]]
    first = nifti.read(save(tmp_path / "a.nii", values("int16"), oriented("RAS")))
    for offset, shape, same in ((1e-4, SHAPE, True), (1e-2, SHAPE, False), (0, (5, 6, 8), False)):
        affine = oriented("RAS") + np.diag([0, offset, 0, 0])
        assert first.same_grid(nifti.read(save(tmp_path / "b.nii", values("int16", shape), affine))) == same


def test_scaling_trailing_axes_extensions_and_undamaged_files_are_read(tmp_path: Path) -> None:
    def edit(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = 0.5, -3

    (tmp_path / "scan.nii").write_bytes(raw(edit))
    np.testing.assert_array_equal(nifti.read(tmp_path / "scan.nii").values, values("int16") * 0.5 - 3)
    (tmp_path / "unscaled.nii").write_bytes(field("scl_slope", np.nan))
    np.testing.assert_array_equal(nifti.read(tmp_path / "unscaled.nii").values, values("int16"))
    (tmp_path / "long.nii").write_bytes(image(values("int16")[..., None]))
    np.testing.assert_array_equal(nifti.read(tmp_path / "long.nii").values, values("int16"))
    good = nib.Nifti1Image(values("int16"), np.eye(4))
    good.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a letter " * 20))
    nib.save(good, tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(nifti.read(tmp_path / "scan.nii.gz").values, values("int16"))
    content = bytearray(good.to_bytes())
    content[352:356] = struct.pack("<i", -1)  # its size, by which nibabel would read the rest of the file
    (tmp_path / "garbage.nii").write_bytes(content)
    np.testing.assert_array_equal(nifti.read(tmp_path / "garbage.nii").values, values("int16"))
    for name, content in (("a.nii", GOOD), ("a.nii.gz", ZIPPED), ("b.nii", raw(lambda header: None))):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(nifti.read(tmp_path / name).values, values("int16"))
    assert zlib.crc32(GOOD) == int.from_bytes(ZIPPED[-8:-4], "little")  # absent in the damaged one


def test_rounded_quaternions_and_other_units_are_read(tmp_path: Path) -> None:
    def edit(header: Any) -> None:
        header["xyzt_units"] = 3
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row] *= 1000

    files = {"rounded": quaternion(1.0001), "exact": quaternion(1), "micrometres": raw(edit)}
    for name, content in files.items():
        (tmp_path / f"{name}.nii").write_bytes(content)
    scans = {name: nifti.read(tmp_path / f"{name}.nii") for name in files}
    np.testing.assert_allclose(scans["rounded"].affine, scans["exact"].affine, atol=1e-6)
    np.testing.assert_allclose(scans["micrometres"].affine, np.diag([2, 2, 2, 1]), rtol=1e-6)
    nifti.write(tmp_path / "out.nii", scans["micrometres"].values, scans["micrometres"])
    written = nib.load(tmp_path / "out.nii")
    assert written.header.get_xyzt_units()[0] == "mm" and written.header.get_zooms() == (2, 2, 2)


def raw(edit: Callable[[Any], None], array: Array | None = None) -> bytes:
    """A scan whose header was edited behind nibabel's back."""
    array = values("int16") if array is None else array
    header = nib.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0])).header.copy()
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    edit(header)
    return bytes(header.binaryblock) + bytes(4) + array.tobytes("F")


def field(name: str, value: Any, index: Any = ...) -> bytes:
    def edit(header: Any) -> None:
        header[name][index] = value

    return raw(edit)


def floats(value: float) -> bytes:
    array = values("float32")
    array[2, 2, 2] = value
    return image(array)


def image(array: Array, spacing: float = 1) -> bytes:
    return bytes(nib.Nifti1Image(array, np.diag([spacing] * 3 + [1])).to_bytes())


def quaternion(norm: float) -> bytes:
    """A scan with a qform alone, turned by 180 degrees, its quaternion as long as ``norm``."""

    def edit(header: Any) -> None:
        header["qform_code"], header["sform_code"], header["quatern_c"] = 1, 0, norm

    return raw(edit)


def two(**fields: Any) -> bytes:
    """A NIfTI-2 scan whose header was edited."""
    content = nib.Nifti2Image(values("int16"), np.eye(4)).to_bytes()
    header = nib.Nifti2Header(content[:540], check=False)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(content[540:])


GOOD = image(values("int16"))
ZIPPED = gzip.compress(GOOD)

UNREADABLE = "not a readable NIfTI scan"
DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.nii", b"", UNREADABLE),
    "empty gzip": ("a.nii.gz", b"", UNREADABLE),
    "text": ("a.nii", b"this is no scan\n" * 50, UNREADABLE),
    "text as gzip": (
        "a.nii.gz",
        b"this is no scan\n" * 50,
        "is not compressed by gzip, though its name ends in .gz",
    ),
    "short header": ("a.nii", GOOD[:200], UNREADABLE),
    "truncated": ("a.nii", GOOD[:-1], UNREADABLE),
    "truncated gzip": ("a.nii.gz", ZIPPED[: len(ZIPPED) // 2], UNREADABLE),
    "gzip without its end": ("a.nii.gz", ZIPPED[:-4], UNREADABLE),
    "gzip with a bad checksum": ("a.nii.gz", ZIPPED[:-8] + bytes(4) + ZIPPED[-4:], UNREADABLE),
    "gzip with a bad length": ("a.nii.gz", ZIPPED[:-4] + struct.pack("<I", 1), UNREADABLE),
    "plain as gzip": (
        "a.nii.gz",
        GOOD,
        "is not compressed by gzip, though its name ends in .gz; allowed: .nii",
    ),
    "gzip as plain": (
        "a.nii",
        ZIPPED,
        "is compressed, though its name does not end in .gz; allowed: .nii.gz",
    ),
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
    "slope of inf": ("a.nii", field("scl_slope", np.inf), "has intensity scaling [inf, 0.0]"),
    "huge": ("a.nii", field("dim", 32767, slice(1, 4)), "voxels; allowed: at most 50331648"),
    "empty axis": ("a.nii", field("dim", 0, 1), "allowed: a 3-D scan"),
    "unknown type": ("a.nii", field("datatype", 9999), UNREADABLE),
    "colours": ("a.nii", field("datatype", 128), "has voxels of type RGB; allowed: integers or floats"),
    "all nan": ("a.nii", image(np.full(SHAPE, np.nan, np.float32)), "values that are not finite"),
    "overflowing": ("a.nii", image(values("float64") * 1e300), "values that are not finite"),
    "complex": ("a.nii", image(values("complex64")), "has voxels of type complex64"),
    "colours of bytes": ("a.nii", field("datatype", 2304), "has voxels of type RGBA"),
    "five axes": ("a.nii", image(values("int16", (5, 6, 7, 1, 3))), "has shape (5, 6, 7, 1, 3)"),
    "no axes": ("a.nii", field("dim", 0, 0), "allowed: a 3-D scan"),
    "too many axes": ("a.nii", field("dim", 100, 0), UNREADABLE),
    "negative axis": ("a.nii", field("dim", -6, 2), "has shape (5, -6, 7)"),
    "larger than its file": ("a.nii", field("dim", 200, 3), "it ends after 772 of 12352 bytes"),
    "intercept of nan": ("a.nii", field("scl_inter", np.nan), "has intensity scaling [1.0, nan]"),
    "affine of inf": ("a.nii", field("srow_z", [0, 0, np.inf, 0]), "its affine is singular or not finite"),
    "voxels beyond the file": ("a.nii", field("vox_offset", 1e6), "it ends after 772 of 1000420 bytes"),
    "voxels beyond all": ("a.nii.gz", gzip.compress(field("vox_offset", 2e9)), "its voxels start at byte"),
    "voxels in the header": ("a.nii", field("vox_offset", 16), UNREADABLE),
    "voxels at the start": ("a.nii", field("vox_offset", 0), "its voxels start at byte 0; allowed: 352 to"),
    "voxels after half a header": ("a.nii", two(vox_offset=352), UNREADABLE),
    "no orientation": (
        "a.nii",
        raw(lambda header: header.set_sform(np.eye(4), 0)),
        "its qform_code and sform_code are 0, so its orientation is not known; allowed: one of them above 0",
    ),
    "voxels before the file": ("a.nii", field("vox_offset", -352), UNREADABLE),
    "voxels nowhere": ("a.nii", field("vox_offset", np.nan), UNREADABLE),
    "noise": ("a.nii.gz", np.random.default_rng(0).bytes(4000), "is not compressed"),
    "gzip with noise behind": ("a.nii.gz", ZIPPED + b"noise", "has other bytes after the end of its gzip"),
    "magic of a pair": ("a.nii", GOOD[:344] + b"ni1\0" + GOOD[348:], "its voxels are in another file"),
    "ANALYZE": ("a.img", GOOD, "ends in .img; allowed: a NIfTI scan (.nii, .nii.gz)"),
    "DICOM": ("slice.dcm", b"\0" * 128 + b"DICM", "ends in .dcm"),
    "no ending": ("scan", GOOD, "ends in nothing"),
    "a byte behind gzip": ("a.nii.gz", ZIPPED + b"\n", "has other bytes after the end of its gzip stream"),
    "annex": ("a.nii", b"/annex/objects/MD5E-s1--0.nii\n", "is a pointer of git-annex to a scan that is not"),
    "LFS": ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\n", "by git lfs pull"),
    "metres": ("a.nii", field("xyzt_units", 1), "has voxels of 2e+03 x 2e+03 x 2e+03 mm, 1.4e+04 mm in all"),
    "micrometres in none": (
        "a.nii",
        image(values("int16"), 1e3),
        "allowed: 0.02 to 60 mm and 700 mm in all",
    ),
    "a wide field": ("a.nii", image(values("int16", (40, 6, 7)), 30), "1.2e+03 mm in all"),
    "tiny voxels": ("a.nii", image(values("int16"), 1e-3), "has voxels of 0.001 x 0.001 x 0.001 mm"),
    "a long quaternion": ("a.nii", quaternion(1.1), "not a readable NIfTI scan (w2 should be positive"),
    "magic": ("a.nii", GOOD[:344] + b"nope" + GOOD[348:], UNREADABLE),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_scan_is_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, content, reason = DAMAGED[kind]
    path = tmp_path / name
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        nifti.read(path)
    assert time.monotonic() - started < 2
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and reason in message
    assert capfd.readouterr() == ("", "")


def test_seeded_noise_in_headers_is_one_line_or_a_scan(tmp_path: Path) -> None:
    """RELIABILITY.md row 12: 200 files, 8 random bytes of the header or of the gzip stream changed."""
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(200):
        zipped = i % 2
        content = bytearray(ZIPPED if zipped else GOOD)
        changed = rng.integers(0, len(content) if zipped else 352, 8)
        content[:] = bytes(rng.integers(256) if at in changed else byte for at, byte in enumerate(content))
        path = tmp_path / (f"{i}.nii.gz" if zipped else f"{i}.nii")
        path.write_bytes(content)
        started = time.monotonic()
        try:
            assert np.isfinite(nifti.read(path).values).all()
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        assert time.monotonic() - started < 2
    assert refused > 100


BOMBS: dict[str, tuple[tuple[int, ...], int]] = {
    **{"more than its header says": (SHAPE, 2), "as its header says": ((1024,) * 3, 2)},
    **{"an extension": (SHAPE, 2), "the largest scan": ((512, 512, 192), 60)},
}
"""Shape, and seconds in which it is refused."""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_takes_neither_memory_nor_time(kind: str, tmp_path: Path) -> None:
    """4 GiB in 4 MB: behind a scan, in one of 1024^3 voxels, in an extension; and 384 MiB that are read."""
    shape, limit = BOMBS[kind]

    def edit(header: Any) -> None:
        header.set_data_shape(shape)
        header.set_sform(np.eye(4), 1)

    head = bytearray(raw(edit, values("float64"))[:352])
    if kind == "an extension":
        head = bytearray(field("vox_offset", 2**31)[:348]) + b"\1\0\0\0" + struct.pack("<ii", 0, 6)
    path = tmp_path / ("bomb.nii" if kind == "the largest scan" else "bomb.nii.gz")
    if path.suffix == ".gz":
        bomb = gzip.compress(bytes(1 << 24))
        path.write_bytes(gzip.compress(head) + bomb * 256)  # members are one stream
        assert 3e6 < path.stat().st_size < 5e6
    else:
        path.write_bytes(head)
        os.truncate(path, 352 + 3 * 2**27)
    script = (
        "import sys, time\n"
        "import nibabel\n"
        "from trainers.cohorts.preprocessing import nifti\n"
        "from trainers.errors import InputError\n"
        "started = time.monotonic()\n"
        "try:\n    nifti.read(sys.argv[1])\n"
        "except InputError as error:\n    print(error)\n"
        "print(time.monotonic() - started)\n"
        # Not ru_maxrss: a child inherits what its parent had when it forked.
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 2**20)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4])
    line, seconds, gib = done.stdout.splitlines()
    assert line.startswith(f"{path}: ") and done.stderr == ""
    assert float(seconds) < limit and float(gib) < 1


def test_fifty_good_scans_are_read_as_nibabel_reads_them(tmp_path: Path) -> None:
    """8 orientations, 3 types, plain and zipped; a big-endian one and a NIfTI-2 one: RAS, exactly."""
    images = {}
    for code, dtype, ending in itertools.product(ORIENTATIONS, ("uint8", "int16", "float32"), ("", ".gz")):
        header = nib.Nifti1Header()
        header.set_slope_inter(0.1, 7)
        name = tmp_path / f"{code}_{dtype}.nii{ending}"
        images[name] = nib.Nifti1Image(values(dtype), oriented(code, 0.1), header)
    swapped = nib.Nifti1Header(endianness=">")
    images[tmp_path / "big.nii.gz"] = nib.Nifti1Image(values(">i2"), oriented("PIL"), swapped)
    images[tmp_path / "two.nii"] = nib.Nifti2Image(values("float64"), oriented("LAS"))
    assert len(images) == 50
    for path, written in images.items():
        nib.save(written, path)
        canonical = nib.as_closest_canonical(nib.load(path))
        scan = nifti.read(path)
        np.testing.assert_array_equal(scan.values, np.asarray(canonical.dataobj).astype(np.float32))
        np.testing.assert_array_equal(scan.affine, nib.load(path).affine)
        np.testing.assert_allclose(scan.ras_affine, canonical.affine, atol=1e-5)


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (1, 1)])
def test_the_affine_is_the_one_that_the_header_prefers(sform: int, qform: int, tmp_path: Path) -> None:
    scan = nib.Nifti1Image(values("int16"), None)
    scan.header.set_zooms((1, 2, 3))
    scan.set_sform(oriented("LAS"), sform)
    scan.set_qform(oriented("PIL"), qform)
    nib.save(scan, tmp_path / "scan.nii")
    expected = nib.load(tmp_path / "scan.nii").affine
    np.testing.assert_array_equal(nifti.read(tmp_path / "scan.nii").affine, expected)


def test_missing_files_folders_links_other_formats_and_unwritable_paths_are_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "link.nii").symlink_to(tmp_path / "nowhere.nii")
    (tmp_path / "loop.nii").symlink_to(tmp_path / "loop.nii")
    os.mkfifo(tmp_path / "pipe.nii")
    for name in ("none.nii.gz", "folder.nii", "link.nii", "loop.nii", "pipe.nii"):
        with pytest.raises(InputError) as error:
            nifti.read(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)"
    nib.save(nib.MGHImage(values("float32"), np.eye(4)), tmp_path / "scan.mgz")
    with pytest.raises(InputError, match=r"scan\.mgz: ends in \.mgz; allowed: a NIfTI scan"):
        nifti.read(tmp_path / "scan.mgz")
    with (tmp_path / "long.nii").open("wb") as stream:
        stream.truncate(2**31 + 1)
    with pytest.raises(InputError, match=r"long\.nii: has 2147483649 bytes; allowed: at most 2147483648"):
        nifti.read(tmp_path / "long.nii")
    folder = tmp_path / "written"
    folder.mkdir()
    scan = nifti.read(save(folder / "scan.nii", values("float32"), np.eye(4)))
    with pytest.raises(InputError, match=r"gone/out\.nii\.gz: cannot be written \(No such file"):
        nifti.write(folder / "gone" / "out.nii.gz", scan.values, scan)
    nifti.write(folder / "out.nii.gz", scan.values, scan)
    assert sorted(path.name for path in folder.iterdir()) == ["out.nii.gz", "scan.nii"]
