"""NIfTI scans: read strictly, turned to RAS, written on the grid of the file that was read."""

import gzip
import math
import os
import warnings
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data.arrays import Array
from trainers.errors import InputError

FORMS = "a NIfTI scan (.nii, .nii.gz)"
WHOLE = "a whole NIfTI file"
MAX_VOXELS = 3 * 2**24
"""512 x 512 x 192: larger scans are rejected before their voxels are read, which bounds the memory."""
MAX_BYTES = 2**31
"""Of a file: no scan of so many voxels is larger, and a longer one is not even hashed."""
MAX_OFFSET = 2**24
"""Bytes before the voxels: header extensions."""
VOXEL_MM, EXTENT_MM = (0.02, 60.0), 700.0
"""Voxel sizes and largest field of view: others are of a wrong unit, and steps allocate by them."""
MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 1e-3}
"""By the header's unit of space (metre, millimetre, micrometre); without one it is millimetres."""
LONGEST = 1.01
"""Norm up to which a quaternion that is longer than 1 was rounded."""
_POINTERS = {
    b"/annex/objects/": "git-annex",
    b"../.git/annex/objects/": "git-annex",
    b"version https://git-lfs": "Git LFS",
}
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20


@dataclass(frozen=True)
class Scan:
    """A volume [X, Y, Z] in RAS order, and the file's own grid."""

    path: Path
    values: Array
    affine: Array
    """Of the file, 4x4, voxels to mm."""
    orientation: Array
    """nibabel's orientation that turns the file's axes into RAS."""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (x, y, z) in mm, along the RAS axes."""
        from nibabel.affines import voxel_sizes

        sizes = voxel_sizes(self.affine)
        x, y, z = (float(sizes[int(np.flatnonzero(self.orientation[:, 0] == axis)[0])]) for axis in range(3))
        return x, y, z

    @property
    def ras_affine(self) -> Array:
        """4x4, voxels of :attr:`values` to mm."""
        import nibabel as nib

        shape = nib.apply_orientation(np.empty(self.values.shape, bool), _inverse(self.orientation)).shape
        return np.asarray(self.affine @ nib.orientations.inv_ornt_aff(self.orientation, shape))

    def same_grid(self, other: "Scan") -> bool:
        """Whether both scans sample the same points."""
        return self.values.shape == other.values.shape and np.allclose(self.affine, other.affine, atol=1e-3)


def read(path: str | Path) -> Scan:
    """A finite 3-D scan; raises InputError that names the file and what is wrong."""
    import nibabel as nib
    from nibabel.imageglobals import LoggingOutputSuppressor

    path = Path(path)
    require_file(path)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), LoggingOutputSuppressor():
            warnings.simplefilter("ignore")
            affine, values = _contents(path)
            orientation = nib.io_orientation(affine)
    except InputError:
        raise
    except Exception as error:  # nibabel raises a dozen types for damaged files
        raise InputError(f"{path}: not a readable NIfTI scan ({_reason(error)}); allowed: {WHOLE}") from error
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds values that are not finite; allowed: finite intensities")
    if values.min() == values.max():
        raise InputError(f"{path}: is constant ({values.min():g}); allowed: a scan with contrast")
    return Scan(path, nib.apply_orientation(values, orientation), affine, orientation)


def require_file(path: Path) -> None:
    """Raises InputError for a scan that is not here, or whose content is not what its name ends in."""
    if path.is_symlink() and not os.path.exists(path) and ".git/annex" in os.readlink(path):
        raise InputError(f"{path}: {_elsewhere('git-annex')}")
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file; allowed: {FORMS}")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}; allowed: {FORMS}")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise InputError(f"{path}: has {size} bytes; allowed: at most {MAX_BYTES}")
    try:
        _require_compression(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); allowed: a file that can be") from None


def write(path: Path, values: Array, like: Scan) -> None:
    """A RAS volume as float32 NIfTI on the grid of ``like``: its shape, affine and orientation.

    The file is written completely or not at all; raises InputError where it cannot be written.
    """
    import nibabel as nib

    restored = nib.apply_orientation(values, _inverse(like.orientation)).astype(np.float32)
    part = path.with_name(f".part-{path.name}")
    try:
        image = nib.Nifti1Image(restored, like.affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); allowed: a folder with room"
        ) from error


def _reason(error: Exception) -> str:
    """What was wrong, in one line."""
    text = " ".join(str(error).split())
    return text[0].lower() + text[1:] if text else error.__class__.__name__


def _elsewhere(tool: str) -> str:
    how = {"git-annex": "datalad get or git annex get", "Git LFS": "git lfs pull"}[tool]
    return f"is a pointer of {tool} to a scan that is not here; allowed: the scan, by {how}"


def _require_compression(path: Path) -> None:
    """Raises InputError for a file that is not as its ending says, or is a pointer to a file elsewhere."""
    with path.open("rb") as stream:
        start = stream.read(348)
    for pointer, tool in _POINTERS.items():
        if start.startswith(pointer):
            raise InputError(f"{path}: {_elsewhere(tool)}")
    zipped = path.suffix.lower() == ".gz"
    if start and zipped and not start.startswith(_GZIP):
        raise InputError(
            f"{path}: is not compressed by gzip, though its name ends in .gz; allowed: .nii, or gzip"
        )
    if not zipped and start.startswith(_GZIP):
        raise InputError(f"{path}: is compressed, though its name does not end in .gz; allowed: .nii.gz")


def _inverse(orientation: Array) -> Array:
    """The orientation that undoes ``orientation``."""
    inverse = np.zeros_like(orientation)
    for axis, (to, flip) in enumerate(orientation):
        inverse[int(to)] = (axis, flip)
    return inverse


def _contents(path: Path) -> tuple[Array, Array]:
    """Affine and scaled voxels; reads no more of the file than its checked header announces."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        block = stream.read(540)
        header = _header(path, block)
        offset, shape, dtype = header.get_data_offset(), _volume_shape(header), header.get_data_dtype()
        content = _read_bytes(path, stream, block, offset + math.prod(shape) * dtype.itemsize)
        if path.suffix.lower() == ".gz":
            _require_end(path, stream)
    raw = np.frombuffer(content, dtype, offset=offset).reshape(shape, order="F")
    slope, inter = header.get_slope_inter() if np.isfinite(header["scl_slope"]) else (None, None)
    values = np.empty(shape, np.float32, order="F")
    for z in range(shape[2]):  # by planes, as the scaling is in float64
        values[..., z] = (
            raw[..., z] if slope is None or inter is None else raw[..., z] * float(slope) + float(inter)
        )
    return _affine(header), values


def _volume_shape(header: Any) -> tuple[int, ...]:
    """Without the trailing axes of length 1 that some converters write."""
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _affine(header: Any) -> Array:
    """4x4, voxels to mm: in the header's own unit of space."""
    scale = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    affine: Array = np.diag([scale, scale, scale, 1.0]) @ header.get_best_affine()
    return affine


def _header(path: Path, block: bytes) -> Any:
    """The header of a scan that can be read; raises what nibabel raises, or InputError."""
    import nibabel as nib

    kind = nib.Nifti2Header if nib.Nifti2Header.may_contain_header(block) else nib.Nifti1Header
    _require_valid(path, kind(block[: kind.sizeof_hdr], check=False))
    header = kind(block[: kind.sizeof_hdr])
    _shorten_quaternion(header)
    shape, affine, dtype = _volume_shape(header), _affine(header), header.get_data_dtype()
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"{path}: has shape {shape}; allowed: a 3-D scan")
    voxels = math.prod(int(n) for n in shape)
    if voxels > MAX_VOXELS:
        raise InputError(f"{path}: has {voxels} voxels; allowed: at most {MAX_VOXELS}")
    if header["qform_code"] == 0 and header["sform_code"] == 0:
        unknown = "its qform_code and sform_code are 0, so its orientation is not known"
        raise InputError(f"{path}: {unknown}; allowed: one of them above 0")
    if not np.isfinite(affine).all() or not np.isfinite(nib.io_orientation(affine)).all():
        raise InputError(f"{path}: its affine is singular or not finite; allowed: an invertible one")
    _require_plausible(path, np.linalg.norm(affine[:3, :3], axis=0), shape)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        named = nib.nifti1.data_type_codes.label[int(header["datatype"])]
        raise InputError(f"{path}: has voxels of type {named}; allowed: integers or floats of up to 64 bits")
    offset, first = header.get_data_offset(), kind.single_vox_offset
    if not first <= offset <= MAX_OFFSET:  # nibabel takes 0, which the standard gives to pairs of files
        where = f"its voxels start at byte {offset}"
        raise InputError(f"{path}: {where}; allowed: {first} to {MAX_OFFSET}")
    return header


def _shorten_quaternion(header: Any) -> None:
    """To a norm of 1 where rounding made it longer, as the standard's reader does for any."""
    keys = ("quatern_b", "quatern_c", "quatern_d")
    norm = math.sqrt(sum(float(header[key]) ** 2 for key in keys))
    if 1 < norm <= LONGEST:
        for key in keys:
            header[key] = float(header[key]) / norm


def _require_plausible(path: Path, sizes: Array, shape: tuple[int, ...]) -> None:
    """Raises InputError for voxels, or a field of view, that no scan has."""
    text = " x ".join(f"{size:.3g}" for size in sizes)
    extent = float((sizes * shape).max())
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1] or extent > EXTENT_MM:
        limits = f"{VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm and {EXTENT_MM:g} mm in all"
        raise InputError(f"{path}: has voxels of {text} mm, {extent:.3g} mm in all; allowed: {limits}")


def _require_valid(path: Path, raw: Any) -> None:
    """Check the header as it is on disk, as nibabel silently replaces impossible values."""
    if raw["magic"].item().startswith(b"ni"):
        raise InputError(f"{path}: its voxels are in another file; allowed: {FORMS}")
    sizes, scaling = raw["pixdim"][1:4], np.array([raw["scl_slope"], raw["scl_inter"]])
    if not np.isfinite(sizes).all() or not sizes.all():
        raise InputError(f"{path}: has voxel sizes {sizes.tolist()}; allowed: finite sizes above 0")
    # A slope that is no number means unscaled, as nibabel and the standard's library read it.
    if not np.isnan(scaling[0]) and not np.isfinite(scaling).all():
        raise InputError(
            f"{path}: has intensity scaling {scaling.tolist()}; allowed: finite slope and intercept"
        )


def _read_bytes(path: Path, stream: BufferedIOBase, start: bytes, size: int) -> bytearray:
    """The first ``size`` bytes of a file, of which ``start`` was read; raises InputError if it is shorter."""
    content, at = bytearray(size), min(len(start), size)
    content[:at] = start[:at]
    while at < size and (chunk := stream.read(min(_CHUNK, size - at))):
        content[at : at + len(chunk)] = chunk
        at += len(chunk)
    if at < size:
        ends = f"it ends after {at} of {size} bytes"
        raise InputError(f"{path}: not a readable NIfTI scan ({ends}); allowed: {WHOLE}")
    return content


def _require_end(path: Path, stream: BufferedIOBase) -> None:
    """Read a gzip stream to its end, where its checksum is; more than padding may be a gzip bomb."""
    left = 0
    while chunk := _rest(path, stream):
        left += len(chunk)
        if left > _CHUNK:
            raise InputError(f"{path}: expands to more than its header says; allowed: one scan")


def _rest(path: Path, stream: BufferedIOBase) -> bytes:
    """The next bytes of a gzip stream; raises InputError where something else follows it."""
    try:
        return stream.read(_CHUNK)
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" not in str(error):
            raise
        message = "has other bytes after the end of its gzip stream"
        raise InputError(f"{path}: {message}; allowed: nothing, the file may be damaged") from None
