"""Whose a folder is, and what of a user's is kept in an own data set."""

import json
from pathlib import Path
from platform.storage import data_set
from typing import Any

import pytest

from trainers.errors import InputError

OWN = [{"Name": data_set.GENERATOR}]


@pytest.mark.parametrize("kind", ["raw", "derivative"])
@pytest.mark.parametrize(
    ("description", "files", "is_own"),
    [
        (None, [], True),
        (None, ["notes.txt"], True),
        (None, ["README.md"], False),
        (None, ["table.tsv"], False),
        (None, ["sub-01/anat/sub-01_T1w.nii.gz"], False),
        ({"GeneratedBy": OWN, "DatasetType": "raw"}, ["README.md", "sub-01/x"], "raw"),
        ({"GeneratedBy": OWN, "DatasetType": "derivative"}, ["table.tsv"], "derivative"),
        ({"Name": "of a user", "DatasetType": "raw"}, [], False),
        ({"GeneratedBy": [{"Name": "fMRIPrep"}], "DatasetType": "derivative"}, [], False),
        ({"GeneratedBy": None}, [], False),
        ([], [], False),
        ("{", [], False),
    ],
)
def test_a_folder_of_something_else_is_refused(
    kind: Any, description: Any, files: list[str], is_own: bool | str, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if description is not None:
        text = description if isinstance(description, str) else json.dumps(description)
        (tmp_path / "dataset_description.json").write_text(text)
    if is_own in (True, kind):
        data_set.require_own("-o", tmp_path, kind, ["table.tsv"])
    else:
        with pytest.raises(InputError, match=r"^-o: .* is another data set.*; allowed: "):
            data_set.require_own("-o", tmp_path, kind, ["table.tsv"])


def test_what_a_user_adds_to_description_and_text_is_kept(tmp_path: Path) -> None:
    data_set.describe(tmp_path, "raw", "a name", "a text")
    path = tmp_path / "dataset_description.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "Name": "ours", "License": "CC0"}))
    (tmp_path / "README.md").write_text("changed")
    data_set.describe(tmp_path, "raw", "a name", "a text", More=1)
    found = json.loads(path.read_text())
    assert (found["Name"], found["License"], found["More"]) == ("ours", "CC0", 1)
    assert (tmp_path / "README.md").read_text() == "changed"
    data_set.require_own("-o", tmp_path, "raw")
