"""Translated scans, as their sidecars tell; and the text for a methods section about them.

A sidecar may be damaged, or another program's.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.translation import derivatives
from typing import Any

from trainers import VERSION
from trainers.cohorts.scans import user_files
from trainers.errors import InputError

RELATIVE = {
    "through_plane_change": "through-plane change (1: the input's)",
    "slice_shift": "slice shift (1: the input's)",
}
"""Measures of consistency."""
CHECKED = {"standing_out": "regions that stand out", "median_contrast_kept": "their contrast kept (median)"}
"""Measures of ``--check``."""
BRAINS = {"given": "a given mask or brain-extracted scan", "template": "registration of a template"}
"""How brains were found, in words; tools go by their names."""


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
    views: tuple[str, ...] = ()
    """The planes of scans that were fused; empty for a single scan."""

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
    figures |= {name: facts["check"].get(key) for key, name in CHECKED.items()} if "check" in facts else {}
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
        views=tuple(str(view) for view in facts.get("views", ())),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_identity(matrix: Any) -> bool:
    return [list(row) for row in matrix] == [[float(i == j) for j in range(4)] for i in range(4)]


def methods(scans: Sequence[tuple[str, Scan]], refused: int, listing: str) -> str:
    """Of scans, each with its visit's name; where they differ, every way with its number of scans."""
    if not scans:
        return f"# Methods\n\nNo scan was translated; {listing} has the reasons.\n"
    found = [scan for _, scan in scans]
    visits = {visit for visit, _ in scans}
    subjects = {visit.split("_")[0] for visit in visits}
    how_many = f"{_n(len(scans), 'scan')} of {_n(len(visits), 'visit')} of {_n(len(subjects), 'subject')}"
    programs = _counted(scan.program or "an earlier mri-translator-search" for scan in found)
    sentences = [
        f"{how_many}, acquired at about 64 mT, were translated to resemble 3 T by {programs} with "
        f"{_counted(scan.model for scan in found)}.",
        _refused(refused, listing),
        f"Brains were found by: {_counted(BRAINS.get(scan.brain_mask, scan.brain_mask) for scan in found)}.",
        _registration(scans),
        f"Intensities: {_counted(scan.normalisation for scan in found)}.",
        _slices(found),
        _uncertainty(found),
        _warnings(scans),
        "The images are synthetic: for research only, not for diagnosis.",
        f"Software: {_software(found)}; this text by mri-translator-search {VERSION}.",
    ]
    return "# Methods\n\n" + "\n".join(sentence for sentence in sentences if sentence) + "\n"


def _refused(count: int, listing: str) -> str:
    were = "was" if count == 1 else "were"
    return f"{_n(count, 'visit')} {were} not translated ({listing} has the reasons)." if count else ""


def _registration(scans: Sequence[tuple[str, Scan]]) -> str:
    """By visits of two contrasts, as a visit of one has none."""
    by_visit = {visit: scan.registered for visit, scan in scans if scan.registered is not None}
    moved = sum(by_visit.values())
    lines = [f"T2 was registered to T1 rigidly (ANTs, Mattes mutual information) in {_n(moved, 'visit')}."]
    lines = lines if moved else []
    if still := len(by_visit) - moved:
        given = "T2 and T1 were brain-extracted on one grid, which counts as registered"
        lines.append(f"{given}, in {_n(still, 'visit')}.")
    return " ".join(lines)


def _slices(scans: Sequence[Scan]) -> str:
    """How slices became volumes; of one view, or of several."""
    several = [", ".join(scan.views) for scan in scans if scan.views]
    alone = (
        "Axial slices were translated with one latent for all slices of a scan, where the model has one, and "
        "each result was resampled to the grid of its own scan."
    )
    fused = (
        f"Scans in several planes ({_counted(several)}) were registered rigidly, each was "
        "translated in slices of its own plane, and the results were fused by iterative "
        "back-projection on an isotropic grid; their contrast is the fused translations', their detail the "
        "fused scans' (guided filter)."
    )
    kinds = {alone: len(several) < len(scans), fused: bool(several)}
    return " ".join(sentence for sentence, is_true in kinds.items() if is_true)


def _uncertainty(scans: Iterable[Scan]) -> str:
    draws = [f"{scan.draws} draws" for scan in scans if scan.draws > 1]
    if not draws:
        return ""
    what = "Uncertainty is the standard deviation over draws of the model's latent"
    return f"{what}: {_counted(draws, always=True)}."


def _warnings(scans: Sequence[tuple[str, Scan]]) -> str:
    warned = len({visit for visit, scan in scans if scan.warnings})
    return f"{_n(warned, 'visit')} {'has' if warned == 1 else 'have'} warnings." if warned else ""


def _software(scans: Iterable[Scan]) -> str:
    """``numpy 2.3.4 and 2.4.0, scipy 1.16``."""
    versions: dict[str, set[str]] = defaultdict(set)
    for name, _, version in (each.partition(" ") for scan in scans for each in scan.software):
        versions[name].add(version)
    return ", ".join(f"{name} {' and '.join(sorted(versions[name]))}" for name in sorted(versions))


def _counted(names: Iterable[str], always: bool = False) -> str:
    """``template, 12 scans; given, 2 scans``; a single one without its count, unless ``always``."""
    counts = Counter(names)
    if len(counts) == 1 and not always:
        return next(iter(counts))
    return "; ".join(f"{name}, {_n(n, 'scan')}" for name, n in counts.most_common())


def _n(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
