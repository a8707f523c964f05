"""From a clinic's scans to a cohort: splits, registration, exclusions, repeated preparation."""

import csv
import json
import os
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.trainers.cohorts.geometry import dice
from trainers import weights
from trainers.cohorts.preprocessing import registration
from trainers.cohorts.preprocessing.frame import Frame
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.slicing import axial
from trainers.data.arrays import Array
from trainers.data.grid import PERCENTILES
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.files import file_sha256

UNPAIRED = {"sub-a_ses-1_64mT", "sub-a_ses-2_64mT", "sub-b_64mT", "sub-hh1_3T", "sub-hh2_3T"}


def cohort(site: Any) -> Cohort:
    """The one cohort of a storage."""
    (path,) = (site.storage / "cohorts").iterdir()
    return Cohort.open(path)


def subjects(opened: Cohort) -> dict[str, dict[str, Any]]:
    return {subject["id"]: subject for subject in opened.manifest["subjects"]}


def rows(opened: Cohort, subject: str, domain: str, kind: str) -> Array:
    entry = subjects(opened)[subject]
    split = opened.split(entry["split"])
    array = split.mask(domain) if kind == "mask" else split.slices(domain, kind)
    return np.asarray(array[entry["start"] : entry["stop"]])


def test_manifest_and_outcome_list_splits_provenance_and_every_visit(prepared: Any) -> None:
    opened = cohort(prepared)
    opened.verify()
    assert set(subjects(opened)) == UNPAIRED | {"sub-v", "sub-t"}
    assert opened.manifest["cohort"] == "folder" and opened.manifest["config"]["val"] == 1
    assert opened.spacing == 2 and opened.shape == (112, 96)
    assert opened.manifest["set_aside"] == prepared.reasons()
    splits = {entry["id"].split("_")[0]: entry["split"] for entry in opened.manifest["subjects"]}
    assert opened.manifest["volunteers"] == splits
    for entry in subjects(opened).values():
        provenance = entry["provenance"]
        assert len(provenance["slices"]) == entry["stop"] - entry["start"] > 5
        for domain, visit in provenance["visits"].items():
            assert visit["visit"]["domain"] == domain and visit["visit"]["split"] == ""
            assert visit["visit"]["subject"] == entry["id"].split("_")[0]
            assert set(visit["inputs"]) == {"T1", "T2"} == set(visit["to_scan"])
            assert any(line.startswith("antspyx ") for line in visit["settings"])
            assert {"target", "target_to_visit"} <= set(visit) if domain == "3T" else "frame" in visit
            for contrast, sum_ in visit["inputs"].items():
                assert file_sha256(Path(visit["visit"][contrast.lower()])) == sum_
    # Sessions of one volunteer are counted as that volunteer (DATA.md trap 10).
    found = defaultdict(set)
    for entry in cohort(prepared).manifest["subjects"]:
        for visit in entry["provenance"]["visits"].values():
            found[entry["split"]].add(visit["visit"]["subject"])
    assert found["train"] == {"sub-a", "sub-b", "sub-hh1", "sub-hh2"}
    assert found["val"] | found["test"] == {"sub-v", "sub-t"} and not found["val"] & found["test"]
    assert prepared.reasons() == {
        "sub-v_ses-2_64mT": "a further session of a paired volunteer, of whom another is used"
    }
    outcome = json.loads(prepared.workspace.outcome.read_text())
    assert outcome["source"] == "folder" and len(outcome["visits"]) == 10
    for row in outcome["visits"]:
        assert (row["folder"] is None) == bool(row["reason"])
        if row["folder"]:
            assert weights.verify(Path(row["folder"]))["visit"]["subject"] == row["subject"]


@pytest.mark.parametrize("subject", ["sub-v", "sub-t"])
def test_slices_of_a_pair_agree_row_by_row(subject: str, prepared: Any) -> None:
    """Kept are exactly those slices with a tenth of brain at both fields."""
    opened = cohort(prepared)
    low, high = (rows(opened, subject, domain, "mask") for domain in ("64mT", "3T"))
    assert low.shape == high.shape and min(low.mean((1, 2)).min(), high.mean((1, 2)).min()) >= 0.1
    assert min(dice(x > 0, y > 0) for x, y in zip(low, high, strict=True)) > 0.9
    whole = {}
    for folder in prepared.workspace.visits.glob(f"{subject}_*"):
        mask = weights.read_tensors(folder, "slices")["mask"].numpy()
        whole[weights.read_manifest(folder)["visit"]["domain"]] = mask.mean((1, 2)) >= 0.1
    expected = np.flatnonzero(whole["64mT"] & whole["3T"]).tolist()
    assert subjects(opened)[subject]["provenance"]["slices"] == expected


@pytest.mark.parametrize("person", ["v", "t"])
def test_3_t_slices_and_transforms_are_registered_to_64_mt(person: str, clinic: Any, prepared: Any) -> None:
    """Both phantoms were imaged in one space, where the 3 T scan is aligned with its 64 mT one."""
    opened = cohort(prepared)
    provenance = subjects(opened)[f"sub-{person}"]["provenance"]
    frame, kept = Frame.read(provenance["visits"]["64mT"]["frame"]), provenance["slices"]
    for contrast in ("T1", "T2"):
        values, affine = clinic.volumes[person, "3T", contrast]
        brain = axial(registration.resample(Image(values > 0, affine), frame.image, np.eye(4), 1))[kept] > 0.5
        mask = rows(opened, f"sub-{person}", "3T", "mask") > 0
        assert dice(brain, mask) > 0.97
        exact = axial(registration.resample(Image(values, affine), frame.image, np.eye(4), 1))[kept]
        both = brain & mask
        found = rows(opened, f"sub-{person}", "3T", contrast)
        assert np.corrcoef(exact[both], found[both])[0, 1] > 0.93
        assert (found[~mask] == -1).all() and found.max() == 1
    visit, voxels = provenance["visits"]["3T"], np.argwhere(values > 0)[::50]  # of T2
    points = np.c_[voxels, np.ones(len(voxels))] @ affine.T
    moved = points @ (np.array(visit["to_scan"]["T2"]) @ np.array(visit["target_to_visit"])).T
    assert np.linalg.norm(moved - points @ clinic.move.T, axis=1).mean() < 0.7


def test_64_mt_slices_are_the_scan_itself(clinic: Any, prepared: Any) -> None:
    """Mapped back to the native grid they are the scan."""
    opened = cohort(prepared)
    provenance = subjects(opened)["sub-b_64mT"]["provenance"]
    frame = Frame.read(provenance["visits"]["64mT"]["frame"])
    values, affine = clinic.volumes["b", "64mT", "T1"]
    np.testing.assert_allclose(frame.affine, affine, atol=1e-5)
    whole = np.full((frame.box[2][1] - frame.box[2][0], *opened.shape), -1.0, np.float32)
    whole[provenance["slices"]] = rows(opened, "sub-b_64mT", "64mT", "T1")
    brain = values > 0
    low, high = np.percentile(values[brain], PERCENTILES)
    kept = np.zeros_like(brain)
    kept[:, :, np.array(provenance["slices"]) + frame.box[2][0]] = True
    inside = brain & kept
    exact = np.clip((values - low) / (high - low), 0, 1)[inside]
    assert np.corrcoef(frame.volume(whole)[inside], exact)[0, 1] > 0.97


def test_unpaired_3_t_are_registered_to_the_first_training_visit_or_the_chosen_one(
    prepared: Any, site: Any
) -> None:
    found = subjects(cohort(prepared))
    targets = {name: found[name]["provenance"]["visits"]["3T"]["target"] for name in found if "hh" in name}
    assert {target.rpartition("-")[0] for target in targets.values()} == {"sub-a_ses-1_64mT"}
    pairs = (found[name]["provenance"]["visits"]["3T"]["target"] for name in ("sub-v", "sub-t"))
    assert {target.rpartition("-")[0] for target in pairs} == {"sub-v_ses-1_64mT", "sub-t_64mT"}

    chosen = site.prepare(reference="sub-b_64mT")
    assert chosen.hash != cohort(prepared).hash
    target = subjects(chosen)["sub-hh1_3T"]["provenance"]["visits"]["3T"]["target"]
    assert target.startswith("sub-b_64mT-")
    for wrong in ("sub-c_64mT", "sub-v_ses-1_64mT", "sub-hh1_3T"):
        message = f"reference: '{wrong}' is not a 64 mT training visit; allowed: sub-a_ses"
        with pytest.raises(InputError, match=message):
            site.prepare(reference=wrong)


def test_a_cohort_is_found_again_when_its_scans_moved(
    prepared: Any, tmp_path: Path, examined: list[str]
) -> None:
    scans, storage = tmp_path / "moved", tmp_path / "storage"
    shutil.copytree(prepared.scans, scans, copy_function=os.link)
    shutil.copytree(prepared.storage / "cohorts", storage / "cohorts")
    moved = replace(prepared, config=replace(prepared.config, root=str(scans)), storage=storage)
    shutil.copytree(prepared.workspace.visits, moved.workspace.visits)
    assert moved.prepare().hash == cohort(prepared).hash
    assert moved.prepare().manifest["config"]["root"] == str(prepared.scans)  # it was found, not built
    assert examined == []


def test_a_visit_is_redone_only_where_something_changed(site: Any, examined: list[str]) -> None:
    first = site.prepare()
    assert examined == []
    image = nib.load(site.scan("sub-b_acq-64mT_T1w"))
    brighter = nib.Nifti1Image(image.get_fdata(dtype=np.float32) * 2, image.affine)
    site.put("sub-b_acq-64mT_T1w", brighter.to_bytes())
    shutil.move(site.scan("sub-b_acq-64mT_T1w"), site.scans / "sub-b/anat/sub-b_acq-64mT_T1w.nii")
    second = site.prepare()
    assert examined == ["sub-b_acq-64mT_T1w.nii"] and second.hash != first.hash
    site.prepare(brain_mask="given")
    assert len(examined) == 1 + 9
    site.prepare()
    assert len(examined) == 1 + 9


def test_failing_visits_are_excluded_with_their_reason(site: Any) -> None:
    site.put("sub-b_acq-64mT_T2w", site.scan("sub-b_acq-64mT_T2w").read_bytes()[:-100])
    site.scan("sub-a_ses-2_acq-64mT_T2w").unlink()
    site.scan("sub-hh1_acq-3T_T1w").unlink()
    found = site.prepare()
    reasons = site.reasons()
    assert reasons.pop("sub-v_ses-2_64mT").startswith("a further session")
    unreadable = f"{site.scan('sub-b_acq-64mT_T2w')}: not a readable NIfTI scan"
    assert reasons.pop("sub-b_64mT").startswith(unreadable)
    assert reasons == {
        "sub-a_ses-2_64mT": "sub-a_ses-2_64mT: has no T2 scan; allowed: both contrasts",
        "sub-hh1_3T": "sub-hh1_3T: has no T1 scan; allowed: both contrasts",
    }
    assert set(subjects(found)) == {"sub-a_ses-1_64mT", "sub-hh2_3T", "sub-v", "sub-t"}
    with site.workspace.exclusions.open(newline="") as stream:
        notes = {row["visit"]: row["reason"] for row in csv.DictReader(stream)}
    assert len(notes) == 10 and {name for name, note in notes.items() if note} == set(site.reasons())


def test_a_flagged_visit_is_excluded_until_a_person_includes_it(site: Any) -> None:
    names = [f"sub-b_acq-64mT_{contrast}w" for contrast in ("T1", "T2")]
    first, second = (site.scan(name).read_bytes() for name in names)
    site.put(names[0], second)
    site.put(names[1], first)
    assert "sub-b_64mT" not in subjects(site.prepare())
    message = site.reasons()["sub-b_64mT"]
    assert (
        message.startswith("flagged: T1: said to be T1w but looks like T2")
        and "; T2: said to be T2w" in message
    )
    site.answer(sub_b_64mT="no")
    assert "sub-b_64mT" in subjects(site.prepare()) and "sub-b_64mT" not in site.reasons()
    site.answer(sub_b="")
    assert "sub-b_64mT" not in subjects(site.prepare())


def test_exclusions_change_no_other_split(site: Any, examined: list[str]) -> None:
    before = {name: entry["split"] for name, entry in subjects(site.prepare()).items()}
    site.answer(sub_b="yes", sub_hh2_3T="yes", **{"sub_a_ses-2_64mT": "yes"})
    after = {name: entry["split"] for name, entry in subjects(site.prepare()).items()}
    assert after == {name: before[name] for name in ("sub-a_ses-1_64mT", "sub-hh1_3T", "sub-v", "sub-t")}
    assert list(site.reasons().values()).count("excluded by hand") == 3 and examined == []
    site.answer(sub_b="")
    assert {name: entry["split"] for name, entry in subjects(site.prepare()).items()} == before


def test_another_session_replaces_an_excluded_or_damaged_one(site: Any) -> None:
    site.answer(**{"sub_v_ses-1_64mT": "yes"})
    visits = subjects(site.prepare())["sub-v"]["provenance"]["visits"]
    assert visits["64mT"]["visit"]["session"] == "ses-2"
    assert visits["3T"]["target"].startswith("sub-v_ses-2_64mT-")
    site.workspace.exclusions.unlink()
    site.put("sub-v_ses-1_acq-64mT_T1w", b"not a scan")
    found = subjects(site.prepare())
    assert found["sub-v"]["provenance"]["visits"]["64mT"]["visit"]["session"] == "ses-2"
    assert "is not compressed" in site.reasons()["sub-v_ses-1_64mT"]


def test_too_few_visits_are_an_error_and_their_reasons_are_kept(site: Any) -> None:
    split = {entry["split"]: name for name, entry in subjects(site.prepare()).items()}
    for answers, message in (
        ({"sub_a": "yes", "sub_b": "yes"}, "no 64mT visit is left for train"),
        ({"sub_hh1": "yes", "sub_hh2": "yes"}, "no 3T visit is left for train"),
        ({split["val"].replace("-", "_"): "yes"}, "no 64mT visit is left for val"),
        ({f"{split['test'].replace('-', '_')}_3T": "yes"}, "no 64mT visit is left for test"),
    ):
        site.answer(**answers)
        with pytest.raises(InputError) as caught:
            site.prepare()
        assert message in str(caught.value) and str(site.workspace.outcome) in str(caught.value)
        assert "excluded by hand" in site.reasons().values()
    site.answer(sub_a="yes", sub_b="yes")
    with pytest.raises(InputError):
        site.prepare()
    assert site.reasons()["sub-hh1_3T"] == "no 64 mT visit is left that it could go to"


def test_a_wrong_registration_is_flagged(prepared: Any, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter turn about the brain's middle keeps the brains aligned, and nothing else."""
    volume = nib.load(site.scan("sub-v_acq-3T_T1w"))
    middle = volume.affine[:3, :3] @ np.argwhere(volume.get_fdata()).mean(0) + volume.affine[:3, 3]
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    monkeypatch.setattr(registration, "register", lambda *_, **__: turn)
    next(site.workspace.visits.glob("sub-v_3T-*")).rename(site.scans.parent / "away")
    with pytest.raises(InputError, match="no 64mT visit is left for val"):
        site.prepare()
    assert "its registration is doubtful: turned by" in site.reasons()["sub-v_3T"]


def test_an_empty_split_is_an_error_before_preparation(site: Any, examined: list[str]) -> None:
    with pytest.raises(InputError, match="val 2 leaves no 64mT visit for test: 2 volunteers are paired"):
        site.prepare(val=2)
    assert examined == [] and not site.workspace.outcome.exists()
