"""The time that trials hold their places, against sums by hand."""

from platform.storage.occupancy import Occupancy
from typing import Any


def entry(event: str, trial: int, time: float, session: str = "100.000") -> dict[str, Any]:
    return {"event": event, "trial": trial, "time": time, "session": session}


def heard(*entries: dict[str, Any]) -> Occupancy:
    held = Occupancy()
    for each in entries:
        held.hear(each)
    return held


def test_a_place_is_held_from_hand_out_to_end_whatever_the_end() -> None:
    assert Occupancy().seconds(1e9) == 0
    assert heard(entry("proposed", 0, 101.0)).seconds(111.0) == 0, "it waits for a place"
    assert heard(entry("proposed", 0, 90.0), entry("started", 0, 101.0)).seconds(111.0) == 10
    held = heard(
        entry("started", 0, 101.0),
        entry("started", 1, 102.0),
        entry("reported", 0, 105.0),
        entry("ended", 1, 103.5 + 2),  # it never came to a report
        entry("ended", 0, 108.0),
    )
    assert held.seconds(108.0) == held.seconds(1e9) == 7 + 3.5


def test_who_waits_holds_nothing() -> None:
    waits = [entry("started", 0, 101.0), entry("reported", 0, 104.0), entry("paused", 0, 104.5)]
    assert heard(*waits).seconds(1e9) == 3.5
    goes_on = [*waits, entry("went_on", 0, 110.0), entry("started", 0, 111.0), entry("reported", 0, 112.0)]
    assert heard(*goes_on).seconds(113.0) == 3.5 + 2
    passes = [*goes_on, entry("went_on", 0, 112.0)]  # beyond a rung, without a pause
    assert heard(*passes, entry("ended", 0, 115.0)).seconds(1e9) == 3.5 + 4


def test_between_drivers_nothing_is_held() -> None:
    first = [entry("started", 0, 101.0), entry("started", 1, 102.0), entry("ended", 1, 103.0)]
    held = heard(*first)
    held.begin("500.000")
    assert held.seconds(500.0) == held.seconds(504.0) == (103 - 101) + 1, "to the last that the first wrote"
    second = [entry("started", 0, 505.0, "500.000"), entry("ended", 0, 506.5, "500.000")]
    for each in second:
        held.hear(each)
    assert held.seconds(1e9) == 3 + 1.5
    assert heard(*first, *second).seconds(1e9) == 3 + 1.5, "so it is read back"


def test_a_driver_that_wrote_nothing_costs_nothing() -> None:
    held = heard(entry("started", 0, 101.0), entry("reported", 0, 103.0))
    for session in ("200.000", "300.000", "400.000"):
        held.begin(session)
        assert held.seconds(float(session) + 1) == 2


def test_a_clock_that_was_set_back_gives_no_time_back() -> None:
    held = heard(entry("started", 0, 150.0), entry("reported", 0, 160.0), entry("started", 1, 120.0))
    assert held.seconds(130.0) == 0
    held.hear(entry("ended", 0, 130.0))
    assert held.seconds(130.0) == 10
