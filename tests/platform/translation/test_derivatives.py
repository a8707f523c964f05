"""The derivative data set of translate: its source, and outputs of earlier calls."""

import json
from pathlib import Path
from platform.translation import derivatives

import pytest

from trainers.errors import InputError


@pytest.mark.parametrize(
    ("place", "described", "link"),
    [
        ("bids/derivatives/x", True, "../.."),
        ("Jane Doe/out", True, "urn:sha256:"),
        ("Jane Doe/out", False, None),
    ],
)
def test_the_source_is_linked_without_naming_a_folder(
    place: str, described: bool, link: str | None, tmp_path: Path
) -> None:
    (tmp_path / "bids").mkdir()
    if described:
        (tmp_path / "bids/dataset_description.json").write_text("{}")
    out = tmp_path / place
    derivatives.describe(out, tmp_path / "bids")
    derivatives.describe(out, None)  # scans given by name, into the same output
    found = json.loads((out / "dataset_description.json").read_text()).get("DatasetLinks", {}).get("raw")
    assert found is None if link is None else found.startswith(link)


def test_the_source_itself_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--output: .* is the BIDS folder; allowed: another"):
        derivatives.require_own(tmp_path, tmp_path / "x" / "..")


def test_an_output_is_of_one_source(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset_description.json").write_text(json.dumps({"Name": name}))
    derivatives.describe(tmp_path / "out", tmp_path / "a")
    derivatives.describe(tmp_path / "out", tmp_path / "a")
    with pytest.raises(InputError, match=r"^--output: .*out is of another BIDS folder; allowed: an output"):
        derivatives.describe(tmp_path / "out", tmp_path / "b")


def test_a_picture_of_an_earlier_check_does_not_stay_beside_a_new_one(tmp_path: Path) -> None:
    for kinds in (("beforeAfter", "check"), ("beforeAfter",)):
        with derivatives.whole(tmp_path) as work:
            for kind in kinds:
                (work / f"sub-1_desc-{kind}.png").touch()
        assert {path.name for path in tmp_path.glob("*.png")} == {f"sub-1_desc-{kind}.png" for kind in kinds}


def test_a_map_of_uncertainty_of_an_earlier_call_does_not_stay_beside_a_new_scan(tmp_path: Path) -> None:
    def call(*contents: str) -> dict[str, str]:
        with derivatives.whole(tmp_path / "out") as work:
            for kind in contents:
                for ending in (".nii.gz", ".json"):
                    (work / f"sub-1_desc-{kind}_T1w{ending}").write_text(str(contents))
        return {path.name: path.read_text() for path in (tmp_path / "out").glob("sub-*")}

    assert len(call("enhanced", "uncertainty")) == 4
    names = {f"sub-1_desc-enhanced_T1w{ending}" for ending in (".nii.gz", ".json")}
    assert call("enhanced") == dict.fromkeys(names, "('enhanced',)")
