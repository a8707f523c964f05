"""A user's own scans: how BIDS trees and tables are read, and one-line errors."""

from pathlib import Path

import pytest

from tests.trainers.cohorts.geometry import lay
from trainers.cohorts import zenodo_ixi
from trainers.cohorts.folder import FolderConfig, prepare, select, with_splits
from trainers.cohorts.scans import ixi, zenodo
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError


def table(folder: Path, *lines: str) -> Path:
    path = folder / "scans.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def names(visit: Visit) -> tuple[str | None, ...]:
    return tuple(path and path.name for path in (visit.t1, visit.t2, visit.mask))


def test_fields_are_read_from_names(tmp_path: Path) -> None:
    first = ("64mT_T1w.nii.gz", "64mT_T2w.nii", "highres3T_run-1_T1w.nii.gz")
    others = ("64mT_FLAIR.nii.gz", "64mT_T1w.nii.gz.part")
    lay(tmp_path / "sub-01/anat", *(f"sub-01_acq-{end}" for end in (*first, *others)))
    lay(tmp_path / "derivatives/other/sub-01", "sub-01_acq-64mT_T1w.nii.gz")
    lay(
        tmp_path / "sub-02",
        "ses-64MT/anat/sub-02_ses-64MT_T1w.nii.gz",
        "ses-1/sub-02_ses-1_acq-3T_T2w.nii.gz",
    )
    found = {visit.id: names(visit)[:2] for visit in select(tmp_path).visits}
    assert found == {
        "sub-01_64mT": ("sub-01_acq-64mT_T1w.nii.gz", "sub-01_acq-64mT_T2w.nii"),
        "sub-01_3T": ("sub-01_acq-highres3T_run-1_T1w.nii.gz", None),
        "sub-02_ses-64MT_64mT": ("sub-02_ses-64MT_T1w.nii.gz", None),
        "sub-02_ses-1_3T": (None, "sub-02_ses-1_acq-3T_T2w.nii.gz"),
    }


def test_tables_give_all_properties_and_participants_their_splits(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "\ufeffsubject,domain,contrast,path,split,session",
        "anna,64mT,T1,a/t1.nii.gz,,1",
        f"anna,64mT,T2,{tmp_path}/t2.nii,val,1",
        "anna,64mT,mask,a/brain.nii.gz,,1",
        "",
        "bert, 3T ,T1,b.nii.gz,train,",
    )
    anna, bert = select(path).visits
    files = (tmp_path / "a/t1.nii.gz", tmp_path / "t2.nii", tmp_path / "a/brain.nii.gz")
    assert anna == Visit("anna", "1", "64mT", *files, "val")
    assert bert == Visit("bert", "", "3T", tmp_path / "b.nii.gz", None, None, "train")
    root = lay(tmp_path / "bids", *(f"sub-0{i}/anat/sub-0{i}_acq-64mT_T1w.nii.gz" for i in (1, 2)))
    (root / "participants.tsv").write_text("participant_id\tsplit\n01\ttest\n")
    assert [visit.split for visit in select(root).visits] == ["", ""]  # translate needs none
    found = with_splits(select(root), root)
    assert [visit.split for visit in found.visits] == ["test", ""]
    assert found.notes == [f"{root / 'participants.tsv'}: without a row: sub-02"]


HEAD = "subject,domain,contrast,path"
WRONG: list[tuple[tuple[str, ...], str]] = [
    (("subject,domain,contrast",), "columns subject, domain, contrast: 'path'; allowed"),
    ((HEAD + ",age",), "columns subject, domain, contrast, path, age: 'age'; allowed"),
    (("",), "columns none: 'subject'; allowed"),
    ((HEAD, "a,64mT,T1,t1.nii", "a,1.5T,T2,t2.nii"), "line 3: domain: '1.5T' is not allowed"),
    ((HEAD, "a,64mT,FLAIR,f.nii"), "line 2: contrast: 'FLAIR' is not allowed; allowed: T1, T2, mask"),
    ((HEAD + ",split", "a,64mT,T1,f.nii,dev"), "line 2: split: 'dev' is not allowed; allowed: empty, train"),
    ((HEAD, "a,64mT,T1,"), "line 2: subject or path is empty; allowed: both in every row"),
    ((HEAD, ",64mT,T1,t1.nii"), "line 2: subject or path is empty; allowed: both in every row"),
    ((HEAD, "a"), "line 2: domain: '' is not allowed"),
    ((HEAD, "../a,64mT,T1,t1.nii"), "line 2: subject: '../a' is not allowed; allowed: letters"),
    ((HEAD + ",session", "a,64mT,T1,t1.nii,1/2"), "line 2: session: '1/2' is not allowed"),
    ((HEAD,), "has no row below its header; allowed: a row for each file"),
    ((HEAD + ",domain", "a,64mT,T1,x.nii,3T"), "column 'domain' is there twice"),
    ((HEAD, "a,64mT,T1,x.nii", 'b,64mT,T1,"y.nii', "c,64mT,T1,z.nii"), "line 3: unexpected end of data"),
    ((HEAD, "a,64mT,mask,m.nii"), "holds no scan"),
    ((HEAD + ",session", "a_1,64mT,T1,x.nii,", "a,64mT,T1,y.nii,1"), "a_1_64mT is the name of two visits"),
]


@pytest.mark.parametrize("lines, message", WRONG)
def test_a_wrong_table_is_an_error_with_its_line(
    lines: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = table(tmp_path, *lines)
    with pytest.raises(InputError) as caught:
        select(path)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_one_file_is_named_once_but_for_masks(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.nii", "y.nii")
    (tmp_path / "z.nii").symlink_to("a/x.nii")
    masks = ("a,64mT,mask,m.nii", "b,64mT,mask,m.nii")
    assert len(select(table(tmp_path, HEAD, "a,64mT,T1,a/x.nii", *masks, "b,64mT,T1,y.nii")).visits) == 2
    for row in (
        "b,64mT,T1,./a/../a/x.nii",
        "a,64mT,T2,z.nii",
        f"a,3T,T1,{tmp_path}/a/x.nii",
        "a,64mT,mask,z.nii",
    ):
        path = table(tmp_path, HEAD, "a,64mT,T1,a/x.nii", "c,64mT,T1,y.nii", row)
        with pytest.raises(
            InputError, match=r"line 4: path: .* is that of line 2 too; allowed: each scan once"
        ):
            select(path)


@pytest.mark.parametrize("root", ["nul\0", "a" * 300, "loop", "."])
def test_a_root_that_is_no_folder_is_one_line(root: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    root = root if "\0" in root else str(tmp_path / root)
    with pytest.raises(InputError, match=r"^root: .*; allowed: a BIDS folder or a table$|holds no scan"):
        prepare(FolderConfig(root=root), tmp_path / "storage")


def test_duplicate_files_two_splits_and_other_roots_are_errors(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD, "a,64mT,T1,one.nii", "a,64mT,T1,two.nii")
    with pytest.raises(InputError, match=r"two.nii: a_64mT has .*one.nii for T1 already; allowed: one"):
        select(path)
    path = table(tmp_path, HEAD + ",split", "a,64mT,T1,one.nii,val", "a,64mT,T2,two.nii,test")
    with pytest.raises(InputError, match=r"two.nii: a_64mT is in val and test; allowed: .*one split"):
        select(path)
    lay(tmp_path / "bids", "sub-1_acq-3T_T1w.nii", "sub-1_acq-3T_T1w.nii.gz")
    with pytest.raises(InputError, match=r"T1 may be sub-1_acq-3T_T1w.nii and sub-1_acq-3T_T1w.nii.gz"):
        raise InputError(select(tmp_path / "bids").visits[0].problem)
    for name in ("absent", "absent.csv", "scan.nii"):
        path = lay(tmp_path / "other", "scan.nii") / name
        with pytest.raises(InputError, match=r"is neither a folder nor a \.csv file; allowed: a BIDS folder"):
            select(path)
    with pytest.raises(InputError, match="holds no scan"):
        select(tmp_path / "other")
    (tmp_path / "scans.csv").write_bytes(b"subject,domain\xff\n")
    with pytest.raises(InputError, match="allowed: a table in UTF-8"):
        select(tmp_path / "scans.csv")


def test_the_papers_cohort_takes_both_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path / "zenodo/64mT data", "sub-0001/ses-01/anat/sub-0001_ses-01_T1w.nii.gz")
    lay(tmp_path / "ixi", "IXI012-HH-1211-T1.nii.gz")
    ids = {}

    def prepare(source: str, config: object, found: Selection, root: Path, mapper: object) -> Path:
        ids[source] = [visit.id for visit in found.visits]
        return root

    monkeypatch.setattr(zenodo_ixi.pipeline, "prepare", prepare)
    config = zenodo_ixi.ZenodoIxiConfig(root=str(tmp_path))
    assert zenodo_ixi.prepare(config, tmp_path / "store") == tmp_path / "store"
    assert ids == {"zenodo+ixi": ["sub-0001_ses-01_64mT", "IXI012_3T"]}
    both = (*zenodo.visits(tmp_path / "zenodo"), *ixi.visits(tmp_path / "ixi"))
    assert {visit.id for visit in both} == set(ids["zenodo+ixi"])
