"""The text for a methods section about translated scans: what was done, with which versions, to how many."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from platform.models.translated import Scan

from trainers import VERSION

BRAINS = {"given": "a given mask or brain-extracted scan", "template": "registration of a template"}
"""How brains were found, in words; tools go by their names."""


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
        "Axial slices were translated with one latent for all slices of a scan, where the model has one, and "
        "each result was resampled to the grid of its own scan.",
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
