"""Paths that move with their folder."""

from pathlib import Path
from platform.storage.movable import found, kept


def test_a_path_within_a_folder_moves_with_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        (folder / "trials" / "3").mkdir(parents=True)
    assert kept(old, old / "trials" / "3") == "trials/3"
    assert found(new, kept(old, old / "trials" / "3")) == new / "trials" / "3"
    assert found(new, kept(old, old / "missing")) == new / "missing"


def test_an_absolute_path_of_an_earlier_version_is_looked_for_where_the_folder_is_now(tmp_path: Path) -> None:
    here, there = tmp_path / "new", tmp_path / "else"
    (here / "confirm" / "trials" / "3").mkdir(parents=True)
    (here / "trials" / "3").mkdir(parents=True)
    assert found(here, "/gone/study/confirm/trials/3") == here / "confirm" / "trials" / "3"
    assert found(here, "/gone/study/trials/3") == here / "trials" / "3"
    assert found(here, "/gone/4") == Path("/gone/4")
    there.mkdir()
    assert found(here, kept(here, there)) == there
