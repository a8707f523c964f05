"""Occupied time, in sums by hand; budgets are by a clock that nobody can set."""

from platform.storage.occupancy import Occupancy, elapsed, seconds_of_sessions
from typing import Any

import pytest


def entry(event: str, trial: int, seconds: float, session: str = "1") -> dict[str, Any]:
    return {"event": event, "trial": trial, "elapsed": seconds, "session": session, "time": 5.0}


def occupancy(*entries: dict[str, Any]) -> Occupancy:
    occupied = Occupancy()
    for each in entries:
        occupied.add(each)
    return occupied


def test_a_place_is_occupied_from_the_start_to_the_end_of_a_trial_whatever_the_end() -> None:
    started = [entry("started", 0, 1), entry("started", 1, 2), entry("reported", 0, 5)]
    ended = [entry("ended", 1, 5.5), entry("ended", 0, 8)]  # the second without any report
    assert Occupancy().seconds(1e9) == 0
    assert occupancy(entry("proposed", 0, 1)).seconds(11) == 0, "it waits for a place"
    assert occupancy(entry("proposed", 0, 0), started[0]).seconds(11) == 10
    finished = occupancy(*started, *ended)
    assert finished.seconds(8) == finished.seconds(1e9) == 7 + 3.5


def test_a_paused_trial_occupies_nothing() -> None:
    paused = [entry("started", 0, 1), entry("reported", 0, 4), entry("paused", 0, 4.5)]
    assert occupancy(*paused).seconds(1e9) == 3.5
    resumed = [*paused, entry("went_on", 0, 10), entry("started", 0, 11), entry("reported", 0, 12)]
    assert occupancy(*resumed).seconds(13) == 3.5 + 2
    continued = [*resumed, entry("went_on", 0, 12)]  # beyond a rung, without a pause
    assert occupancy(*continued, entry("ended", 0, 15)).seconds(1e9) == 3.5 + 4


def test_between_drivers_nothing_is_occupied() -> None:
    first = [entry("started", 0, 1), entry("started", 1, 2), entry("ended", 1, 3)]
    occupied = occupancy(*first)
    for session in ("2", "3", "4"):  # two drivers that wrote nothing
        occupied.start_session(session)
        assert occupied.seconds(1) == 2 + 1, "to the last entry of the first"
    second = [entry("started", 0, 5, "4"), entry("ended", 0, 6.5, "4")]
    for each in second:
        occupied.add(each)
    assert occupied.seconds(1e9) == occupancy(*first, *second).seconds(1e9) == 3 + 1.5


def test_of_format_1_the_time_of_day_counts_but_gives_nothing_back() -> None:
    old = {"event": "reported", "trial": 0, "time": 103.5, "session": "100.250"}
    assert elapsed(old) == 3.25 and elapsed({**old, "time": 90.0}) == 0
    assert elapsed(entry("reported", 0, 7.5)) == 7.5
    first, second = {**old, "time": 110.25}, {**old, "time": 901.0, "session": "900.250"}
    assert seconds_of_sessions([old, first, second]) == pytest.approx(10 + 0.75)
    assert seconds_of_sessions([]) == 0
