"""Which files of a BIDS folder make a visit: chosen, left with a kind, or refused for that visit alone."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.cohorts.geometry import lay
from trainers.cohorts.folder import select
from trainers.cohorts.scans.eligibility import Left
from trainers.cohorts.scans.filters import Filters
from trainers.cohorts.scans.listing import COLUMNS, left_in_words, write_listing
from trainers.cohorts.scans.visits import Visit, files_below
from trainers.errors import InputError


def names(visit: Visit) -> tuple[str | None, ...]:
    return tuple(path and path.name for path in (visit.t1, visit.t2, visit.mask))


def anat(root: Path, *ends: str) -> Path:
    """Scans at 64 mT of one visit, named by their ends."""
    (root / "sub-1").mkdir(parents=True, exist_ok=True)
    (root / "T1w.json").write_text('{"MagneticFieldStrength": 0.064}')
    (root / "T2w.json").write_text('{"MagneticFieldStrength": 0.064}')
    return lay(root, *(f"sub-1/anat/sub-1_{end}.nii.gz" for end in ends))


def chosen(root: Path, filters: str = "") -> tuple[str, ...]:
    """The ends of what is used, and the kinds of what is left."""
    found = select(root, "", Filters.of(filters))
    (visit,) = found.visits
    assert not visit.problem
    used = [path.name.removeprefix("sub-1_").removesuffix(".nii.gz") for path in visit.scans.values()]
    return (*used, *(left.kind for left in found.left))


CHOICES = {
    "T1w T2w acq-mrsLocAx_run-1_T2w": ("T1w", "T2w", "a localizer"),
    "T1w acq-scout_run-9_T1w acq-AAHeadScout_T1w": ("T1w", "a localizer", "a localizer"),
    "T1w acq-3planeLocalizer_T1w acq-loc_T1w": ("T1w", "a localizer", "a localizer"),
    "acq-velocity_T1w": ("acq-velocity_T1w",),
    "acq-AXI_run-1_T1w acq-COR_run-2_T1w acq-SAG_run-3_T1w": ("acq-AXI_run-1_T1w", *["another view"] * 2),
    "acq-tseAxial_T2w acq-tseSag_T2w": ("acq-tseAxial_T2w", "another view"),
    "acq-SAG_T1w": ("acq-SAG_T1w",),
    "run-1_T1w run-2_T1w run-10_T1w": ("run-10_T1w", "an earlier run", "an earlier run"),
    "run-2_T1w run-1_T2w": ("run-2_T1w", "run-1_T2w"),
    "acq-a_T1w acq-b_T1w acq-b_T2w": ("acq-b_T1w", "acq-b_T2w", "another kind of scan"),
    "T1w ce-gd_T1w T2w": ("T1w", "T2w", "another kind of scan"),
    "acq-mprage_T1w acq-tse_T2w": ("acq-mprage_T1w", "acq-tse_T2w"),
    "part-mag_T1w part-phase_T1w": ("part-mag_T1w", "not a magnitude image"),
    "T1w desc-preproc_T1w space-MNI_T1w": ("T1w", "processed", "processed"),
    "acq-a_acq-b_T1w T1w": ("T1w", "a wrong name"),
    "T1w acq-AXI_T2w acq-COR_T2w acq-SAG_T2w": ("T1w", "acq-AXI_T2w", *["another view"] * 2),
    "acq-COR_T1w acq-SAG_T1w acq-AXI_T2w acq-COR_T2w": (
        *("acq-COR_T1w", "acq-COR_T2w"),
        *["another view"] * 2,
    ),
}


@pytest.mark.parametrize("ends", CHOICES)
def test_what_makes_a_visit_and_what_is_left(ends: str, tmp_path: Path) -> None:
    assert chosen(anat(tmp_path, *ends.split())) == CHOICES[ends]


UNCLEAR = {
    "acq-a_run-1_T1w acq-b_run-2_T1w": "acq-b_run-2_T1w.nii.gz; allowed: one, by a filter such as acq=a",
    "T1w acq-hr_T1w T2w acq-hr_T2w": "/sub-1_acq-hr_T1w.nii.gz; allowed: one, by a filter such as acq=hr",
    "acq-COR_T1w acq-SAG_T1w": "by a filter such as acq=COR",
    "echo-1_T1w echo-2_T1w": "by a filter such as echo=1",
    "chunk-1_T2w chunk-2_T2w": "by a filter such as chunk=1",
    "T1w ce-gd_T1w": "by a filter such as ce=gd",
    "T1w acq-a_T2w acq-b_T2w": "sub-1_acq-a_T2w.nii.gz or sub-1/anat/sub-1_acq-b_T2w.nii.gz; "
    'allowed: one, by a file of filters such as {"t2w": {"acq": "a"}}',
    "acq-a_T1w acq-b_T1w acq-c_T2w acq-d_T2w": '{"t1w": {"acq": "a"}, "t2w": {"acq": "c"}}',
    "acq-a_rec-x_T1w acq-a_rec-y_T1w acq-b_rec-x_T1w": "by a filter such as acq=a,rec=x",
    "acq-a_T1w acq-a_ce-gd_T1w acq-b_ce-gd_T1w T2w": "by a filter such as ce=",
    "acq-a_T1w acq-A_T1w": "by names that differ in more than case or leading zeros",
    "run-1_T1w run-01_T1w": "sub-1/anat/sub-1_run-01_T1w.nii.gz and sub-1/anat/sub-1_run-1_T1w.nii",
}


@pytest.mark.parametrize("ends", UNCLEAR)
def test_what_is_unclear_refuses_that_visit_alone(ends: str, tmp_path: Path) -> None:
    lay(anat(tmp_path, *ends.split()), "sub-2/anat/sub-2_T1w.nii.gz")
    first, second = select(tmp_path).visits
    assert UNCLEAR[ends] in first.problem and "\n" not in first.problem and not second.problem
    listed = [left.path.name for left in select(tmp_path).left if left.kind == "ambiguous"]
    assert sorted(listed) == sorted(f"sub-1_{end}.nii.gz" for end in ends.split())


@pytest.mark.parametrize("ends", UNCLEAR)
def test_the_example_in_a_message_decides(ends: str, tmp_path: Path) -> None:
    anat(tmp_path, *ends.split())
    told = select(tmp_path).visits[0].problem
    if found := re.search(r"such as ([^{]+)$", told):
        filters = Filters.of(found[1])
    elif found := re.search(r"such as ({.+})$", told):
        (tmp_path / "filters.json").write_text(found[1])
        filters = Filters.of("", str(tmp_path / "filters.json"))
    else:
        return
    (visit,) = select(tmp_path, "", filters).visits
    assert not visit.problem and len(visit.scans) == len({end[-3:] for end in ends.split()})


def test_a_filter_chooses_and_lifts_the_rules_of_its_entities(tmp_path: Path) -> None:
    anat(tmp_path, "acq-a_T1w", "acq-b_T1w", "acq-b_T2w", "acq-scout_T2w", "ce-gd_acq-b_T1w")
    assert chosen(tmp_path, "acq=B,ce=")[:2] == ("acq-b_T1w", "acq-b_T2w")
    assert chosen(tmp_path, "acq=scout")[0] == "acq-scout_T2w"
    file = tmp_path / "filters.json"
    file.write_text(json.dumps({"t1w": {"acquisition": ["x", "a"]}, "T2w": {"acq": "*", "run": None}}))
    found = select(tmp_path, "", Filters.of("", str(file)))
    assert "T2 may be" in found.visits[0].problem  # acq is the user's: a scout is no localizer then
    file.write_text(json.dumps({"t1w": {"acquisition": "a"}, "t2w": {"acquisition": "b"}}))
    assert names(select(tmp_path, "", Filters.of("", str(file))).visits[0])[1] == "sub-1_acq-b_T2w.nii.gz"
    with pytest.raises(InputError, match=r"holds no scan that is used \(.*: not acq=AXI\); allowed: sub-"):
        select(tmp_path, "", Filters.of("acq=AXI"))


def test_filters_of_fmriprep_are_taken(tmp_path: Path) -> None:
    """Its keys that are no entities say what holds, and its queries are understood."""
    anat(tmp_path, "acq-a_T1w", "acq-b_rec-x_T1w", "acq-a_T2w", "T2w", "run-1_acq-a_T2w")
    t1 = {"datatype": "anat", "suffix": "T1w", "acquisition": "Query.ANY", "reconstruction": "Query.NONE"}
    t2 = {"suffix": "T2w", "acquisition": "Query.REQUIRED", "run": "Query.OPTIONAL", "Session": None}
    (tmp_path / "filters.json").write_text(json.dumps({"t1w": t1, "t2w": t2}))
    (visit,) = select(tmp_path, "", Filters.of("", str(tmp_path / "filters.json"))).visits
    assert names(visit)[:2] == ("sub-1_acq-a_T1w.nii.gz", "sub-1_run-1_acq-a_T2w.nii.gz")


WRONG_FILTERS = {
    "[]": "is no object of objects; allowed: t1w, t2w",
    '{"t1w": 1}': "is no object of objects",
    '{"flair": {}}': "'flair' is not known; allowed: t1w, t2w",
    '{"t1w": {}, "T1w": {}}': "'T1w' is there twice; allowed: t1w, t2w, each once",
    '{"t1w": {"acq": "a", "acq": "b"}}': "'acq' is there with two values; allowed: one",
    '{"t1w": {"acq": "a", "acquisition": "a"}}': "acquisition is there twice; allowed: each entity once",
    '{"t1w": {"acq": true}}': "acq: True is not allowed; allowed: text, an integer, null",
    '{"t1w": {"acq": []}}': r"acq: \[\] is not allowed; allowed: text",
    '{"t1w": {"acq": ""}}': "acq: '' is not allowed; allowed: text",
    '{"t1w": {"acq": [["a"]]}}': r"acq: \['a'\] is not allowed",
    '{"t2w": {"suffix": "T1w"}}': "t2w: suffix: 'T1w' is not supported; allowed: .* suffix T2w",
    '{"t1w": {"extension": ".nii"}}': "t1w: extension: '.nii' is not supported; allowed: entities",
    "{": r"cannot be read \(JSONDecodeError\); allowed: a JSON object",
}


@pytest.mark.parametrize("text", WRONG_FILTERS)
def test_a_wrong_filter_is_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    file.write_text(text)
    with pytest.raises(InputError, match=f"^filters: {file}: {WRONG_FILTERS[text]}"):
        Filters.of("", str(file))
    for text, wrong in {"run=1,AXI": "AXI", "acq=a,": "", "suffix=T1w": "suffix=T1w", "=a": "=a"}.items():
        with pytest.raises(InputError, match=rf"^filter: '{wrong}' is not allowed; allowed: entity=value"):
            Filters.of(text)
    with pytest.raises(InputError, match=r"^filter: 'acq=A,acquisition=B' is not .*: each entity once"):
        Filters.of("acq=A,acquisition=B")
    table = tmp_path / "scans.csv"
    table.touch()
    with pytest.raises(InputError, match="is a table, which names its scans; allowed: with a BIDS folder"):
        select(table, "", Filters.of("acq=AXI"))


def test_raw_scans_are_neither_hidden_nor_in_other_trees_and_have_any_ending(tmp_path: Path) -> None:
    others = ("sourcedata", "code", "derivatives/x", ".git/annex", "stimuli", "sub-2/anat")
    lay(tmp_path, "sub-1/ses-1/anat/sub-1_ses-1_acq-64mT_T1w.NII.GZ")
    lay(tmp_path, *(f"{place}/sub-1_ses-1_acq-64mT_T1w.nii" for place in others))
    found = select(tmp_path)
    assert names(found.visits[0]) == ("sub-1_ses-1_acq-64mT_T1w.NII.GZ", None, None)
    kinds = [left.kind for left in found.left]  # hidden folders are not even read
    assert sorted(kinds) == ["a wrong name", *["outside the raw scans"] * 4]
    words = "5 files are not used: 4 outside the raw scans, 1 a wrong name"
    assert left_in_words(kinds) == words and left_in_words([]) == ""
    write_listing(tmp_path / "files.csv", found)
    head, *rows = [line.split(",") for line in (tmp_path / "files.csv").read_text().splitlines()]
    assert tuple(head) == COLUMNS and len(rows) == 6
    assert [row[1:] for row in rows if row[2]] == [["sub-1_ses-1_64mT", "T1", ""]]
    assert [row[3] for row in rows if "sub-2" in row[0]] == ["a wrong name: is in sub-2"]


MASKS = {
    "sub-1/anat/sub-1_run-2_desc-brain_mask.nii.gz": True,
    "derivatives/x/sub-1/anat/sub-1_run-2_T1w_desc-brain_mask.nii": True,
    "derivatives/x/sub-1_run-2_space-T1w_label-brain_mask.NII.gz": True,
    "sub-1/anat/sub-1_run-1_desc-brain_mask.nii.gz": False,
    "sub-1/anat/sub-1_desc-brain_mask.nii.gz": False,
    "sub-1/anat/sub-1_run-2_desc-lesion_mask.nii.gz": False,
    "derivatives/x/sub-1_run-2_space-MNI_desc-brain_mask.nii": False,
    "derivatives/x/sub-1_run-2_T2w_desc-brain_mask.nii": False,
}


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_belongs_to_the_scan_whose_entities_it_shares(mask: str, tmp_path: Path) -> None:
    lay(anat(tmp_path, "run-1_T1w", "run-2_T1w", "run-2_T2w"), mask)
    expected = Path(mask).name if MASKS[mask] else None
    assert names(select(tmp_path).visits[0]) == ("sub-1_run-2_T1w.nii.gz", "sub-1_run-2_T2w.nii.gz", expected)


NEAREST = [
    "sub-1/anat/sub-1_desc-brain_mask.nii",
    "sub-1/anat/sub-1_label-brain_mask.nii",
    "sub-1/other/sub-1_desc-brain_mask.nii",
    "derivatives/a/sub-1_space-T1w_desc-brain_mask.nii",
    "derivatives/b/sub-1/anat/sub-1_desc-brain_mask.nii",
]


@pytest.mark.parametrize("first", range(len(NEAREST)))
def test_of_several_masks_the_nearest_is_used_and_the_others_are_listed(first: int, tmp_path: Path) -> None:
    lay(anat(tmp_path, "T1w"), *NEAREST[:first:-1], NEAREST[first], "derivatives/b/dataset_description.json")
    found = select(tmp_path)
    assert found.visits[0].mask == tmp_path / NEAREST[first]
    others = {left.path for left in found.left if left.kind == "another mask"}
    assert others == {tmp_path / each for each in NEAREST[first + 1 :]}


def test_linked_folders_are_read_once_after_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay(tmp_path / "bids", "sub-02/sub-02_acq-3T_T1w.nii", "sub-03/sub-03_acq-3T_T1w.nii")
    (root / "sub-01").symlink_to(lay(tmp_path / "other", "sub-01_acq-3T_T1w.nii"))
    for link, target in {
        "loop": root,
        "up": tmp_path,
        "a": root / "sub-02",
        "sub-02/b": root / "sub-01",
    }.items():
        (root / link).symlink_to(target)
    (root / "nowhere").symlink_to(root / "none")
    expected = [root / f"sub-0{i}/sub-0{i}_acq-3T_T1w.nii" for i in (1, 2, 3)]
    assert [visit.t1 for visit in select(root).visits] == expected
    original = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("sub-03"):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root reads everything
    found = select(root)
    assert [visit.t1 for visit in found.visits] == expected[:2]
    assert Left(root / "sub-03", "a folder that cannot be read", "Permission denied") in found.left
    with pytest.raises(InputError, match=r"sub-03: cannot be read \(Permission denied\); allowed: one"):
        files_below(root)
