"""Nobody's name travels: identifiers planted in headers, paths and names are in nothing that is written.

The screen names what the user gave. Of `prepare` the tables and manifests on the user's own storage hold the
paths of scans, by which it resumes; its page does not.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from platform import prepare, translate
from platform.cohorts import build
from platform.execution import cluster
from platform.study.settings import CohortChoice
from platform.tracking.provenance import environment
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from trainers.cohorts.folder import FolderConfig
from trainers.cohorts.phantom import PhantomConfig, native_volumes
from trainers.errors import InputError

NAME, BORN, ID, ACCESSION, DATE, PLACE = (
    "DOE^JANE",
    "19700101",
    "PID4711",
    "ACC987654",
    "20240203",
    "St Elsewhere",
)
PLANTED = (NAME, "Jane Doe", "jane_doe", BORN, ID, ACCESSION, DATE, PLACE)
Volumes = dict[tuple[str, str], tuple[NDArray[Any], NDArray[Any]]]
Words = list[object]


@pytest.fixture(scope="module")
def volumes() -> Volumes:
    """One subject of the phantom."""
    return dict(native_volumes(PhantomConfig(train=1, val=1, test=1, anatomy="first"), "test-0000"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose name holds a person's."""
    folder = tmp_path / f"{NAME}_{BORN}"
    folder.mkdir()
    return folder


def planted(folder: Path) -> list[str]:
    """Every identifier, and path, in the names and contents of files; what is compressed is unpacked."""
    found = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        for word in (*PLANTED, str(folder.parent)):
            if word.encode() in content or word in str(path.relative_to(folder)):
                found.append(f"{word} in {path.name}")
    return found


def dicom_folder(home: Path, volumes: Volumes, series: Any) -> Words:
    """Two series in one folder, every name of the standard planted."""
    folder = home / "exam"
    for number, contrast in enumerate(("T1", "T2"), 1):
        values, _ = volumes["64mT", contrast]
        stored = np.rint(1000 * values / values.max())[::-1, ::-1].transpose(2, 1, 0)  # LPS
        series(folder, stored, spacing=(3.2, 3.2, 10.0), number=number)
        for path in list(folder.glob(f"{number}_*")):
            image = pydicom.dcmread(path)
            image.PatientName, image.PatientID, image.PatientBirthDate = NAME, ID, BORN
            image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = DATE
            image.StudyTime = image.AcquisitionTime = "101112"
            image.AccessionNumber, image.InstitutionName, image.StudyID = ACCESSION, PLACE, ID
            image.SeriesDescription = image.ProtocolName = image.ImageComments = f"Jane Doe {contrast}"
            image.ReferringPhysicianName = image.OperatorsName = NAME
            image.save_as(folder / f"jane_doe_{path.name}")
            path.unlink()
    return ["--t1", folder, "--t2", folder, "--series", "T1=1", "--series", "T2=2"]


def nifti_files(home: Path, volumes: Volumes, series: Any) -> Words:
    """Two files whose headers, extensions, names and sidecars hold the person's."""
    for contrast in ("T1", "T2"):
        image = nib.Nifti1Image(*volumes["64mT", contrast])
        for key in ("descrip", "db_name", "aux_file", "intent_name"):
            image.header[key] = NAME
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{NAME} {DATE}".encode()))
        nib.save(image, home / f"jane_doe_{contrast}.nii.gz")
        facts = {"PatientName": NAME, "AcquisitionDateTime": DATE, "MagneticFieldStrength": 0.064}
        (home / f"jane_doe_{contrast}.json").write_text(json.dumps(facts))
    return ["--t1", home / "jane_doe_T1.nii.gz", "--t2", home / "jane_doe_T2.nii.gz"]


def bids_folder(home: Path, volumes: Volumes, series: Any) -> Words:
    """A data set below the person's folder; of its visits one is damaged, one ambiguous, one wrong."""
    for number, field in ((1, "64mT"), (1, "3T"), (2, "64mT"), (3, "64mT"), (4, "64mT")):
        anat = home / f"bids/sub-{number}/anat"
        anat.mkdir(parents=True, exist_ok=True)
        for contrast in ("T1", "T2"):
            path = anat / f"sub-{number}_acq-{field}_{contrast}w.nii.gz"
            nib.save(nib.Nifti1Image(*volumes[field, contrast]), path)
    (anat / "sub-4_acq-64mT_T1w.json").write_text('{"MagneticFieldStrength": 3}')
    (home / "bids/sub-2/anat/sub-2_acq-64mT_T1w.nii.gz").write_bytes(b"no scan")
    one = home / "bids/sub-3/anat/sub-3_acq-64mT_T1w.nii.gz"
    for view in ("A", "B"):
        one.with_name(f"sub-3_acq-64mT{view}_T1w.nii.gz").write_bytes(one.read_bytes())
    one.unlink()
    (home / "bids/dataset_description.json").write_text(json.dumps({"Name": NAME, "BIDSVersion": "1.8.0"}))
    return ["--bids", home / "bids"]


@pytest.mark.parametrize("given", [dicom_folder, nifti_files, bids_folder])
def test_nothing_that_translate_writes_names_anybody(
    given: Callable[..., Words], home: Path, volumes: Volumes, series: Any, translator: Any, tmp_path: Path
) -> None:
    words = given(home, volumes, series)
    out = tmp_path / "results" / "out"
    command = [translator("unsb"), *words, "-o", out, "--uncertainty", 2]
    try:
        translate.main([str(word) for word in command])
    except ValueError as error:  # of the damaged visits
        assert "visits were not translated" in str(error)
    translate.main([str(home), str(out), "group"])
    assert len(list(out.rglob("*.nii.gz"))) == 4 and len(list(out.rglob("*.png"))) == 1
    assert planted(out) == []
    assert set(tmp_path.iterdir()) == {home, tmp_path / "results"}


def test_the_check_finds_what_is_planted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.gz").write_bytes(gzip.compress(NAME.encode()))
    (out / "jane_doe.txt").write_text(f"{tmp_path}/x {DATE}")
    assert len(planted(out)) == 4


def test_the_page_of_a_table_names_no_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too few visits are left to train: their reasons are on the page nevertheless."""
    monkeypatch.setattr(cluster, "start_ray", lambda address, resources: None)
    monkeypatch.setattr(build, "ray_map", lambda function, items, on_crash, here: map(function, items))
    lines = ["subject,domain,contrast,path"]
    for number, field in enumerate(("64mT", "64mT", "64mT", "3T")):
        for contrast in ("T1", "T2"):
            path = home / f"jane_doe_{BORN}_{number}_{contrast}.nii.gz"
            path.write_bytes(b"no scan")
            path.with_name(f"jane_doe_{BORN}_{number}_{contrast}.json").write_text(f'{{"PatientID": "{ID}"}}')
            lines.append(f"{number},{field},{contrast},{path.name}")
    (home / "scans.csv").write_text("\n".join(lines))
    words = ["--cohort", "folder", "--root", home / "scans.csv", "--val", 1, "--test", 1]
    with pytest.raises(InputError, match="no 64mT visit is left for train"):
        prepare.main([str(word) for word in (*words, "--storage", tmp_path / "runs")])
    assert f"{home}/jane_doe_{BORN}_0_T1.nii.gz: is not compressed" in capsys.readouterr().out
    (page,) = (tmp_path / "runs").rglob("quality.html")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/quality.html").write_bytes(page.read_bytes())
    assert planted(tmp_path / "shared") == [] and "T1.nii.gz: is not compressed" in page.read_text()


def test_tags_of_a_study_hold_no_path_of_its_scans(toy: Any) -> None:
    study = toy(cohort=CohortChoice("folder", FolderConfig(root=f"/data/{NAME}/bids")))
    assert NAME not in json.dumps(environment(study))
