"""Cards as tables: a line a corruption, and whether the order holds."""

from platform.reporting import sensitivity_table

import torch

from tests.platform.reporting.reading import markdown_cells, screen
from trainers.metrics.resampling import Jackknifed
from trainers.metrics.sensitivity import SensitivityCard


def card(name: str, *values: float) -> SensitivityCard:
    """A card of three corruptions, known to 1 %."""
    spread = torch.linspace(-0.01, 0.01, 8, dtype=torch.float64)
    names = ("floor", "noise 5 %", "blur 2 mm")
    found = {n: Jackknifed(v, v + v * spread / 8) for n, v in zip(names, values, strict=True)}
    return SensitivityCard.of(name, found)


CARDS = {
    "fid": card("fid", 1.0, 4.0, 2.0),
    "patch_fd": card("patch_fd", 0.5, 1.0, 20.0),
    "patch_place": card("patch_place", 0.5, 1.0, 20.0),
}


def test_each_corruption_is_a_line_in_multiples_of_the_floor() -> None:
    heads, *lines = markdown_cells(sensitivity_table.markdown(CARDS))
    assert heads == ["corruption", "FID", "patch distance", "patch distance, place"]
    assert [line[0] for line in lines] == ["floor", "noise 5 %", "blur 2 mm"]
    assert lines[2][1].startswith("2.000 [") and lines[2][2] == "40.00 [40.00, 40.00]"


def test_what_fails_is_named_and_the_parts_of_a_distance_are_not_on_the_screen() -> None:
    shown = screen(sensitivity_table.terminal(CARDS), width=120)
    assert "patch distance" in shown and "place" not in shown
    failed, passed = sensitivity_table.verdicts(CARDS)
    assert failed.startswith("FID: fails its sensitivity card: noise 5 % < blur 2 mm: 4 against 2 floors")
    assert passed == "patch distance: sees anatomy: the wanted order holds on 8 subjects"
