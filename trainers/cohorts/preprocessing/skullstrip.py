"""Brain masks: a given one, those of installed tools, or by registration of a head template (DATA.md A4).

The template is a T1w head *with* its skull: a brain-only one expands to the scalp (DATA.md trap 12). Mutual
information registers it to T1w and T2w scans. All steps use one thread and are reproducible bit for bit.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.registration import (
    Image,
    Schedule,
    joint_information,
    load_ants,
    register,
    resample,
    rotation,
    sample,
    to_ants,
)
from trainers.data.arrays import Array
from trainers.errors import InputError

BrainMask = Literal["auto", "template", "hd-bet", "synthstrip", "given"]
TEMPLATE = Path(__file__).parent / "template"
SPACING = 2.0  # mm
BRAIN_ML = (900.0, 2100.0)
"""Volumes (ml) a brain may have, children and large men included."""

_COMMANDS = {"hd-bet": "hd-bet", "synthstrip": "mri_synthstrip"}
_TIMEOUT = 3600.0  # s; HD-BET on one slow core
_HEAD_MM = 175.0  # from the top down, without the neck, which would shift the centre of mass
_MARGIN = 5  # voxels about the head
_EXTRACTED_ZERO = 0.35  # share of exact zeros in the box of the non-zero voxels; see `is_extracted`
_EXTRACTED_CUT = 0.3  # a cropped head may have a brain's size, but it is cut by a face of the volume
_AFFINE = Schedule((300, 150, 50), (4, 3, 2), (3, 2, 1))
_COARSE = Schedule((200, 100), (4, 3), (3, 2), sampling=0.1)
_TURNS = (0.0, -20.0, 20.0)  # degrees of pitch to start from
_N4 = {"shrink_factor": 4, "convergence": {"iters": [15] * 3, "tol": 1e-7}}
_REACH, _STEP = 8, 1.0  # mm: search range and step of the refinement along a normal
_PRIOR = 3.0  # mm: expected distance of the surface from the template's
_GAIN = 0.5  # neighbouring samples of a profile are not independent
_SMOOTH = 8.0  # mm over which the evidence is averaged on the surface
_BINS = 32
_GUARD = 0.10  # change of volume beyond which the refinement is rejected


@dataclass(frozen=True)
class Stripped:
    """A brain ``mask [X, Y, Z]`` of bool on the scan's grid, the ``method`` that made it, and its ``facts``.

    ``facts`` are JSON-able; those of ``template`` hold the matrix from RAS points of the scan to the
    template's (``scan_to_template``), the normalised mutual information with it (``similarity``) and the
    correlation with its T1w brain inside the mask (``correlation``).
    """

    mask: Array
    method: str
    facts: dict[str, Any]


def strip(scan: Image, method: BrainMask = "auto", given: Array | None = None) -> Stripped:
    """The brain of ``scan``: in RAS mm, any orientation; ``given`` is a mask on its grid.

    ``auto`` takes the given mask, or a scan that is already brain-extracted, else the first available of
    HD-BET, SynthStrip and the template. Raises InputError for a tool that is missing or fails, and for
    a scan without signal.
    """
    chosen = _choose(scan, given) if method == "auto" else method
    if not (np.isfinite(scan.values).all() and scan.values.max() > scan.values.min()):
        raise InputError("brain mask: the scan is constant or not finite; allowed: finite values that vary")
    if chosen == "given":
        mask, facts = _given(scan, given)
    elif chosen == "template":
        mask, facts = _by_template(scan)
    else:
        mask, facts = _by_tool(scan, chosen)
    return Stripped(mask, chosen, facts | {"brain_ml": round(float(mask.sum()) * scan.voxel_ml, 1)})


def is_extracted(scan: Image) -> bool:
    """Whether the scan is brain-extracted: its non-zero voxels are brain-sized, among many zeros.

    A head whose air was set to 0 is larger: with scalp, skull and face it fills 2.5 l and more once its
    dark bone is filled in.
    """
    filled = _solid(scan.values != 0)
    ml = float(filled.sum()) * scan.voxel_ml
    box = filled[slicing.box(filled)] if filled.any() else filled
    sized = BRAIN_ML[0] <= ml <= BRAIN_ML[1] and float((~box).mean()) >= _EXTRACTED_ZERO
    return sized and edge_cut(filled) < _EXTRACTED_CUT


def edge_cut(mask: Array) -> float:
    """Area of ``mask`` on a face of the field of view over its largest area along that axis: the worst face.

    0 for a mask that ends inside; 1 for one cut at its widest.
    """
    shares = []
    for axis in range(3):
        area = mask.sum(tuple({0, 1, 2} - {axis}))
        shares.append(max(area[0], area[-1]) / max(area.max(), 1))
    return float(max(shares))


def _choose(scan: Image, given: Array | None) -> str:
    if given is not None or is_extracted(scan):
        return "given"
    return installed_tool()


def installed_tool() -> str:
    """The tool of ``auto`` for a head on this machine: HD-BET, SynthStrip or the template."""
    return next((name for name, command in _COMMANDS.items() if shutil.which(command)), "template")


def _given(scan: Image, given: Array | None) -> tuple[Array, dict[str, Any]]:
    if given is not None:
        return np.asarray(given) > 0, {"source": "mask"}
    return _filled(scan.values != 0), {"source": "voxels that differ from 0"}


def _by_tool(scan: Image, name: str) -> tuple[Array, dict[str, Any]]:
    """Run HD-BET 2 or SynthStrip on a copy of the scan and read the mask it writes."""
    import nibabel as nib

    program = shutil.which(_COMMANDS[name])
    if program is None:
        raise InputError(
            f"--brain-mask {name}: {_COMMANDS[name]} is not installed; install it, or use template"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "scan.nii.gz"), Path(folder, "out.nii.gz")
        nib.save(nib.Nifti1Image(scan.values.astype(np.float32), scan.affine), source)
        if name == "hd-bet":
            flags = ["-o", out, "-device", "cpu", "--disable_tta", "--save_bet_mask", "--no_bet_image"]
            written = Path(folder, "out_bet.nii.gz")
        else:
            flags, written = ["-m", out], out
        arguments = [str(part) for part in (program, "-i", source, *flags)]
        _call(name, arguments, folder)
        if not written.is_file():
            raise InputError(
                f"--brain-mask {name}: {program} wrote no mask; run it manually, or use template"
            )
        mask = np.asarray(nib.load(written).dataobj) > 0.5
    if mask.shape != scan.values.shape:
        raise InputError(f"--brain-mask {name}: its mask is {mask.shape}, the scan {scan.values.shape}")
    return mask, {"program": program, "flags": [str(flag) for flag in flags if str(flag)[:1] == "-"]}


def _call(name: str, arguments: list[str], folder: str) -> None:
    try:
        subprocess.run(
            arguments,
            cwd=folder,
            timeout=_TIMEOUT,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"--brain-mask {name}: not done within {_TIMEOUT:.0f} s; use template") from None
    except (subprocess.CalledProcessError, OSError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or ["no message"]
        raise InputError(f"--brain-mask {name}: {arguments[0]} failed: {lines[-1][:200]}") from None


@cache
def head_template() -> tuple[Image, Image]:
    """The head and, 0 to 1, its brain, on one 2 mm RAS grid."""
    import nibabel as nib

    head, brain = (nib.load(TEMPLATE / f"{name}.nii.gz") for name in ("head", "brain"))
    values = [np.asarray(image.dataobj, np.float32) for image in (head, brain)]
    return Image(values[0], head.affine), Image(values[1] / values[1].max(), head.affine)


def _by_template(scan: Image) -> tuple[Array, dict[str, Any]]:
    head, brain = head_template()
    work = _unbiased(working_head(scan))
    matrix = _align(work)
    prior = resample(brain, work, matrix, order=1)
    surface, refined = _guarded(work, prior)
    inside = resample(Image(surface, work.affine), scan, np.eye(4), order=1) > 0
    visible = resample(Image(np.ones(surface.shape), work.affine), scan, np.eye(4), order=1) > 0.5
    facts = {
        "template": "pydeface 2.1.0 head, 2 mm",
        "antspyx": version("antspyx"),
        "schedule": [list(part) for part in (_AFFINE.iterations, _AFFINE.shrink, _AFFINE.smooth)],
        "scan_to_template": matrix.tolist(),
        "similarity": round(similarity(work, head, matrix), 4),
        "correlation": round(correlation(work, matrix), 4),
        **refined,
    }
    return inside & visible, facts


def working_head(scan: Image) -> Image:
    """The head at 2 mm in RAS axes: clipped at p99, smoothed to the grid, cut 175 mm below its top."""
    from scipy.ndimage import gaussian_filter

    values = np.clip(scan.values.astype(np.float32), 0, None)
    values = np.minimum(values, np.percentile(values[values > 0], 99)) if values.any() else values
    sigma = np.sqrt(np.clip((SPACING / scan.spacing) ** 2 - 1, 0, None)) / 2.355  # widths add in squares
    like = _axis_aligned(scan)
    work = resample(Image(gaussian_filter(values, sigma), scan.affine), like, np.eye(4), order=1)
    head = _largest_opened(work > work.max() * 0.15)
    if not head.any():
        raise InputError("brain mask: no head is visible in the scan")
    top = int(np.flatnonzero(head.any((0, 1)))[-1])
    head[:, :, : max(0, top - int(_HEAD_MM / SPACING))] = False
    cut = tuple(slice(max(0, s.start - _MARGIN), s.stop + _MARGIN) for s in slicing.box(head))
    cut = (cut[0], cut[1], slice(max(0, top - int(_HEAD_MM / SPACING)), cut[2].stop))
    return Image(work, like.affine).cropped(cut)


def _axis_aligned(scan: Image) -> Image:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in scan.values.shape], [1])).reshape(4, -1)
    points = (scan.affine @ corners)[:3]
    low, high = points.min(1), points.max(1)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = low
    return Image(np.zeros(np.ceil((high - low) / SPACING).astype(int) + 1, np.float32), affine)


def _unbiased(work: Image) -> Image:
    """N4 (Tustison et al. 2010)."""
    ants = load_ants()
    return Image(ants.n4_bias_field_correction(to_ants(ants, work), **_N4).numpy(), work.affine)


def _align(work: Image) -> Array:
    """The affine from the best of several coarse starts, as a nodding head may reach a wrong optimum.

    They are compared inside the brain, as the contrast of head and air would dominate.
    """
    starts = [_pitched(work, degrees) for degrees in _TURNS]
    coarse = [_matrix(work, start, _COARSE) @ start @ np.linalg.inv(work.affine) for start in starts]
    start = starts[int(np.argmax([abs(correlation(work, matrix)) for matrix in coarse]))]
    return np.asarray(_matrix(work, start, _AFFINE) @ start @ np.linalg.inv(work.affine))


def _matrix(work: Image, start: Array, schedule: Schedule) -> Array:
    return register(Image(work.values, start), head_template()[0], "Affine", schedule)


def _pitched(work: Image, degrees: float) -> Array:
    """The affine of ``work`` turned about the left-right axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(0, degrees)
    return np.asarray(matrix @ work.affine)


def similarity(work: Image, head: Image, matrix: Array) -> float:
    """Normalised mutual information (Studholme et al. 1999), 1 to 2, over the visible head."""
    moved = resample(head, work, matrix, order=1)
    visible = (moved > 0.1 * head.values.max()) | (work.values > 0.15 * work.values.max())
    joint = np.histogram2d(work.values[visible], moved[visible], bins=_BINS)[0]
    return joint_information(joint / max(1, visible.sum()))


def correlation(work: Image, matrix: Array) -> float:
    """Correlation of a scan with the T1w template inside the template's brain; 0 where one is constant."""
    head, brain = head_template()
    voxels = np.argwhere(brain.values > 0.5)
    to_work = np.linalg.inv(matrix @ work.affine) @ head.affine
    positions = voxels @ to_work[:3, :3].T + to_work[:3, 3]
    visible = ((positions >= 0) & (positions <= np.array(work.values.shape) - 1)).all(1)
    inside = sample(work.values, positions[visible]), head.values[tuple(voxels[visible].T)]
    return float(np.corrcoef(*inside)[0, 1]) if all(part.size and np.ptp(part) for part in inside) else 0.0


def _guarded(work: Image, prior: Array) -> tuple[Array, dict[str, Any]]:
    """The refined surface (positive inside), or the template's own where the volume changes too much."""
    distance = _signed(prior > 0.5)
    if not (distance > 3 * SPACING).any():
        return distance, {"refined": False, "volume_change": 0.0}
    refined = refine(work.values, distance)
    change = float((refined > 0).sum() / (distance > 0).sum()) - 1
    kept = abs(change) <= _GUARD
    return (refined if kept else distance), {"refined": kept, "volume_change": round(change, 4)}


def refine(values: Array, distance: Array) -> Array:
    """Move the surface ``distance = 0`` (mm, positive inside) to where rim and shell separate best.

    Along each normal the evidence that a sample belongs to the rim (6 mm inside) rather than to the shell
    (6 mm outside) is summed, averaged with neighbours on the surface and combined with a Gaussian prior.
    Learnt from the scan itself, it works with any contrast. The mean shift is removed: T1w does not separate
    CSF from bone, so the template determines the volume and the scan the shape.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

    evidence = _evidence(gaussian_filter(values, 0.5), distance)
    smooth = gaussian_filter(distance, 1.0)
    near = np.abs(smooth) < SPACING
    points = np.argwhere(near)
    slope = np.stack([axis[near] for axis in np.gradient(-smooth)], 1)
    normal = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    shifts = np.arange(-_REACH, _REACH + 1) * _STEP
    total, weight = np.zeros(len(points)), _spread(near, np.ones(len(points)))
    score = np.empty((len(points), len(shifts)))
    for k, shift in enumerate(shifts):
        at = points + ((smooth[near] + shift) / SPACING)[:, None] * normal
        found = map_coordinates(evidence, at.T, order=1, mode="nearest") * _STEP
        score[:, k] = _GAIN * _spread(near, total + found / 2) / weight
        total += found
    score -= (shifts / _PRIOR) ** 2 / 2
    posterior = np.exp(score - score.max(1, keepdims=True))
    moved = (posterior @ shifts) / posterior.sum(1)
    field = np.zeros(values.shape)
    field[near] = moved - moved.mean()
    nearest = distance_transform_edt(~near, return_distances=False, return_indices=True)
    return np.asarray(smooth + gaussian_filter(field[tuple(nearest)], _SMOOTH / SPACING / 2))


def _spread(near: Array, values: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    volume = np.zeros(near.shape, np.float32)
    volume[near] = values
    return np.asarray(gaussian_filter(volume, _SMOOTH / SPACING, truncate=2.5)[near])


def _evidence(values: Array, distance: Array) -> Array:
    """Logarithm of the likelihood ratio of rim to shell for each voxel's intensity."""
    from scipy.ndimage import gaussian_filter1d

    high = 1.3 * np.percentile(values[distance > 3 * SPACING], 99.5)
    level = np.clip(values / max(high, 1e-12) * _BINS, 0, _BINS - 1).astype(int)
    shares = []
    for band in ((distance > 1) & (distance < 6), (distance < -2) & (distance > -6)):
        count = gaussian_filter1d(np.bincount(level[band], minlength=_BINS).astype(float), 1.0)
        shares.append(count / max(count.sum(), 1) + 2e-3)
    return np.asarray(np.clip(np.log(shares[0] / shares[1]), -2, 2)[level])


def _signed(mask: Array) -> Array:
    """Distance (mm) to the edge, positive inside."""
    from scipy.ndimage import distance_transform_edt

    inside, outside = (distance_transform_edt(part, sampling=SPACING) for part in (mask, ~mask))
    return np.asarray(inside - outside + np.where(mask, -SPACING / 2, SPACING / 2))


def _largest_opened(mask: Array) -> Array:
    from scipy.ndimage import binary_opening, label

    pieces, n = label(binary_opening(mask, iterations=2))
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if n else np.zeros_like(mask)


def _filled(mask: Array) -> Array:
    """Holes filled in space."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask))


def _solid(mask: Array) -> Array:
    """Holes filled slice by slice in every direction: skull and sinuses open outside somewhere."""
    from scipy.ndimage import binary_fill_holes

    filled = mask.copy()
    for axis in range(3):
        for plane in np.moveaxis(filled, axis, 0):
            plane |= binary_fill_holes(plane)
    return np.asarray(filled)
