"""Splits are by volunteer and stable when others are added or removed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from trainers.cohorts.scans.splits import assign, paired
from trainers.cohorts.scans.visits import Visit
from trainers.errors import InputError

SEEDS = range(20)


def visit(subject: str, domain: str = "64mT", session: str = "", split: str = "") -> Visit:
    return Visit(subject, session, domain, None, None, None, split)


def population(seed: int, pairs: int) -> list[Visit]:
    """Volunteers in any order: 64 mT alone in one to three sessions, 3 T alone, and ``pairs`` at both."""
    rng = np.random.default_rng(seed)
    visits = [visit(f"hh{i}", "3T") for i in range(12)]
    for i in range(20):
        for session in range(int(rng.integers(1, 4))):
            visits.append(visit(f"sub-{i:02d}", session=f"ses-{session}"))
    visits += [visit(f"sub-{i:02d}", "3T") for i in range(pairs)]
    return [visits[i] for i in rng.permutation(len(visits))]


def members(splits: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for subject, split in splits.items():
        found[split].add(subject)
    return found


def test_paired_are_those_scanned_at_both_fields_and_one_session_decides_for_all() -> None:
    visits = [visit("a"), visit("a", session="2"), visit("b"), visit("b", "3T"), visit("c", "3T")]
    assert paired(visits) == {"b"}
    visits = [visit("a", session="1", split="test"), visit("a", session="2"), visit("b"), visit("c")]
    assert assign(visits, val=1, test=1, seed=0)["a"] == "test"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_paired_volunteer_trains_and_all_the_others_do(seed: int) -> None:
    visits = population(seed, pairs=11)
    splits = assign(visits, val=4, test=1, seed=seed)
    found = members(splits)
    assert set(splits) == {v.subject for v in visits}
    assert found["val"] | found["test"] == paired(visits) and len(found["val"]) == 4
    assert found["train"] == {v.subject for v in visits} - paired(visits)
    visits = population(seed, pairs=0)  # then some of 64 mT are drawn
    found = members(assign(visits, val=3, test=5, seed=seed))
    assert len(found["val"]) == 3 and len(found["test"]) == 5
    assert not any(subject.startswith("hh") for subject in found["val"] | found["test"])


def test_the_draw_depends_on_names_and_seed_alone() -> None:
    """A volunteer's split depends on the name alone: not on how many sessions there are, nor their order."""
    once = [visit(f"sub-{i:02d}") for i in range(20)]
    often = [visit(f"sub-{i:02d}", session=f"ses-{k}") for i in reversed(range(20)) for k in range(1 + i % 3)]
    for seed in SEEDS:
        assert assign(often, 3, 3, seed) == assign(once, 3, 3, seed)
    visits = population(0, pairs=11)
    drawn = {frozenset(members(assign(visits, 4, 1, seed))["val"]) for seed in SEEDS}
    assert len(drawn) > 15


@pytest.mark.parametrize("pairs", [0, 11])
@pytest.mark.parametrize("seed", range(5))
def test_when_one_leaves_the_others_keep_their_split(seed: int, pairs: int) -> None:
    """At most one other volunteer takes the free place."""
    visits = population(seed, pairs)
    before = assign(visits, 4, 4, seed)
    for gone in sorted(before):
        after = assign([v for v in visits if v.subject != gone], 4, 4, seed)
        moved = {subject for subject in after if after[subject] != before[subject]}
        if before[gone] == "train" or (pairs and before[gone] == "test"):
            assert not moved
        else:
            assert all((before[s], after[s]) in {("test", "val"), ("train", "test")} for s in moved)
            assert len(moved) <= 2 - bool(pairs)


def test_splits_of_the_source_are_kept_and_counted_with_and_without_pairs() -> None:
    visits = population(1, pairs=6)
    chosen = {"sub-00": "val", "sub-01": "val", "sub-02": "test"}
    decided = [replace(v, split=chosen.get(v.subject, "")) for v in visits]
    splits = assign(decided, val=3, test=1, seed=0)
    assert {subject: splits[subject] for subject in chosen} == chosen
    assert len(members(splits)["val"]) == 3
    given = {0: "test", 1: "test", 2: "val", 3: "train"}
    visits = [visit(f"sub-{i:02d}", split=given.get(i, "")) for i in range(12)]
    found = members(assign(visits, val=2, test=3, seed=0))
    assert {"sub-00", "sub-01"} < found["test"] and len(found["test"]) == 3
    assert "sub-02" in found["val"] and len(found["val"]) == 2 and "sub-03" in found["train"]


def test_refused_visits_make_no_pair_and_are_not_drawn() -> None:
    refused = [replace(visit(s, domain), problem="unclear") for s, domain in (("a", "3T"), ("b", "64mT"))]
    visits = [visit("a"), visit("b", "3T"), visit("c"), *refused]
    assert paired(visits) == set()
    found = members(assign(visits, val=1, test=1, seed=0))
    assert found["val"] | found["test"] == {"a", "c"} and found["train"] == {"b"}
    refused.append(replace(visit("d", "3T", split="train"), problem="unclear"))
    assert assign([*visits, *refused, visit("d")], val=1, test=0, seed=0)["d"] == "train"


CONFLICTS: list[tuple[Sequence[Visit], str]] = [
    ([visit("a", session="1", split="val"), visit("a", session="2", split="test")], "a: is in val and test"),
    ([visit("a", split="train"), visit("a", "3T")], "a: was scanned at both fields and cannot train"),
    ([visit("a", split="training")], "a_64mT: split 'training' is not allowed; allowed: train, val, test"),
    (
        [visit("a"), visit("a", "3T"), visit("b", split="val")],
        "b: is in val and was not scanned at 3 T, as pairs are; allowed: pairs, or none at 3 T",
    ),
    ([visit("a"), visit("c"), visit("b", "3T", split="test")], "b: is in test and was not scanned at 64 mT"),
]


@pytest.mark.parametrize("visits, message", CONFLICTS)
def test_a_conflict_is_a_one_line_error(visits: Sequence[Visit], message: str) -> None:
    with pytest.raises(InputError) as caught:
        assign(visits, val=1, test=1, seed=0)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
