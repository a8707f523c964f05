"""The card of made-up distances: multiples, intervals, and which part of the order fails."""

import json
import math

import pytest
import torch
from scipy.stats import t

from trainers.errors import InputError
from trainers.metrics.corruptions import CORRUPTIONS, Pairs
from trainers.metrics.resampling import Comparison, Jackknifed
from trainers.metrics.sensitivity import SCRAMBLED, SensitivityCard, cards

LEVELS = {
    "floor": 1.0,
    "noise 5 %": 2.0,
    **dict.fromkeys(("blur 1/2 pixel", "blur 2 mm", *SCRAMBLED), 4.0),
    "histogram-matched": 8.0,
    "input": 9.0,
}


def values(spread: float = 0.1, **changed: float) -> dict[str, Jackknifed]:
    """Means over 16 subjects whose own values differ from corruption to corruption by about ``spread``."""
    found = {}
    for i, (name, level) in enumerate((LEVELS | changed).items()):
        noise = torch.randn(16, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        own = level + spread * (noise - noise.mean()) / noise.std()
        mean = Comparison(16, lambda weights, own=own: {"mean": weights @ own / weights.sum(1)})
        found[name] = mean.jackknifed()["mean"]
    return found


def test_lines_are_multiples_of_the_floor_with_students_interval_and_survive_json() -> None:
    exact = values() | {"floor": Jackknifed(2.0, torch.full((16,), 2.0).double())}
    card = SensitivityCard.of("toy", exact)
    line = {line.corruption: line for line in card.lines}["input"]
    assert line.multiple == pytest.approx(4.5) and card.floor == 2 and card.floor_error == 0
    assert line.error == pytest.approx(0.1 / 4 / 2)
    assert line.high - line.multiple == pytest.approx(t.ppf(0.975, 15) * line.error)
    assert SensitivityCard.from_json(json.loads(json.dumps(card.to_json()))) == card
    # A floor that varies with the corruption cancels out of the multiple.
    twice = Jackknifed(2 * exact["input"].value, 2 * exact["input"].without)
    paired = SensitivityCard.of("toy", {"floor": exact["input"], "input": twice})
    assert paired.lines[1].multiple == pytest.approx(2) and paired.lines[1].error < 1e-12


@pytest.mark.parametrize(
    ("changed", "failures"),
    [
        ({}, []),
        ({"noise 5 %": 1.05}, ["floor < noise 5 %"]),
        ({"glued halves": 2.05, "shuffled": 1}, ["noise 5 % < shuffled", "noise 5 % < glued halves"]),
        ({"blur 1/2 pixel": 8.0, "blur 2 mm": 8.5}, ["blur 1/2 pixel < histogram-matched"]),
        ({"input": 7.98}, []),
        ({"input": 7.0}, ["histogram-matched <= input"]),
        (
            {"histogram-matched": math.nan},
            [
                *(f"{name} < histogram-matched" for name in ("blur 1/2 pixel", *SCRAMBLED)),
                "histogram-matched <= input",
            ],
        ),
    ],
)
def test_the_part_of_the_order_that_fails_beyond_chance_is_named(
    changed: dict[str, float], failures: list[str]
) -> None:
    card = SensitivityCard.of("toy", values(**changed))
    assert [line.split(":")[0] for line in card.failures] == failures and card.holds == (not failures)
    assert all("floors, difference" in line for line in card.failures)
    assert SensitivityCard.from_json(json.loads(json.dumps(card.to_json()))).failures == card.failures


def test_a_split_is_scored_with_every_corruption_by_every_distance() -> None:
    mask = torch.zeros(4, 40, 40, dtype=torch.bool)
    mask[:, 2:38, 2:38] = True
    real, source = torch.rand(2, 4, 1, 40, 40, generator=torch.Generator().manual_seed(0)) * mask[:, None]
    pairs = Pairs(real, mask, source, mask, [(0, 2), (2, 4)], 2.0)

    def distances(images: torch.Tensor, inside: torch.Tensor) -> dict[str, Jackknifed]:
        own = images.sum((1, 2, 3)).reshape(2, 2).sum(1) / inside.sum((1, 2)).reshape(2, 2).sum(1)
        scales = {"a": 1, "b": 3}
        return {name: Jackknifed(k * float(own.mean()), k * own.flip(0)) for name, k in scales.items()}

    found = cards(pairs, distances)
    assert list(found) == ["a", "b"] and [line.corruption for line in found["a"].lines] == list(CORRUPTIONS)
    assert found["b"].floor == pytest.approx(3 * found["a"].floor)
    by_name = {line.corruption: line.multiple for line in found["b"].lines}
    assert by_name["gain .95"] == pytest.approx(0.95) and by_name["floor"] == 1


@pytest.mark.parametrize("damage", [{}, {"lines": 3}, {"lines": [{"corruption": "floor"}]}, {"extra": 1}])
def test_a_damaged_card_is_one_line(damage: dict[str, object]) -> None:
    whole = SensitivityCard.of("toy", values()).to_json()
    with pytest.raises(InputError, match="sensitivity card: "):
        SensitivityCard.from_json(whole | damage if damage else {})
