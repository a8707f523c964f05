"""NIfTI scans in and out: read strictly, worked on in RAS, written back on the grid they came from."""

import gzip
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError

Array = NDArray[Any]
MAX_VOXELS = 512**3
"""A larger header is refused before anything is read."""


@dataclass(frozen=True)
class Scan:
    """A volume [X, Y, Z] in RAS order, and the file's own grid to return to."""

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
    if not path.is_file():
        raise InputError(f"{path}: no such file; allowed: a NIfTI scan (.nii, .nii.gz)")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), LoggingOutputSuppressor():
            warnings.simplefilter("ignore")
            image = nib.load(path)
            _require_header(path, image)
            _require_unrepaired(path, image)
            orientation = nib.io_orientation(image.affine)
            values = np.asarray(image.dataobj, dtype=np.float32)
            if path.suffix.lower() == ".gz":
                _require_whole(path, image.dataobj.offset + values.size * image.dataobj.dtype.itemsize)
    except InputError:
        raise
    except Exception as error:  # nibabel raises a dozen types for damaged files (RELIABILITY.md)
        raise InputError(f"{path}: not a readable NIfTI scan ({error.__class__.__name__})") from error
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds values that are not finite; allowed: finite intensities")
    if values.min() == values.max():
        raise InputError(f"{path}: is constant ({values.min():g}); allowed: a scan with contrast")
    return Scan(path, nib.apply_orientation(values, orientation), image.affine, orientation)


def write(path: Path, values: Array, like: Scan) -> None:
    """A RAS volume as float32 NIfTI on the grid of ``like``: its shape, affine and orientation."""
    import nibabel as nib

    restored = nib.apply_orientation(values, _inverse(like.orientation)).astype(np.float32)
    nib.save(nib.Nifti1Image(restored, like.affine), path)


def _inverse(orientation: Array) -> Array:
    """The orientation that undoes ``orientation``."""
    inverse = np.zeros_like(orientation)
    for axis, (to, flip) in enumerate(orientation):
        inverse[int(to)] = (axis, flip)
    return inverse


def _require_header(path: Path, image: Any) -> None:
    import nibabel as nib

    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: is {image.__class__.__name__}; allowed: a NIfTI scan (.nii, .nii.gz)")
    shape, affine = image.shape, image.affine
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"{path}: has shape {shape}; allowed: a 3-D scan")
    voxels = int(np.prod(shape, dtype=np.int64))
    if voxels > MAX_VOXELS:
        raise InputError(f"{path}: has {voxels} voxels; allowed: at most {MAX_VOXELS}")
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: its affine is singular or not finite; allowed: an invertible one")


def _require_unrepaired(path: Path, image: Any) -> None:
    """The header as it is on disk: nibabel puts silent guesses in the place of impossible values."""
    from nibabel.openers import ImageOpener

    with ImageOpener(path) as stream:
        raw = type(image.header).from_fileobj(stream, check=False)
    sizes, scaling = raw["pixdim"][1:4], np.array([raw["scl_slope"], raw["scl_inter"]])
    if not np.isfinite(sizes).all() or not sizes.all():
        raise InputError(f"{path}: has voxel sizes {sizes.tolist()}; allowed: finite sizes above 0")
    if not np.isfinite(scaling).all():
        raise InputError(
            f"{path}: has intensity scaling {scaling.tolist()}; allowed: finite slope and intercept"
        )


def _require_whole(path: Path, size: int) -> None:
    """Read a gzip stream to its end, where its checksum is: nibabel stops at the last voxel."""
    with gzip.open(path) as stream:
        while chunk := stream.read(1 << 20):
            size -= len(chunk)
            if size < -(1 << 20):
                raise InputError(f"{path}: expands to more than its header says; allowed: one scan")
