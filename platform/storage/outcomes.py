"""``files.csv`` of a translated BIDS folder: what each file was used for or why not, over all calls.

Each call knows the outcome of its own visits; those of other visits are as earlier calls left them. Names are
below the BIDS folder: no file of the data set holds a path of this machine.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from platform.storage import data_set

from trainers.cohorts.scans import tables
from trainers.cohorts.scans.eligibility import Left
from trainers.cohorts.scans.listing import write_listing
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError

LISTING = "files.csv"
NOT_REQUESTED = "not requested"
UNFINISHED = "its call ended before it was translated"
HIGH = "a 3 T scan"


def record(root: Path, source: Path, selection: Selection, outcomes: Mapping[str, str]) -> None:
    """Add the outcomes of a call: by visit why it was not translated, empty if it was.

    Several processes may call it at once. Raises InputError for a table that cannot be read or written.
    """
    path = root / LISTING
    with data_set.writing("--output", root), data_set.locked(root):
        known = {**earlier(path), **outcomes}
        low = [visit for visit in selection.visits if visit.domain != "3T"]
        high = [scan for visit in selection.visits if visit.domain == "3T" for scan in _files(visit)]
        visits = [_shown(v, source, root, known.get(v.id, NOT_REQUESTED)) for v in low]
        left = [
            replace(each, path=_below(each.path, source), reason=without(each.reason, source, root))
            for each in (*selection.left, *(Left(scan, HIGH) for scan in high))
        ]
        write_listing(path, Selection(visits, left))


def earlier(path: Path) -> dict[str, str]:
    """By visit of a listing, why it was not translated, empty if it was; no visit without a listing."""
    if not path.is_file():
        return {}
    table = tables.read(path)
    if missing := {"visit", "reason"} - set(table.columns):
        raise InputError(f"{path}: has no column {min(missing)}; allowed: a list of `translate`")
    return {row["visit"]: row["reason"] for _, row in table.rows if row["visit"]}


def without(text: str, *folders: Path) -> str:
    """The text with what it names in the folders relative to them."""
    forms = {str(form) for folder in folders for form in (folder.resolve(), folder.absolute(), folder)}
    for form in sorted(forms - {".", "/"}, key=len, reverse=True):
        whole = r"|(?![\w.-])" if Path(form).is_absolute() else ""  # a relative one may be a word
        pattern = rf"(?<![\w/.-]){re.escape(form)}(?:(/){whole})"
        text = re.sub(pattern, lambda found: "" if found[1] else "...", text)
    return text


def _shown(visit: Visit, source: Path, root: Path, reason: str) -> Visit:
    files = {c: _below(path, source) for c, path in visit.scans.items()}
    mask = visit.mask and _below(visit.mask, source)
    problem = without(reason, source, root)
    views = tuple((c, _below(path, source)) for c, path in visit.views)
    return replace(visit, t1=files.get("T1"), t2=files.get("T2"), mask=mask, problem=problem, views=views)


def _files(visit: Visit) -> list[Path]:
    return [*visit.scans.values(), *([visit.mask] if visit.mask else [])]


def _below(path: Path, source: Path) -> Path:
    return path.relative_to(source)
