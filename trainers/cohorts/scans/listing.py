"""What was chosen of the files of a source, and what was left, as a table and in a few lines."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainers.cohorts.scans.visits import Selection
from trainers.cohorts.scans.wording import shown
from trainers.files import write_text

COLUMNS = ("file", "visit", "used", "reason")


def write_listing(path: Path, selection: Selection) -> None:
    """A row for every file of a selection: the visit that uses it and as what, or why none does."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(sorted(_rows(selection)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, stream.getvalue())


def left_in_words(kinds: Iterable[str]) -> str:
    """``3 files are not used: 2 a localizer, 1 another view``; empty without any."""
    counts = Counter(kinds)
    if not counts:
        return ""
    total = sum(counts.values())
    each = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    return f"{total} file{'s are' if total > 1 else ' is'} not used: {each}"


def _rows(selection: Selection) -> Iterator[tuple[str, str, str, str]]:
    left = {each.path for each in selection.left}
    for visit in selection.visits:
        if visit.problem and not visit.scans:
            yield "", visit.id, "", visit.problem
        for kind, path in {**visit.scans, "mask": visit.mask}.items():
            if path:
                yield shown(path), visit.id, "" if visit.problem else kind, visit.problem
        for kind, path in visit.views:
            if path not in left:
                yield shown(path), visit.id, "" if visit.problem else kind, visit.problem
    for each in selection.left:
        yield shown(each.path), "", "", ": ".join(part for part in (each.kind, each.reason) if part)
