"""At what field a scan was made: sidecars, inherited or its own, and names; contradictions are refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.cohorts.geometry import lay
from trainers.cohorts.folder import select
from trainers.cohorts.scans.field_strength import Sidecars, understood
from trainers.errors import InputError

SCAN = "sub-1/ses-2/anat/sub-1_ses-2_acq-mprage_T1w.nii.gz"


def sidecar(path: Path, value: Any) -> None:
    path.write_text(json.dumps({"MagneticFieldStrength": value}))


STRENGTHS = {
    **{0.064: 0.064, 3: 3, 2.89362: 2.89362, "3T": 3, "3 T": 3, "0.064 T": 0.064, "64 mT": 0.064},
    **{"64mT": 0.064, 64: 0.064, 3000: 3, "0,064": 0.064, "1.5 Tesla": 1.5, "6.4e-2": 0.064, " 7t ": 7},
    **{"high": None, "": None, 0: None, -3: None, "3 kT": None, "3T or 7T": None},
}


@pytest.mark.parametrize("value", STRENGTHS)
def test_numbers_and_text_are_understood(value: Any) -> None:
    assert understood(value) == pytest.approx(STRENGTHS[value])


def test_what_is_neither_is_not_understood() -> None:
    assert [understood(value) for value in (True, [3], {"T": 3}, float("nan"), float("inf"))] == [None] * 5


PLACES = {
    "T1w.json": True,
    "acq-mprage_T1w.json": True,
    "sub-1/sub-1_T1w.json": True,
    "sub-1/ses-2/sub-1_ses-2_T1w.json": True,
    SCAN.replace(".nii.gz", ".json"): True,
    "T2w.json": False,
    "acq-tse_T1w.json": False,
    "sub-1/ses-2/sub-1_ses-3_T1w.json": False,
    "sub-2/T1w.json": False,
    "derivatives/acq-mprage_T1w.json": False,
    "acq-mprage_run-1_T1w.json": False,
}


@pytest.mark.parametrize("place", PLACES)
def test_sidecars_are_inherited_as_bids_has_it(place: str, tmp_path: Path) -> None:
    lay(tmp_path, SCAN, place)
    sidecar(tmp_path / place, 3)
    said = Sidecars(tmp_path).strength(tmp_path / SCAN)
    assert (said is not None) == PLACES[place]
    assert said is None or (said.domain, said.tesla, said.by) == ("3T", 3, str(tmp_path / place))
    (tmp_path / "dataset_description.json").write_text("{}")
    assert Sidecars.around(tmp_path / SCAN).root == tmp_path


NAMES = {
    **{
        "acq-64mT": "64mT",
        "acq-highres3T": "3T",
        "ses-64MT": "64mT",
        "acq-3Tesla": "3T",
        "acq-164mT": "64mT",
    },
    **{"acq-13T": "", "acq-0p3T": "", "acq-1p5T": "", "acq-0.3T": "", "ses-7T": ""},
    **{"rec-3T": None, "acq-T3": None, "acq-3Tx": None, "acq-3": None},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_say_it_too(name: str, tmp_path: Path) -> None:
    said = Sidecars(tmp_path).strength(tmp_path / f"sub-1_{name}_T1w.nii")
    assert (said and said.domain) == NAMES[name]


CONTRADICTIONS = [
    ({"T1w.json": 3, "own": 0.064}, "acq-x"),
    ({"T1w.json": 3}, "acq-64mT"),
    ({"own": 0.064}, "acq-3T"),
    ({"own": 1.5}, "acq-3T"),
    ({"T1w.json": 1.5, "own": 7}, "acq-x"),
]


@pytest.mark.parametrize("values, name", CONTRADICTIONS)
def test_contradictions_are_refused_and_rounding_is_none(
    values: dict[str, float], name: str, tmp_path: Path
) -> None:
    scan = tmp_path / f"sub-1_{name}_T1w.nii"
    for place, value in values.items():
        sidecar(scan.with_suffix(".json") if place == "own" else tmp_path / place, value)
    with pytest.raises(InputError, match=r"says .* T and .* T; allowed: one field strength"):
        Sidecars(tmp_path).strength(scan)
    for a, b in ((0.064, 0.1), (2.89, 3), (1.494, 1.5)):
        sidecar(tmp_path / "T1w.json", a)
        sidecar(tmp_path / "sub-2_T1w.json", b)
        said = Sidecars(tmp_path).strength(tmp_path / "sub-2_T1w.nii")
        assert said and said.tesla == a


UNREADABLE = {
    "{": r"cannot be read \(JSONDecodeError\)",
    "[]": "holds no JSON object",
    '{"MagneticFieldStrength": "high"}': "'high' is not understood; allowed: tesla, as 0.064 or 3",
    '{"MagneticFieldStrength": [3]}': r"\[3\] is not understood",
    '{"MagneticFieldStrength": 0}': "0 is not understood",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_sidecar_that_cannot_be_read_is_named_and_refuses_its_scan_alone(text: str, tmp_path: Path) -> None:
    lay(tmp_path, *(f"sub-{i}/anat/sub-{i}_acq-64mT_T{k}w.nii" for i in (1, 2) for k in (1, 2)))
    (tmp_path / "sub-1/anat/sub-1_acq-64mT_T1w.json").write_text(text)
    first, second = select(tmp_path).visits
    assert first.t1 is None and first.t2 and not second.problem
    with pytest.raises(InputError, match=rf"sub-1_acq-64mT_T1w\.json: .*{UNREADABLE[text]}"):
        raise InputError(first.problem)
    assert [left.kind for left in select(tmp_path).left] == ["of a field strength that is not clear"]


@pytest.mark.parametrize("text", ["{}", '{"MagneticFieldStrength": null}', None])
def test_a_scan_of_which_nothing_says_it_needs_a_default(text: str | None, tmp_path: Path) -> None:
    lay(tmp_path, "sub-1_T1w.nii", "sub-2_acq-3T_T1w.nii")
    if text:
        (tmp_path / "sub-1_T1w.json").write_text(text)
    first, second = select(tmp_path).visits
    problem = r"sub-1_T1w\.nii: has no acq-64mT or acq-3T in its name and no strength in a sidecar; allowed: "
    with pytest.raises(InputError, match=problem + r".*MagneticFieldStrength in \[0\.01, 0\.2\]"):
        raise InputError(first.problem)
    assert (first.domain, first.id, second.problem) == ("", "sub-1", "")
    assert [visit.domain for visit in select(tmp_path, "64mT").visits] == ["64mT", "3T"]


def test_scans_at_another_field_are_left_and_alone_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "sub-1_acq-1p5T_T1w.nii", "sub-2_acq-3T_T1w.nii")
    assert [visit.id for visit in select(tmp_path, "64mT").visits] == ["sub-2_3T"]
    assert [left.reason for left in select(tmp_path).left] == ["1.5 T by its name"]
    (tmp_path / "sub-2_acq-3T_T1w.nii").unlink()
    with pytest.raises(InputError, match=r"holds no scan that is used \(sub-1_acq-1p5T_T1w\.nii: 1\.5 T by"):
        select(tmp_path)


def test_folders_of_a_table_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = [f"sub-{i}/sub-{i}_T1w.nii" for i in range(9)]
    lay(tmp_path, *scans, "dataset_description.json")
    sidecar(tmp_path / "T1w.json", 3)
    path, original, listed = tmp_path / "scans.csv", os.listdir, list[str]()
    path.write_text(
        "subject,domain,contrast,path\n" + "".join(f"{i},3T,T1,{s}\n" for i, s in enumerate(scans))
    )

    def listdir(folder: Any) -> list[str]:
        listed.append(str(folder))
        return original(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    assert not any(visit.problem for visit in select(path).visits)
    assert len(listed) == len(set(listed)) == 10


def test_a_table_is_held_against_sidecars(tmp_path: Path) -> None:
    lay(tmp_path, "a.nii", "b.nii")
    sidecar(tmp_path / "a.json", 3)
    path = tmp_path / "scans.csv"
    path.write_text("subject,domain,contrast,path\na,64mT,T1,a.nii\nb,64mT,T1,b.nii\n")
    first, second = select(path).visits
    line = f"{tmp_path}/a.nii: is 64mT in the table and 3 T by {tmp_path}/a.json; allowed: one field strength"
    assert first.problem == line and not second.problem
