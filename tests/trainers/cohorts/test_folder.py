"""A user's own scans: how BIDS trees and tables are read, and one-line errors."""

import json
import re
from pathlib import Path

import pytest

from tests.trainers.cohorts.geometry import lay
from trainers.cohorts import zenodo_ixi
from trainers.cohorts.folder import tesla, visits
from trainers.cohorts.scans import ixi, zenodo
from trainers.cohorts.scans.visits import Visit
from trainers.errors import InputError


def domains(folder: Path, default: str = "") -> list[str]:
    return [visit.domain for visit in visits(folder, default_domain=default)]


def table(folder: Path, *lines: str) -> Path:
    path = folder / "scans.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def names(visit: Visit) -> tuple[str | None, ...]:
    return tuple(path and path.name for path in (visit.t1, visit.t2, visit.mask))


def test_fields_are_read_from_names(tmp_path: Path) -> None:
    first = ("64mT_T1w.nii.gz", "64mT_T2w.nii", "highres3T_run-1_T1w.nii.gz")
    others = ("64mT_FLAIR.nii.gz", "64mT_T1w.json", "64mT_T1w.nii.gz.part")
    lay(tmp_path / "sub-01/anat", *(f"sub-01_acq-{end}" for end in (*first, *others)))
    lay(tmp_path / "derivatives/other/sub-01", "sub-01_acq-64mT_T1w.nii.gz")
    lay(
        tmp_path / "sub-02",
        "ses-64MT/anat/sub-02_ses-64MT_T1w.nii.gz",
        "ses-1/sub-02_ses-1_acq-3T_T2w.nii.gz",
    )
    found = {visit.id: names(visit)[:2] for visit in visits(tmp_path)}
    assert found == {
        "sub-01_64mT": ("sub-01_acq-64mT_T1w.nii.gz", "sub-01_acq-64mT_T2w.nii"),
        "sub-01_3T": ("sub-01_acq-highres3T_run-1_T1w.nii.gz", None),
        "sub-02_ses-64MT_64mT": ("sub-02_ses-64MT_T1w.nii.gz", None),
        "sub-02_ses-1_3T": (None, "sub-02_ses-1_acq-3T_T2w.nii.gz"),
    }


@pytest.mark.parametrize(
    "strength, domain",
    [(0.064, "64mT"), (0.01, "64mT"), (0.2, "64mT"), (3, "3T"), (2.89362, "3T"), ("3.0", "3T")],
)
def test_fields_are_read_from_sidecars(strength: float | str, domain: str, tmp_path: Path) -> None:
    scan = lay(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz") / "sub-01/anat/sub-01_T1w.nii.gz"
    scan.with_name("sub-01_T1w.json").write_text(json.dumps({"MagneticFieldStrength": strength}))
    assert tesla(scan) == float(strength)
    assert domains(tmp_path) == [domain]
    assert domains(tmp_path, "3T") == [domain]  # not the default


@pytest.mark.parametrize("strength", [1.5, 7, 0.35, float("nan")])
def test_another_strength_is_an_error_or_skipped(strength: float, tmp_path: Path) -> None:
    scan = lay(tmp_path, "sub-01_T1w.nii.gz") / "sub-01_T1w.nii.gz"
    scan.with_name("sub-01_T1w.json").write_text(json.dumps({"MagneticFieldStrength": strength}))
    with pytest.raises(InputError, match=f"{strength:g} tesla in a sidecar; allowed: .*MagneticField"):
        visits(tmp_path)
    lay(tmp_path, "sub-02_T1w.nii.gz")
    assert [visit.subject for visit in visits(tmp_path, default_domain="64mT")] == ["sub-02"]


SIDECARS = [None, "{", "[]", "{}", '{"MagneticFieldStrength": null}', '{"MagneticFieldStrength": "high"}']
SIMILAR = ["acq-13T", "acq-0p3T", "acq-164mT", "acq-3Tesla", "rec-3T", "acq-0.3T"]


@pytest.mark.parametrize(
    ("name", "text"),
    [*(("sub-01_T1w", text) for text in SIDECARS), *((f"sub-01_{name}_T1w", None) for name in SIMILAR)],
)
def test_a_scan_without_field_strength_needs_a_default(name: str, text: str | None, tmp_path: Path) -> None:
    scan = lay(tmp_path, f"{name}.nii") / f"{name}.nii"
    if text is not None:
        scan.with_suffix(".json").write_text(text)
    assert tesla(scan) is None
    assert domains(tmp_path, "64mT") == ["64mT"]
    message = rf"{re.escape(name)}\.nii: has no acq-64mT or acq-3T in its name and no strength in a sidecar"
    with pytest.raises(InputError, match=message):
        visits(tmp_path)


MASKS = (
    "sub-01/anat/sub-01_acq-64mT_desc-brain_mask.nii.gz",
    "derivatives/x/sub-01_acq-64mT_T1w_desc-brain_mask.nii",
)


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_belongs_to_its_t1(mask: str, tmp_path: Path) -> None:
    scans = ("01_acq-64mT", "01_acq-3T", "02_acq-64mT")
    lay(tmp_path, mask, *(f"sub-{name[:2]}/anat/sub-{name}_T1w.nii.gz" for name in scans))
    masks = {visit.id: names(visit)[2] for visit in visits(tmp_path)}
    assert masks == {"sub-01_64mT": Path(mask).name, "sub-01_3T": None, "sub-02_64mT": None}


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
    anna, bert = visits(path)
    files = (tmp_path / "a/t1.nii.gz", tmp_path / "t2.nii", tmp_path / "a/brain.nii.gz")
    assert anna == Visit("anna", "1", "64mT", *files, "val")
    assert bert == Visit("bert", "", "3T", tmp_path / "b.nii.gz", None, None, "train")
    root = tmp_path / "bids"
    lay(root, *(f"sub-0{i}/anat/sub-0{i}_acq-64mT_T{k}w.nii.gz" for i in range(1, 5) for k in (1, 2)))
    rows = ("participant_id age split", "sub-01 30 test", "sub-02 40 n/a", "sub-03 50 ", "sub-09 1 val")
    (root / "participants.tsv").write_text("\n".join(rows).replace(" ", "\t") + "\n")
    assert [visit.split for visit in visits(root)] == ["test", "", "", ""]
    (root / "participants.tsv").write_text("name\tsplit\nsub-01\ttest\n")
    with pytest.raises(InputError, match=r"participants.tsv: a split has no participant_id"):
        visits(root)


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
    ((HEAD,), "holds no scan; allowed: sub-*_T1w.nii(.gz)"),
    ((HEAD, "a,64mT,mask,m.nii"), "holds no scan"),
    ((HEAD + ",session", "a_1,64mT,T1,x.nii,", "a,64mT,T1,y.nii,1"), "a_1_64mT is the name of two visits"),
]


@pytest.mark.parametrize("lines, message", WRONG)
def test_a_wrong_table_is_an_error_with_its_line(
    lines: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = table(tmp_path, *lines)
    with pytest.raises(InputError) as caught:
        visits(path)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_duplicate_files_two_splits_and_other_roots_are_errors(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD, "a,64mT,T1,one.nii", "a,64mT,T1,two.nii")
    with pytest.raises(InputError, match=r"two.nii: a_64mT has .*one.nii for T1 already; allowed: one"):
        visits(path)
    path = table(tmp_path, HEAD + ",split", "a,64mT,T1,one.nii,val", "a,64mT,T2,two.nii,test")
    with pytest.raises(InputError, match=r"two.nii: a_64mT is in val and test; allowed: .*one split"):
        visits(path)
    lay(tmp_path / "bids", "sub-1_acq-3T_T1w.nii", "sub-1_acq-3T_T1w.nii.gz")
    with pytest.raises(InputError, match=r"sub-1_3T has .*T1w.nii for T1 already"):
        visits(tmp_path / "bids")
    for name in ("absent", "absent.csv", "scan.nii"):
        path = lay(tmp_path / "other", "scan.nii") / name
        with pytest.raises(InputError, match=r"is neither a folder nor a \.csv file; allowed: a BIDS folder"):
            visits(path)
    with pytest.raises(InputError, match="holds no scan"):
        visits(tmp_path / "other")
    (tmp_path / "scans.csv").write_bytes(b"subject,domain\xff\n")
    with pytest.raises(InputError, match="allowed: a table in UTF-8"):
        visits(tmp_path / "scans.csv")


def test_the_papers_cohort_takes_both_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path / "zenodo/64mT data", "sub-0001/ses-01/anat/sub-0001_ses-01_T1w.nii.gz")
    lay(tmp_path / "ixi", "IXI012-HH-1211-T1.nii.gz")
    ids = {}

    def prepare(source: str, config: object, found: list[Visit], root: Path, mapper: object) -> Path:
        ids[source] = [visit.id for visit in found]
        return root

    monkeypatch.setattr(zenodo_ixi.pipeline, "prepare", prepare)
    config = zenodo_ixi.ZenodoIxiConfig(root=str(tmp_path))
    assert zenodo_ixi.prepare(config, tmp_path / "store") == tmp_path / "store"
    assert ids == {"zenodo+ixi": ["sub-0001_ses-01_64mT", "IXI012_3T"]}
    both = (*zenodo.visits(tmp_path / "zenodo"), *ixi.visits(tmp_path / "ixi"))
    assert {visit.id for visit in both} == set(ids["zenodo+ixi"])


def test_the_last_run_is_taken_and_linked_folders_are_read_once(tmp_path: Path) -> None:
    lay(tmp_path, *(f"sub-01_acq-3T_run-{n}_T1w.nii" for n in (2, 10, 1)))
    (visit,) = visits(tmp_path)
    assert visit.t1 == tmp_path / "sub-01_acq-3T_run-10_T1w.nii"
    root = tmp_path / "bids"
    root.mkdir()
    (root / "sub-01").symlink_to(lay(tmp_path / "other", "sub-01_acq-3T_T1w.nii"))
    (root / "loop").symlink_to(root)
    assert [visit.t1 for visit in visits(root)] == [root / "sub-01" / "sub-01_acq-3T_T1w.nii"]
