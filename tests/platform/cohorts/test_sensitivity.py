"""An objective that fails its sensitivity card is refused, unless the study allows it."""

from dataclasses import replace
from platform.cohorts.sensitivity import require_sensitive
from platform.study.settings import Objective
from platform.study.study import Study

import pytest

from tests.platform.reporting.test_sensitivity_table import CARDS
from trainers.errors import InputError


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
