"""The time that trials hold their places, against sums by hand."""

from platform.held import Held
from typing import Any


def entry(event: str, trial: int, time: float, session: str = "100.000") -> dict[str, Any]:
    return {"event": event, "trial": trial, "time": time, "session": session}


def heard(*entries: dict[str, Any]) -> Held:
    held = Held()
    for each in entries:
        held.hear(each)
    return held


def test_a_place_is_held_from_proposal_to_end_whatever_the_end() -> None:
    assert Held().seconds(1e9) == 0
    assert heard(entry("proposed", 0, 101.0)).seconds(111.0) == 10, "what runs is paid for"
    held = heard(
        entry("proposed", 0, 101.0),
        entry("proposed", 1, 102.0),
        entry("reported", 0, 105.0),
        entry("ended", 1, 103.5),  # it never came to a report
        entry("ended", 0, 108.0),
    )
    assert held.seconds(108.0) == held.seconds(1e9) == 7 + 1.5


def test_who_waits_holds_nothing() -> None:
    waits = [entry("proposed", 0, 101.0), entry("reported", 0, 104.0), entry("paused", 0, 104.5)]
    assert heard(*waits).seconds(1e9) == 3.5
    goes_on = [*waits, entry("went_on", 0, 110.0), entry("reported", 0, 112.0)]
    assert heard(*goes_on).seconds(113.0) == 3.5 + 3
    passes = [*goes_on, entry("went_on", 0, 112.0)]  # beyond a rung, without a pause
    assert heard(*passes, entry("ended", 0, 115.0)).seconds(1e9) == 3.5 + 5


def test_between_drivers_nothing_is_held() -> None:
    first = [entry("proposed", 0, 101.0), entry("proposed", 1, 102.0), entry("ended", 1, 103.0)]
    held = heard(*first)
    held.begin("500.000")
    assert held.seconds(500.0) == (103 - 101) + 1, "up to the last that the first driver wrote"
    assert held.seconds(504.0) == 3 + 4, "the open trial goes on"
    held.hear(entry("ended", 0, 506.0, "500.000"))
    assert held.seconds(1e9) == 3 + 6
    whole = heard(*first, entry("ended", 0, 506.0, "500.000"))
    assert whole.seconds(1e9) == 9, "so it is read back"


def test_a_driver_that_wrote_nothing_costs_nothing() -> None:
    held = heard(entry("proposed", 0, 101.0), entry("reported", 0, 103.0))
    for session in ("200.000", "300.000", "400.000"):
        held.begin(session)
        assert held.seconds(float(session) + 1) == 2 + 1
    held.hear(entry("ended", 0, 1001.0, "1000.000"))
    assert held.seconds(1e9) == 2 + 1
