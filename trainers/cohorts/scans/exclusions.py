"""The table in which a person excludes visits from a cohort, or includes flagged ones."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainers.cohorts.scans import tables
from trainers.cohorts.scans.visits import Visit
from trainers.config import suggest
from trainers.errors import InputError
from trainers.files import write_text

COLUMNS = ("visit", "exclude", "reason", "note")
"""``reason`` is rewritten in each run; ``note`` is the person's and is kept."""
ANSWERS = ("yes", "no", "")


@dataclass(frozen=True)
class Exclusions:
    """The table: ``yes`` excludes a visit, ``no`` includes a flagged one, empty is undecided."""

    answers: Mapping[str, str]
    """By visit (``sub-0011_ses-01_64mT``) or by volunteer (``sub-0011``)."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """The person's notes, by the same names."""

    @classmethod
    def read(cls, path: Path) -> "Exclusions":
        """The table at ``path``, empty where there is none; raises InputError that names the line."""
        if not path.is_file():
            return cls({})
        table = tables.read(path)
        if not {"visit", "exclude"} <= set(table.columns):
            raise InputError(f"{path}: has columns {list(table.columns)}; allowed: {', '.join(COLUMNS)}")
        answers: dict[str, str] = {}
        notes: dict[str, str] = {}
        for at, row in table.rows:
            answer = row["exclude"].lower()
            if answer not in ANSWERS:
                line = f"{path}: line {at}: exclude"
                raise InputError(f"{line}: {answer!r} is not allowed; allowed: yes, no or empty")
            name = row["visit"]
            if {answer, before := answers.get(name, "")} == {"yes", "no"}:
                message = f"{name} is {before!r} in a line above and {answer!r} here"
                raise InputError(f"{path}: line {at}: {message}; allowed: one answer")
            answers[name] = answer or before
            notes[name] = row.get("note", "") or notes.get(name, "")
        return cls(answers, notes)

    def require_known(self, path: Path, visits: Iterable[Visit]) -> None:
        """Raises InputError for an answer about an unknown visit or volunteer."""
        known = {name for visit in visits for name in (visit.id, visit.subject)}
        for name, answer in self.answers.items():
            if answer and name not in known:
                near = suggest(name, tuple(sorted(known)))
                raise InputError(
                    f"{path}: visit: {name!r} is not there; {near}allowed: a visit or a volunteer"
                )

    def of(self, visit: Visit) -> str:
        """``yes``, ``no`` or empty."""
        return self.answers.get(visit.id) or self.answers.get(visit.subject, "")

    def write(self, path: Path, visits: Iterable[Visit], reasons: Mapping[str, str]) -> None:
        """Write the table: every visit with its answer, reason of exclusion and note; other rows are kept."""
        names = [visit.id for visit in visits]
        names += [name for name in self.answers if name not in names]
        lines = {n: (self.answers.get(n, ""), reasons.get(n, ""), self.notes.get(n, "")) for n in names}
        stream = io.StringIO()
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((name, *rest) for name, rest in sorted(lines.items()))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, stream.getvalue())
