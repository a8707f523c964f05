"""New studies whose trials use the teacher are refused where linear filters beat it."""

from dataclasses import replace
from pathlib import Path
from platform.cohorts.teacher import require_teacher, uses_teacher
from platform.spaces.loader import load_study
from platform.study.study import Study
from typing import Any

import pytest

from trainers import weights
from trainers.errors import InputError
from trainers.references import store, teacher_check
from trainers.references.teacher_check import Denoising

COHORT: Any = None
"""Not read where the figures are stored."""


def _stored(folder: Path, *figures: Denoising) -> Path:
    weights.publish(folder / "teacher", {}, {"denoising": [vars(each) for each in figures]}, "reference")
    return folder


def test_a_teacher_that_loses_is_one_line_with_time_figures_and_what_to_change(
    smoke: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early, late = Denoising(20, 0.0033, 0.0036, 0.0034, 1e-5), Denoising(900, 0.28, 0.2748, 0.3071, 0.002)
    folder = _stored(tmp_path / "weak", early, late)
    with pytest.raises(InputError) as refusal:
        require_teacher(smoke, folder, COHORT)
    message = str(refusal.value)
    assert "\n" not in message and message.startswith(f"{smoke.path}: references: teacher_steps: 100000 ")
    for part in ("t = 900", "teacher 0.28", "Fourier-Wiener filter 0.2748", "8x8 patches 0.3071"):
        assert part in message
    assert message.endswith("allowed: more steps, or teacher_check: false")
    others = tuple(each for each in smoke.search if each.name != "lambda_DMD")
    for study in (
        replace(smoke, references={**smoke.references, "teacher_check": False}),
        replace(smoke, search=others, start=(), fixed={**smoke.fixed, "lambda_DMD": 0.0, "lambda_cls": 0.0}),
    ):
        require_teacher(study, folder, COHORT)
    assert capsys.readouterr().out == ""
    require_teacher(smoke, _stored(tmp_path / "good", early), COHORT)
    assert "0.971" in capsys.readouterr().out
    require_teacher(smoke, _stored(tmp_path / "tie", replace(late, uncertainty=0.003)), COHORT)
    assert "1.019" in capsys.readouterr().out
    require_teacher(smoke, _stored(tmp_path / "unpaired"), COHORT)
    assert capsys.readouterr().out == ""


def test_one_that_was_not_checked_when_it_was_trained_is_checked_now(
    smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.publish(tmp_path / "teacher", {}, {}, "reference")
    opened = type("Opened", (), {"teacher": "teacher"})
    monkeypatch.setattr(store.References, "open", lambda folder: opened)
    monkeypatch.setattr(teacher_check, "check", lambda *given: [vars(Denoising(50, 3.0, 2.0, 4.0, 0.1))])
    with pytest.raises(InputError, match=r"t = 50: teacher 3, Fourier-Wiener filter 2, 8x8 patches 4"):
        require_teacher(smoke, tmp_path, COHORT)


@pytest.mark.parametrize(
    ("space", "expected"),
    [("unsb", False), ("unsb_asp", False), ("unsb_dmd", True), ("asp_dmd", True), ("sdedit", True)],
)
def test_the_teacher_is_used_by_dmd2_and_by_sdedit(space: str, expected: bool) -> None:
    assert uses_teacher(load_study(Path(f"search_spaces/{space}.yaml"), profile="smoke")) == expected
