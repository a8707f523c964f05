"""Affines, displacements and empty files of test scans."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from trainers.data.arrays import Array

ORIENTATIONS = ["RAS", "LPS", "LAS", "RPI", "ASR", "PIL", "SRA", "IPL"]


def axes(code: str, spacing: tuple[float, float, float]) -> Array:
    """4x4, no origin: axes point to the letters of ``code``, ``spacing`` mm along R-L, A-P and S-I."""
    affine = np.diag([0.0, 0, 0, 1])
    for axis, letter in enumerate(code):
        row = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = spacing[row] if letter in "RAS" else -spacing[row]
    return affine


def displacement(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> Array:
    """4x4: rotations about x, y and z, then a shift in mm."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    move[:3, 3] = shift
    return move


def dice(a: Array, b: Array) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def lay(folder: Path, *names: str) -> Path:
    """Empty files below ``folder``."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
