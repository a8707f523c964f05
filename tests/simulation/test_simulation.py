"""Studies with faults, each from one seed: what must hold holds after every event."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.simulated import Simulation

STUDIES = 150


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every fault has its warning."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_nothing_is_lost_or_run_twice_whatever_fails(tmp_path: Path) -> None:
    outcomes = [Simulation(seed, tmp_path / "study").run() for seed in range(STUDIES)]
    faults = sum((outcome.faults for outcome in outcomes), start=outcomes[0].faults.__class__())
    assert len(faults) == 10 and min(faults.values()) > STUDIES / 10
    assert sum(outcome.events for outcome in outcomes) > 80 * STUDIES


def test_a_seed_is_a_study(tmp_path: Path) -> None:
    for seed in range(5):
        first, again = (Simulation(seed, tmp_path / name).run() for name in "ab")
        assert first == again
