"""Measures that a split cannot have are refused in one line, from the scans alone."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from platform.cohorts.measurable import require_evaluable, require_improvable, require_measurable
from platform.confirmation import run
from platform.storage.layout import Storage
from platform.study.settings import Constraint, Objective
from platform.study.study import Study
from typing import Any

import numpy as np
import pytest

from tests.platform.confirmation.examples import save_study
from trainers.data import writer
from trainers.data.store import CONTRASTS, DOMAINS, MASK, SHIFTED, SPLITS, Cohort
from trainers.errors import InputError
from trainers.metrics.lesions import MAP

SIDE = 48
COLUMNS = np.arange(SIDE) * np.ones((2, SIDE, 1))
TISSUES = np.choose((COLUMNS > 11) + 0 + (COLUMNS > 23), [0.1, 0.4, 0.8])
LESION = (COLUMNS - 36) ** 2 + (np.arange(SIDE)[:, None] - 24) ** 2 <= 5**2


def subject(name: str, split: str, domains: Collection[str], lesion: bool, apart: bool) -> Any:
    """Two slices of three bands of tissue, with a disc in the white one; ``apart``: masks that exclude it."""
    arrays: dict[tuple[str, str], Any] = {}
    for domain in domains:
        left = COLUMNS < SIDE / 2
        mask = (left if domain == "3T" else ~left) if apart else np.ones_like(left)
        arrays[domain, MASK] = mask.astype("uint8")
        for contrast in CONTRASTS:
            arrays[domain, contrast] = 2 * (TISSUES if contrast == "T1" else 0.9 - TISSUES) - 1
    facts = {"plane_of_slice": [0, 1]}
    return writer.SubjectArrays(name, split, arrays, facts, {MAP: (LESION * lesion).astype("uint8")})


def cohort(
    root: Path,
    counts: Mapping[str, int],
    paired: bool = True,
    lesions: Collection[str] = (),
    apart: str = "",
) -> Cohort:
    """So many subjects of each split; lesions in some splits; one with masks that do not overlap."""
    subjects = [subject(f"train-{domain}", "train", [domain], False, False) for domain in DOMAINS]
    for split, count in counts.items():
        domains = DOMAINS if paired else DOMAINS[:1]
        subjects += [
            subject(f"{split}-{i}", split, domains, split in lesions, f"{split}-{i}" == apart)
            for i in range(count)
        ]
    head = {"spacing": 2.0, "shape": [SIDE, SIDE], "dtype": "float32"}
    splits = (*SPLITS, SHIFTED) if SHIFTED in counts else SPLITS
    return Cohort.open(writer.write(root, "0" * 64, head, subjects, splits))


def by(study: Study, *objectives: str) -> Study:
    return replace(study, objectives=tuple(Objective(name, "minimize") for name in objectives))


def refusal(study: Study, opened: Cohort, *splits: str) -> str:
    with pytest.raises(InputError) as error:
        require_evaluable(study, opened, splits)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("split", "name"), [("val", "validation"), ("test", "test"), (SHIFTED, "shifted")])
def test_fidelity_needs_pairs_and_the_contrast(smoke: Study, tmp_path: Path, split: str, name: str) -> None:
    counts = dict.fromkeys(("val", "test", SHIFTED), 1)
    unpaired, paired = (cohort(tmp_path / str(p), counts, paired=p) for p in (False, True))
    line = refusal(by(smoke, "psnr"), unpaired, split)
    assert line.startswith(f"{smoke.path}: objectives: psnr needs paired {name}")
    allowed = line.split("allowed: ")[1].split(", ")
    assert {"fid", "kid", "piqe", "patch_fd"} < set(allowed) and not {"psnr", "rad_fid"} & set(allowed)
    require_evaluable(by(smoke, "psnr"), paired, [split])
    for metric in ("fid", "rad_fid"):  # the second: an earlier study's
        require_measurable(smoke, unpaired, split, {metric: "objectives"})
    alone = replace(by(smoke, "psnr_t1"), references={"channels": "t2"})
    assert "psnr_t1 is of a contrast that references: channels: t2" in refusal(alone, paired, split)


def test_constraints_are_required_where_candidates_are_ranked(smoke: Study, tmp_path: Path) -> None:
    study = replace(by(smoke, "fid"), constraints=(Constraint("ms_ssim", "min", 0.5),))
    unpaired = cohort(tmp_path, {"val": 1, "test": 1}, paired=False)
    assert "constraints: ms_ssim needs paired validation subjects" in refusal(study, unpaired, "val", "test")
    require_evaluable(study, unpaired, ["test"])


def test_a_split_needs_subjects_and_lesions_of_its_own(smoke: Study, tmp_path: Path) -> None:
    found = cohort(tmp_path, {"val": 4, "test": 4, SHIFTED: 3}, lesions=("val", SHIFTED))
    assert found.evaluated == ("val", "test", "shifted")
    extrapolated, extent = by(smoke, "fid", "fid_infinity"), by(smoke, "lesion_extent")
    require_evaluable(extrapolated, found, ["val", "test"])
    require_evaluable(extent, found, ["val", SHIFTED])
    few = "objectives: fid_infinity: 3 subjects of shifted are not allowed; allowed: 4 or more"
    assert refusal(extrapolated, found, *found.evaluated).endswith(few)
    assert "no paired subject of test has a lesion to score" in refusal(extent, found, *found.evaluated)
    assert "objectives: patch_fd: 1 pool subjects" in refusal(by(smoke, "patch_place"), found, "val")


def test_a_subject_whose_masks_do_not_overlap_is_named(smoke: Study, tmp_path: Path) -> None:
    found = cohort(tmp_path, {"val": 1, "test": 2}, apart="test-1")
    require_evaluable(by(smoke, "psnr"), found, ["val"])
    assert refusal(by(smoke, "fid"), found, "val", "test").startswith("cohort: test-1: its brain masks")


def test_evaluate_refuses_a_test_split_before_anything_is_trained(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cohort(tmp_path / "cohort", {"val": 4, "test": 3})
    saved = save_study(tmp_path, smoke, "completed")
    saved = replace(saved, study=by(smoke, "fid_infinity"))
    monkeypatch.setattr(run.cluster, "ensure_ray", lambda *_: None)
    monkeypatch.setattr(run, "prepare_cohort", lambda *_: found.path)
    monkeypatch.setattr(run, "prepare_references", lambda *_: pytest.fail("references were trained"))
    with pytest.raises(InputError, match="fid_infinity: 3 subjects of test are not allowed"):
        run.prepare(saved, Storage.open(tmp_path), None, tests=True)
    (found.path / "test/3T_T1.npy").write_bytes(b"damaged")
    saved = replace(saved, study=by(smoke, "fid"))
    with pytest.raises(InputError, match=r"test/3T_T1\.npy: holds 7 bytes"):
        run.prepare(saved, Storage.open(tmp_path), None, tests=True)


@pytest.mark.parametrize(
    ("name", "direction", "value", "floor"),
    [("psnr", "maximize", np.inf, None), ("ms_ssim", "maximize", 1.0, None), ("fid", "minimize", 0.25, 0.25)],
)
def test_an_objective_that_the_input_has_at_its_best_is_refused(
    smoke: Study, name: str, direction: Any, value: float, floor: float | None
) -> None:
    """Scans of one field under both names give this."""
    study = replace(smoke, objectives=(Objective(name, direction),))
    ends = {} if floor is None else {"floor": {name: floor}}
    require_improvable(study, {"input": {name: 0.2}, **ends})
    with pytest.raises(InputError, match=rf"objectives: {name} is \S+ for the untouched input") as error:
        require_improvable(study, {"input": {name: value}, **ends})
    assert "; allowed: other objectives, or scans of 64 mT that differ" in str(error.value)
