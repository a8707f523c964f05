"""Names as the archives have them, and as people make them: what each is taken for."""

from pathlib import Path

import pytest

from tests.trainers.cohorts.geometry import lay
from trainers.cohorts.scans import ixi, zenodo
from trainers.cohorts.scans.visits import Visit
from trainers.errors import InputError

TOP = "Paired 64mT and 3T Brain MRI Scans of Healthy Subjects for Neuroimaging Research v3/Data"
LOW = f"{TOP}/64mT data/sub-0011/ses-01/anat/sub-0011_ses-01"
HIGH = f"{TOP}/3T data/sub-0011/anat/sub-0011"


def found(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    """Visit to the names of its T1 and T2."""
    visits = zenodo.visits(folder)
    return {visit.id: (visit.t1 and visit.t1.name, visit.t2 and visit.t2.name) for visit in visits}


@pytest.mark.parametrize(
    ("name", "scan"),
    [
        (f"{LOW}_run-1_T1w.nii.gz", ("sub-0011", "ses-01", "64mT", "T1", (0, 1))),
        (f"{LOW}_run-2_T2w.nii.gz", ("sub-0011", "ses-01", "64mT", "T2", (0, 2))),
        (f"{LOW}_run-10_T2w.nii", ("sub-0011", "ses-01", "64mT", "T2", (0, 10))),
        (f"{LOW}_T1w_run-1.nii.gz", ("sub-0011", "ses-01", "64mT", "T1", (0, 1))),
        (f"{HIGH}_acq-highres_T1w.nii.gz", ("sub-0011", "", "3T", "T1", (1, 0))),
        (f"{HIGH}_acq-lowres_T2w.nii.gz", ("sub-0011", "", "3T", "T2", (-1, 0))),
        (f"{HIGH}_T2w_acq-highres.nii.gz", ("sub-0011", "", "3T", "T2", (1, 0))),
        ("data/64MT_data/SUB-0012/SES-02/ANAT/SUB-0012_SES-02_RUN-1_T1W.NII.GZ",
         ("sub-0012", "ses-02", "64mT", "T1", (0, 1))),
        ("64 mT/sub 0012/ses 1/T1.nii", ("sub-0012", "ses-1", "64mT", "T1", (0, 0))),
        ("3-T/sub_0012/anat/sub_0012_HighRes_t2w.nii.gz", ("sub-0012", "", "3T", "T2", (1, 0))),
        ("3.0T/sub0012_T1w.nii.gz", ("sub-0012", "", "3T", "T1", (0, 0))),
        ("sub-p01/anat/sub-p01_acq-64mT_T1w.nii.gz", ("sub-p01", "", "64mT", "T1", (0, 0))),
        ("sub-p01/anat/sub-p01_acq-3T_T2w.nii.gz", ("sub-p01", "", "3T", "T2", (0, 0))),
    ],
)  # fmt: skip
def test_a_scan_is_what_its_name_says(name: str, scan: tuple[object, ...]) -> None:
    read = zenodo.parse(name)
    assert read is not None
    assert (read.subject, read.session, read.domain, read.contrast, read.rank) == scan
    assert zenodo.wanted(name)


@pytest.mark.parametrize(
    "name",
    [
        f"{LOW}_run-1_T1w_acq-localizer.nii.gz",
        f"{LOW}_acq-localizer_T2w.nii.gz",
        f"{LOW}_Localiser_T1w.nii.gz",
        f"{LOW}_run-1_FLAIR.nii.gz",
        f"{LOW}_T2w_FLAIR.nii.gz",
        f"{HIGH}_acq-highres_FLAIR.nii.gz",
        f"{TOP}/64mT data/sub-0011/ses-01/dwi/sub-0011_ses-01_run-1_dwi.nii.gz",
        f"{TOP}/64mT data/sub-0011/ses-01/dwi/sub-0011_ses-01_run-1_adc.nii.gz",
        f"{TOP}/64mT data/sub-0011/ses-01/dwi/sub-0011_ses-01_T2w.nii.gz",
        f"{LOW}_T1w_mask.nii.gz",
        f"{TOP}/derivatives/64mT data/sub-0011/sub-0011_T1w.nii.gz",
        f"{LOW}_run-1_T1w.nii.gz.part",
        f"{LOW}_T10w.nii.gz",
        f"{LOW}_PDw.nii.gz",
        f"{TOP}/sub-0011/sub-0011_T1w.nii.gz",
        f"{TOP}/64mT data/subjects/T1w.nii.gz",
        f"{TOP}/164mT data/sub-0011/sub-0011_T1w.nii.gz",
        f"{TOP}/0.3T data/sub-0011/sub-0011_T1w.nii.gz",
        f"__MACOSX/{HIGH}_acq-highres_T1w.nii.gz",
        f"{TOP}/3T data/sub-0011/anat/._sub-0011_acq-highres_T1w.nii.gz",
    ],
)
def test_other_files_are_ignored(name: str) -> None:
    assert zenodo.parse(name) is None
    assert not zenodo.wanted(name)


def test_sessions_are_visits_in_order_with_their_best_scans(tmp_path: Path) -> None:
    assert zenodo.wanted(f"{TOP}/dataset_description.json") and zenodo.wanted(f"{TOP}/participants.tsv")
    assert not zenodo.wanted(f"__MACOSX/{TOP}/._participants.tsv")
    second = LOW.replace("ses-01", "ses-02")
    lay(
        tmp_path,
        *(f"{LOW}_run-{run}_T1w.nii.gz" for run in (1, 2, 10)),
        f"{LOW}_run-1_T2w.nii.gz",
        f"{LOW}_run-11_T1w_acq-localizer.nii.gz",
        f"{second}_run-1_T2w.nii.gz",
    )
    assert found(tmp_path) == {
        "sub-0011_ses-01_64mT": ("sub-0011_ses-01_run-10_T1w.nii.gz", "sub-0011_ses-01_run-1_T2w.nii.gz"),
        "sub-0011_ses-02_64mT": (None, "sub-0011_ses-02_run-1_T2w.nii.gz"),
    }
    scans = ("highres_T1w", "lowres_run-2_T1w", "lowres_T2w")
    lay(
        tmp_path,
        *(f"{HIGH}_acq-{scan}.nii.gz" for scan in scans),
        f"{LOW.replace('0011', '0012')}_T1w.nii.gz",
    )
    best = ("sub-0011_acq-highres_T1w.nii.gz", "sub-0011_acq-lowres_T2w.nii.gz")
    assert found(tmp_path)["sub-0011_3T"] == best
    domains: dict[str, set[str]] = {}
    for visit in zenodo.visits(tmp_path):
        domains.setdefault(visit.subject, set()).add(visit.domain)
    assert domains == {"sub-0011": {"64mT", "3T"}, "sub-0012": {"64mT"}}
    root = tmp_path / "ordered"
    lay(root, *(f"{LOW.replace('0011', subject)}_T1w.nii.gz" for subject in ("0030", "0002", "0011")))
    (root / f"{HIGH}_acq-highres_T1w.nii.gz").mkdir(parents=True)
    assert [visit.subject for visit in zenodo.visits(root)] == ["sub-0002", "sub-0011", "sub-0030"]


def test_of_ixi_complete_visits_to_hammersmith_are_taken(tmp_path: Path) -> None:
    t1, t2 = "IXI-T1/IXI012-HH-1211-T1.nii.gz", "IXI-T2/IXI012-HH-1211-T2.nii.gz"
    lay(tmp_path, t1, t2, "IXI013-HH-1212-T1.nii.gz", "sub/ixi014_hh_1236_t2.nii")
    others = ("IXI002-Guys-0828-T1", "IXI035-IOP-0873-T1", "._IXI015-HH-1258-T1")
    others += tuple(f"IXI012-HH-1211-{kind}" for kind in ("PD", "MRA", "DTI-00"))
    lay(tmp_path, *(f"{name}.nii.gz" for name in others))
    assert ixi.visits(tmp_path) == [
        Visit("IXI012", "", "3T", tmp_path / t1, tmp_path / t2),
        Visit("IXI013", "", "3T", tmp_path / "IXI013-HH-1212-T1.nii.gz", None),
        Visit("IXI014", "", "3T", None, tmp_path / "sub/ixi014_hh_1236_t2.nii"),
    ]
    scans = ("0100-T1", "0100-T2", "0200-T1", "0200-T2", "0300-T1")
    lay(tmp_path / "several", *(f"IXI012-HH-{scan}.nii.gz" for scan in scans))
    [visit] = ixi.visits(tmp_path / "several")
    assert [visit.t1, visit.t2] == [tmp_path / f"several/IXI012-HH-0200-T{i}.nii.gz" for i in (1, 2)]
    assert all(map(ixi.wanted, ("IXI012-HH-1211-T1.nii.gz", "folder/IXI012-HH-1211-T2.nii.gz")))
    others = ("IXI012-Guys-1211-T2.nii.gz", "IXI012-HH-1211-PD.nii.gz", "IXI012-HH-1211-T1.nii.gz/evil")
    assert not any(map(ixi.wanted, others))


@pytest.mark.parametrize(
    ("source", "example"), [(zenodo, "64mT data/sub-"), (ixi, "IXI012-HH-1211-T1.nii.gz")]
)
def test_a_folder_without_scans_is_an_error_with_an_example(
    source: object, example: str, tmp_path: Path
) -> None:
    lay(tmp_path, "README.md", f"{LOW}_FLAIR.nii.gz")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError) as caught:
            source.visits(folder)  # type: ignore[attr-defined]
        message = str(caught.value)
        assert str(folder) in message and example in message and "\n" not in message
