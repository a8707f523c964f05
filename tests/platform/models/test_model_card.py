"""A model's card: figures in words and as tags, and what is missing is said to be missing."""

from pathlib import Path
from platform.models import model_card
from typing import Any

import pytest

from trainers.data.store import Cohort

RATES: dict[str, Any] = {
    "split": "val",
    "contrast": 1.26,
    "contrast_of_3t": 1.19,
    "vanished": 0.012,
    "false": 0.25,
    "parts": 84,
    "subjects": 16,
}
ORIGIN = {"study": "s", "trial": "2", "steps": "3", "cohort": "0123456789abcdef0", "validation.psnr": "19.2"}


def test_figures_are_in_words_and_tags() -> None:
    words = model_card.sentence(RATES)
    for part in ("84 parts", "126% of the input's", "119% of the 3 T's", "vanished 1.2%", "0.25 a subject"):
        assert part in words
    assert model_card.tags(RATES)["lesions.contrast"] == "1.26" and len(model_card.tags(RATES)) == len(RATES)
    card = model_card.text("name", ORIGIN, RATES)
    assert words in card and "trial 2 at 3 refinement steps" in card and "psnr 19.2" in card


@pytest.mark.parametrize(
    ("found", "words", "tags"),
    [
        ({**RATES, "false": None}, "false appearances not measured", len(RATES) - 1),
        ({"not measured": "no map"}, "Lesions: not measured: no map.", 1),
    ],
)
def test_a_missing_figure_is_said_to_be_missing(found: dict[str, Any], words: str, tags: int) -> None:
    assert words in model_card.sentence(found) and len(model_card.tags(found)) == tags


def test_references_that_are_gone_are_the_reason(tmp_path: Path) -> None:
    found = model_card.lesions(tmp_path, 1, Cohort(tmp_path, {}), tmp_path / "references")
    assert "references" in found[model_card.MISSING]
