"""A translated scan, as its sidecar tells; the sidecar may be damaged, or another program's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from platform.models import derivatives
from typing import Any

from trainers.cohorts.scans import user_files
from trainers.errors import InputError

RELATIVE = {
    "through_plane_change": "through-plane change (1: the input's)",
    "slice_shift": "slice shift (1: the input's)",
}
"""Measures of consistency."""


@dataclass(frozen=True)
class Scan:
    """One output of ``translate``."""

    name: str
    """Its file's, without the ending."""
    model: str
    """As ``models:/asp_dmd@champion (3; unsb, 5 steps)``."""
    program: str
    """With its version; empty for outputs from before it was kept."""
    normalisation: str
    brain_mask: str
    registered: bool | None
    """Whether a second contrast was registered to the first; None without one."""
    draws: int
    """Of the latent, for a map of uncertainty; 1: there is none."""
    software: tuple[str, ...]
    """As ``numpy 2.3.4``."""
    warnings: tuple[str, ...]
    figures: Mapping[str, float]
    """What was measured, by what it is and its unit."""
    seconds: float

    @property
    def contrast(self) -> str:
        """``T1w`` or ``T2w``."""
        return self.name.rpartition("_")[2]


def read(path: Path) -> Scan:
    """The scan of a sidecar; raises InputError for a damaged one, and for that of another program."""
    content = user_files.read_json(path)
    spread = path.with_name(path.name.replace(derivatives.ENHANCED, derivatives.UNCERTAINTY))
    try:
        return _scan(path.stem, content, has_spread=spread.is_file())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: is no sidecar of `translate` ({error.__class__.__name__}: {error}); allowed: its own"
        ) from None


def _scan(name: str, facts: Mapping[str, Any], has_spread: bool) -> Scan:
    steps, preparation = int(facts["steps"]), facts["preprocessing"]
    how = f"{facts['method']}, {steps} step{'s' * (steps != 1)}"
    moved = [matrix for contrast, matrix in preparation["to_scan"].items()][1:]
    figures = {RELATIVE[key]: facts["consistency"].get(key) for key in RELATIVE}
    figures |= {f"PSNR of the {key} (dB)": value for key, value in facts["psnr_db"].items()}
    return Scan(
        name=name,
        model=f"{facts['model']} ({facts['version']}; {how})",
        program=str(facts.get("program", "")),
        normalisation=str(facts["normalisation"]),
        brain_mask=str(preparation["brain_mask"]),
        registered=not all(_is_identity(matrix) for matrix in moved) if moved else None,
        draws=int(facts["draws"]) if has_spread else 1,
        software=tuple(str(each) for each in facts["software"]),
        warnings=tuple(str(line) for line in facts["warnings"]),
        figures={key: float(value) for key, value in figures.items() if _is_number(value)},
        seconds=float(facts["seconds"]),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_identity(matrix: Any) -> bool:
    return [list(row) for row in matrix] == [[float(i == j) for j in range(4)] for i in range(4)]
