"""An objective that fails its sensitivity card is refused, unless the study allows it."""

from dataclasses import replace
from pathlib import Path
from platform.cohorts.sensitivity import require_sensitive, require_sensitive_patches
from platform.storage.layout import Storage
from platform.study.settings import Objective
from platform.study.study import Study
from typing import Any

import pytest

from tests.platform.reporting.test_sensitivity_table import CARDS
from trainers.errors import InputError
from trainers.metrics import card


def test_an_objective_that_is_blind_is_refused_with_the_line_that_fails(smoke: Study) -> None:
    message = (
        f"{smoke.path}: objectives: fid fails its card on this cohort (noise 5 % < blur 2 mm: "
        "4 against 2 floors, "
    )
    study = replace(smoke, allow_blind=False)
    with pytest.raises(InputError) as refusal:
        require_sensitive(study, CARDS)
    assert str(refusal.value).startswith(message)
    assert str(refusal.value).endswith("; allowed: patch_fd, any with allow_blind: true")
    for name, reason in {"fid_infinity": "fails its card", "piqe": "has no card"}.items():
        with pytest.raises(InputError, match=f"objectives: {name} {reason}"):
            require_sensitive(replace(study, objectives=(Objective(name, "minimize"),)), CARDS)
    require_sensitive(replace(study, allow_blind=True), CARDS)
    require_sensitive(replace(study, objectives=(Objective("patch_fd", "minimize"),)), CARDS)
    require_sensitive(study, {})


def test_a_study_without_the_setting_is_saved_as_before(smoke: Study) -> None:
    study = replace(smoke, allow_blind=False)
    assert "allow_blind" not in study.to_json()
    for each in (study, replace(study, allow_blind=True)):
        assert Study.from_json(each.to_json()) == each


def test_a_patch_distance_that_is_blind_is_refused_without_references(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = {"patch_fd": replace(CARDS["fid"], measure="patch_fd")}
    requested: list[str] = []
    monkeypatch.setattr(
        card,
        "read_or_compute_patches",
        lambda root, cohort, layout, waiting: requested.append(layout) or blind,
    )
    cohort: Any = None
    storage = Storage.open(tmp_path)
    study = replace(smoke, allow_blind=False)
    objectives = study.objectives
    by_patches = replace(study, objectives=(*objectives, Objective("patch_fd", "minimize")))
    for other in (study, replace(by_patches, allow_blind=True)):
        require_sensitive_patches(other, storage, cohort)
    assert not requested
    with pytest.raises(InputError, match="objectives: patch_fd fails its card on this cohort"):
        require_sensitive_patches(by_patches, storage, cohort)
    blind.clear()
    require_sensitive_patches(by_patches, storage, cohort)
    assert requested == 2 * ["t1_t2_mean"]
