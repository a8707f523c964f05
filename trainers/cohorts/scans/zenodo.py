"""Leiden's 64 mT scans of 65 volunteers, 11 of them at 3 T too: DOI 10.5281/zenodo.15374449 (DATA.md A1).

The names resemble BIDS but do not follow it (``sub-0011_ses-01_run-2_T1w_acq-localizer.nii.gz``). Subject,
session, run, resolution and contrast are recognised in any order, case and separator.

There is no list of paired volunteers: one with visits in both domains is paired.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainers.cohorts.scans.visits import Visit, files_below
from trainers.errors import InputError

DOMAIN_PATTERNS: dict[str, re.Pattern[str]] = {
    "64mT": re.compile(r"(?<![a-z0-9.])64[-_ ]?mt(?![a-z0-9])", re.IGNORECASE),
    "3T": re.compile(r"(?<![a-z0-9.])3(?:\.0)?[-_ ]?t(?![a-z0-9])", re.IGNORECASE),
}
SUBJECT = re.compile(r"(?<![a-z0-9])sub(?:[-_ ]|(?=\d))([a-z0-9]+)", re.IGNORECASE)
SESSION = re.compile(r"(?<![a-z0-9])ses(?:[-_ ]|(?=\d))([a-z0-9]+)", re.IGNORECASE)
RUN = re.compile(r"(?<![a-z0-9])run[-_ ]?(\d+)", re.IGNORECASE)
CONTRAST = re.compile(r"(?<![a-z0-9])(t[12])w?(?![a-z0-9])", re.IGNORECASE)
RESOLUTIONS = (re.compile(r"low[-_ ]?res", re.IGNORECASE), re.compile(r"hi(?:gh)?[-_ ]?res", re.IGNORECASE))
OTHER = re.compile(r"(?<![a-z])(?:locali[sz]er|scout|dwi|adc|flair|mask|derivatives)(?![a-z])", re.IGNORECASE)
NIFTI = re.compile(r".+\.nii(?:\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class ScanName:
    """The information in the path of one file."""

    subject: str
    session: str
    domain: str
    contrast: str
    rank: tuple[int, int]
    """Resolution (highres above unnamed above lowres), then run: of several the highest is taken."""


def parse(name: str) -> ScanName | None:
    """The T1w or T2w scan that a path below the archive's root names, None for any other file."""
    parts = PurePosixPath(name).parts
    if (
        not parts
        or not NIFTI.fullmatch(parts[-1])
        or any(_is_hidden(part) or OTHER.search(part) for part in parts)
    ):
        return None
    subject, contrast, domain = _nearest(SUBJECT, parts), CONTRAST.search(parts[-1]), _domain(parts)
    if subject is None or contrast is None or domain is None:
        return None
    low, high = (bool(resolution.search(parts[-1])) for resolution in RESOLUTIONS)
    run = RUN.search(parts[-1])
    rank = (high - low, int(run[1]) if run else 0)
    session = _nearest(SESSION, parts)
    return ScanName(f"sub-{subject}", f"ses-{session}" if session else "", domain, contrast[1].upper(), rank)


def wanted(name: str) -> bool:
    """Whether a member of the archive is a scan, or describes the data set."""
    described = name.lower().endswith((".json", ".tsv")) and not any(map(_is_hidden, name.split("/")))
    return described or parse(name) is not None


def visits(folder: Path) -> list[Visit]:
    """All visits found anywhere below ``folder``, by volunteer; a contrast may be missing (None).

    A visit is a scanning session at 64 mT (a volunteer has several), or the one at 3 T. Of several runs of a
    contrast the highest number is taken, as a scan is repeated when the one before it failed; at 3 T
    ``acq-highres`` comes before ``acq-lowres``. Raises InputError where nothing is found.
    """
    found: defaultdict[tuple[str, str, str], dict[str, tuple[tuple[int, int], Path]]] = defaultdict(dict)
    for path, scan in _scans(folder):
        scans = found[scan.subject, scan.session, scan.domain]
        scans[scan.contrast] = max(scans.get(scan.contrast, (scan.rank, path)), (scan.rank, path))
    if not found:
        looked_for = (
            "'64mT data/sub-0001/ses-01/anat/..._T1w.nii.gz' or '3T data/sub-0001/anat/..._T2w.nii.gz'"
        )
        raise InputError(f"{folder}: no scans as {looked_for}; allowed: the folder of the Zenodo archive")
    paths = {key: {contrast: path for contrast, (_, path) in scans.items()} for key, scans in found.items()}
    return sorted(Visit(*key, scans.get("T1"), scans.get("T2")) for key, scans in paths.items())


def _scans(folder: Path) -> Iterator[tuple[Path, ScanName]]:
    for path in files_below(folder):
        scan = parse(path.relative_to(folder).as_posix())
        if scan is not None and path.is_file():
            yield path, scan


def _nearest(pattern: re.Pattern[str], parts: tuple[str, ...]) -> str | None:
    """The match in the part of the path nearest to the file, in lower case."""
    found = (pattern.search(part) for part in reversed(parts))
    return next((match[1].lower() for match in found if match), None)


def _domain(parts: tuple[str, ...]) -> str | None:
    """The domain in the nearest part that names exactly one: the archive's own name has both."""
    for part in reversed(parts):
        named = [domain for domain, field in DOMAIN_PATTERNS.items() if field.search(part)]
        if len(named) == 1:
            return named[0]
    return None


def _is_hidden(part: str) -> bool:
    """Hidden files, and those that macOS adds to a zip."""
    return part.startswith(".") or part == "__MACOSX"
