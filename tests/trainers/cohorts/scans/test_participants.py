"""``participants.tsv``: whose split it gives, and what of it is listed or refused; tables as such."""

import re
from pathlib import Path

import pytest

from trainers.cohorts.scans import participants, tables
from trainers.errors import InputError

SUBJECTS = {f"sub-0{i}" for i in range(1, 5)}


def written(folder: Path, *lines: str) -> Path:
    path = folder / "participants.tsv"
    path.write_text("\n".join(lines).replace(" ", "\t") + "\n")
    return path


def test_ids_have_a_prefix_or_not_and_who_does_not_match_is_listed(tmp_path: Path) -> None:
    path = written(
        tmp_path, "participant_id age split", "01 30 test", "sub-02 40 n/a", "sub-03 50 ", "9 1 val"
    )
    splits, notes = participants.splits(path, SUBJECTS)
    assert splits == {"sub-01": "test", "sub-9": "val"}
    nobody, without = f"{path}: rows of nobody who has scans here: sub-9", f"{path}: without a row: sub-04"
    assert notes == [nobody, without]
    written(tmp_path, "participant_id split", "01 val", "sub-01 n/a", "sub-01 val", "02 ", "03 ", "04 test")
    assert participants.splits(path, SUBJECTS) == ({"sub-01": "val", "sub-04": "test"}, [])
    written(tmp_path, "participant_id age", "01 3")
    assert participants.splits(path, SUBJECTS) == ({}, [f"{path}: has no column split, so splits are drawn"])
    many = {f"sub-{i}" for i in range(100, 200)}
    notes = participants.splits(written(tmp_path, "participant_id split", "100 val"), many)[1]
    assert notes == [f"{path}: without a row: sub-101, sub-102, sub-103, sub-104, sub-105, 94 more"]
    head = written(tmp_path, "participant_id split")
    assert participants.splits(head, SUBJECTS) == ({}, [f"{head}: has no row below its header"])
    assert participants.splits(tmp_path / "absent.tsv", SUBJECTS) == ({}, [])


WRONG = {
    ("name split", "sub-01 test"): "has no column participant_id; allowed: participant_id and split",
    ("participant_id split", "01 val", "sub-01 test"): "line 3: sub-01 is in val (line 2) and in test",
    ("participant_id split", "01 dev"): "line 2: split: 'dev' is not allowed; allowed: train, val, test, n/a",
    ("participant_id split", " val"): "line 2: participant_id is empty",
    ("participant_id split", "P1 val", "P2 test"): "participant_id: none of sub-P1, sub-P2 has scans here",
    ("participant_id split split", "01 val val"): "column 'split' is there twice; allowed: once",
    (
        "participant_id split",
        "01 val",
        '02 "val',
        "03 test",
    ): "line 3: unexpected end of data; allowed: quotes",
    (
        "participant_id split_of_data",
        "01 val",
    ): "column 'split_of_data' is not known; allowed: split",
    (
        "participant_id Split split",
        "01 val test",
    ): "has participant_id or split twice, in two cases; allowed: once",
    ("participant_id,split", "01,val"): "has cells separated by ','; allowed: tabs",
    ("participant_id split", "01 val more"): "line 2: has 3 cells; allowed: as many as columns, 2",
}


@pytest.mark.parametrize("lines", WRONG)
def test_a_wrong_table_is_one_line(lines: tuple[str, ...], tmp_path: Path) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(InputError, match=re.escape(f"{path}: {WRONG[lines]}")) as error:
        participants.splits(path, SUBJECTS)
    assert "\n" not in str(error.value)


def test_cells_are_stripped_and_what_spreadsheets_add_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes('\ufeffa, b,,\r\n1 ,"x\ny",,\r\n,,,\r\n2\r\n'.encode())
    table = tables.read(path)
    assert table.columns == ["a", "b"]
    assert table.rows == [(2, {"a": "1", "b": "x\ny"}), (5, {"a": "2", "b": ""})]
    path.write_bytes(b"a\xff")
    with pytest.raises(InputError, match=r"cannot be read \(UnicodeDecodeError\); allowed: a table in UTF-8"):
        tables.read(path)
