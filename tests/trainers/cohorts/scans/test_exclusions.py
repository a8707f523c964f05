"""The table of exclusions: what a person writes stays, what a program notes is renewed."""

import csv
from pathlib import Path

import pytest

from trainers.cohorts.scans.exclusions import Exclusions
from trainers.cohorts.scans.visits import Visit
from trainers.errors import InputError

A, B, C = (
    Visit(f"sub-{name}", session, "64mT", None, None)
    for name, session in (("a", "ses-1"), ("b", ""), ("c", ""))
)


def table(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="") as stream:
        return {row["visit"]: (row["exclude"], row["reason"]) for row in csv.DictReader(stream)}


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_answers_are_of_visits_or_volunteers_in_any_spreadsheets_table(tmp_path: Path) -> None:
    lines = ("visit,exclude,note", "sub-a_ses-1_64mT,No,", "sub-a,yes,", " sub-b , YES ,x", "sub-c_64mT,,")
    exclusions = Exclusions.read(written(tmp_path / "e.csv", *lines))
    assert [exclusions.of(v) for v in (A, B, C)] == ["no", "yes", ""]
    later = Visit("sub-a", "ses-2", "3T", None, None)
    assert exclusions.of(later) == "yes"
    assert Exclusions.read(tmp_path / "none.csv").of(A) == ""
    # With a byte order mark, Windows' line ends, other columns and another order.
    path = tmp_path / "e.csv"
    path.write_bytes("\ufeffexclude,who,visit\r\nyes,me,sub-b\r\nno\r\n".encode())
    assert Exclusions.read(path).of(B) == "yes"
    for lines in ((f"{A.id},yes", f"{A.id},"), (f"{A.id},", f"{A.id},yes")):
        assert Exclusions.read(written(tmp_path / "e.csv", "visit,exclude", *lines)).of(A) == "yes"


def test_edits_and_rows_of_absent_visits_survive_a_run_and_reasons_are_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "e.csv"
    Exclusions.read(path).write(path, [B, A], {A.id: "flagged: no brain, perhaps", B.id: "corrupt"})
    assert table(path) == {A.id: ("", "flagged: no brain, perhaps"), B.id: ("", "corrupt")}
    lines = path.read_text().splitlines()
    assert lines[0] == "visit,exclude,reason,note" and lines[1:] == sorted(lines[1:])

    path.write_text(path.read_text().replace(f"{A.id},,", f"{A.id},no,") + "sub-c,yes,,moved\n")
    Exclusions.read(path).write(path, [A, B, C], {C.id: "excluded by hand"})
    kept = {A.id: ("no", ""), B.id: ("", ""), "sub-c": ("yes", ""), C.id: ("", "excluded by hand")}
    assert table(path) == kept and "sub-c,yes,,moved" in path.read_text()
    before = path.read_bytes()
    Exclusions.read(path).write(path, [C, B, A], {C.id: "excluded by hand"})
    assert path.read_bytes() == before
    path = written(tmp_path / "e.csv", "visit,exclude", f"{A.id},yes")
    Exclusions.read(path).write(path, [B], {})
    assert table(path)[A.id][0] == "yes"


@pytest.mark.parametrize(
    "lines, message",
    [
        (("visit,exclude", "sub-a,no", "sub-b,maybe"), "line 3: exclude: 'maybe' is not allowed"),
        (("visit,exclude", "sub-a,yes", "", "sub-a,no"), "line 4: sub-a is 'yes' in a line above"),
        (
            ("visit;exclude", "sub-a;no"),
            "has columns ['visit;exclude']; allowed: visit, exclude, reason, note",
        ),
        (("",), "has columns"),
    ],
)
def test_a_wrong_table_is_an_error_with_its_line(
    lines: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "e.csv", *lines)
    with pytest.raises(InputError) as caught:
        Exclusions.read(path)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_answers_about_unknown_visits_and_other_encodings_are_errors(tmp_path: Path) -> None:
    for name in (A.id.replace("64mT", "64MT"), f"{A.id}_x", "sub-nobody"):
        path = written(tmp_path / "e.csv", "visit,exclude", f"{name},yes", f"{A.subject},no")
        message = f"visit: '{name}' is not there; .*allowed: a visit or a volunteer"
        with pytest.raises(InputError, match=message):
            Exclusions.read(path).require_known(path, [A, B])
    path = written(tmp_path / "e.csv", "visit,exclude", "sub-nobody,", f"{A.subject},no", f"{B.id},yes")
    Exclusions.read(path).require_known(path, [A, B])
    path = tmp_path / "e.csv"
    path.write_bytes("visit,exclude\nsub-a,yes\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"cannot be read .*; allowed: a table in UTF-8"):
        Exclusions.read(path)
