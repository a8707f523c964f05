"""The one table in which a person keeps visits out of a cohort, or lets flagged ones in."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainers.cohorts import tables
from trainers.cohorts.visits import Visit
from trainers.errors import InputError

COLUMNS = ("visit", "exclude", "note")
ANSWERS = ("yes", "no", "")


@dataclass(frozen=True)
class Exclusions:
    """What the table says: ``yes`` keeps a visit out, ``no`` lets a flagged one in, empty leaves it open."""

    answers: Mapping[str, str]
    """By visit (``sub-0011_ses-01_64mT``) or by volunteer (``sub-0011``)."""

    @classmethod
    def read(cls, path: Path) -> "Exclusions":
        """The table at ``path``, empty where there is none; raises InputError that names the line."""
        if not path.is_file():
            return cls({})
        rows = tables.rows(path)
        if not {"visit", "exclude"} <= set(rows.fieldnames or ()):
            raise InputError(f"{path}: has columns {rows.fieldnames}; allowed: {', '.join(COLUMNS)}")
        answers: dict[str, str] = {}
        for row in rows:
            answer = (row["exclude"] or "").strip().lower()
            if answer not in ANSWERS:
                place = f"{path}: line {rows.line_num}: exclude"
                raise InputError(f"{place}: {answer!r} is not allowed; allowed: yes, no or empty")
            name = (row["visit"] or "").strip()
            if {answer, before := answers.get(name, "")} == {"yes", "no"}:
                told = f"{name} is {before!r} in a line above and {answer!r} here"
                raise InputError(f"{path}: line {rows.line_num}: {told}; allowed: one answer")
            answers[name] = answer or before
        return cls(answers)

    def of(self, visit: Visit) -> str:
        """``yes``, ``no`` or nothing."""
        return self.answers.get(visit.id) or self.answers.get(visit.subject, "")

    def write(self, path: Path, visits: Iterable[Visit], notes: Mapping[str, str]) -> None:
        """The table anew: every visit with its answer and what was noted of it; other rows stay."""
        lines = {visit.id: (self.answers.get(visit.id, ""), notes.get(visit.id, "")) for visit in visits}
        lines |= {name: (answer, "") for name, answer in self.answers.items() if name not in lines}
        stream = io.StringIO()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((name, *rest) for name, rest in sorted(lines.items()))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stream.getvalue(), "utf-8")
