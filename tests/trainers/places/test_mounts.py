"""Folders that are copies of a store: what one machine publishes another finds whole, as before or after."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.trainers.conftest import Tiny
from tests.trainers.places.conftest import Machine
from trainers import checkpoint, weights
from trainers.data import writer
from trainers.data.store import Cohort
from trainers.errors import EnvironmentFault, InputError
from trainers.places import mounts
from trainers.places.cache import INDEX, YOUNG


def publish(folder: Path, value: float, key: str = "k") -> None:
    """A folder of two files and a manifest, as a checkpoint is one."""
    groups = {name: {"w": torch.full((1000,), value)} for name in ("networks", "averaged")}
    step = int(folder.name.removeprefix("step-"))
    weights.publish(folder, groups, {"key": key, "step": step}, "checkpoint")


def value_of(folder: Path, name: str = "averaged") -> float:
    return float(weights.read_tensors(folder, name)["w"][0])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_another_machine_brings_only_the_files_that_are_read(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    assert not weights.is_published(two / "t" / "step-000000001")
    publish(one / "t" / "step-000000001", 1.5)
    there = two / "t" / "step-000000001"
    assert weights.is_published(there) and files(there) == {INDEX, weights.MANIFEST}
    assert value_of(there) == 1.5 and files(there) == {INDEX, weights.MANIFEST, "averaged.safetensors"}
    assert weights.verify(there)["key"] == "k" and files(there) == files(one / "t" / "step-000000001")


def test_a_folder_that_is_replaced_is_found_as_before_or_as_after(machine: Machine) -> None:
    one, two, three = machine("one"), machine("two"), machine("three")
    name = Path("t", "step-000000001")
    publish(one / name, 1.0)
    assert value_of(two / name, "networks") == 1.0  # the other file is not here yet
    publish(one / name, 2.0)
    assert weights.verify(two / name) and value_of(two / name) == value_of(two / name, "networks") == 2.0
    store = mounts.of(one)
    assert store is not None
    places = {stored.key for stored in store.objects.listed(str(name))}
    assert len(places) == 4, "what the first index listed alone is gone"

    class Killed(BaseException):
        pass

    def put(key: str, content: bytes | Path) -> None:
        if key.endswith(INDEX):
            raise Killed
        original(key, content)

    original = store.objects.put
    store.objects.put = put  # type: ignore[method-assign]
    with pytest.raises(Killed):
        publish(one / name, 3.0)
    store.objects.put = original  # type: ignore[method-assign]
    assert value_of(three / name) == 2.0 and value_of(one / name) == 3.0
    assert checkpoint.latest(one / "t", "k") is not None  # a driver resumes from it: others must find it
    shutil.rmtree(three / "t")
    assert value_of(three / name) == 3.0


def test_what_is_damaged_on_the_way_or_in_the_store_is_never_used(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    name = Path("t", "step-000000001")
    publish(one / name, 1.0)
    weights.verify(two / name)
    path = two / name / "averaged.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert weights.verify(two / name) and value_of(two / name) == 1.0, "brought again"
    store = mounts.of(one)
    assert store is not None
    place = next(s.key for s in store.objects.listed(str(name)) if s.key.endswith("averaged.safetensors"))
    store.objects.put(place, b"damaged")
    shutil.rmtree(two)
    with pytest.raises(InputError, match="is damaged"):
        value_of(two / name)
    shutil.rmtree(two)
    store.objects.put(f"{name}/{INDEX}", b"{}x")
    with pytest.raises(InputError, match="damaged"):
        weights.is_published(two / name)
    (one / name / INDEX).unlink()
    mounts.publish(one / name)
    assert weights.verify(two / name), "published anew, over what was damaged"


def test_a_trial_goes_on_elsewhere_from_its_newest_intact_checkpoint(machine: Machine) -> None:
    one, two, driver = machine("one"), machine("two"), machine("driver")
    for step in (10, 20, 30):
        publish(checkpoint.folder_of(one / "t", step), float(step))
        checkpoint.keep_newest(one / "t", checkpoint.KEEP)
    assert checkpoint.newest_step(driver / "t") == 30
    found = checkpoint.latest(two / "t", "k")
    assert found is not None and found.step == 30 and value_of(found.folder) == 30.0
    assert checkpoint.latest(two / "t", "another") is None
    publish(checkpoint.folder_of(two / "t", 40), 40.0)
    checkpoint.keep_newest(driver / "t", 1)
    assert mounts.published(one / "t").keys() == {"step-000000040"}
    found = checkpoint.latest(one / "t", "k")
    assert found is not None and found.step == 40


def test_a_store_that_is_away_does_not_end_what_only_tidies(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    publish(checkpoint.folder_of(one / "t", 10), 1.0)
    store = mounts.of(one)
    assert store is not None

    def away(*_: object) -> None:
        raise EnvironmentFault("away")

    monkeypatch.setattr(store.objects, "listed", away)
    checkpoint.keep_newest(one / "t", 0)
    assert checkpoint.newest_step(one / "t") == 0
    with pytest.raises(EnvironmentFault, match="away"):
        checkpoint.latest(one / "t", "k")


def test_a_copy_keeps_to_its_limit_and_never_drops_what_is_nowhere_else(machine: Machine) -> None:
    one, small = machine("one"), machine("small", limit=25_000)
    names = [Path("t", f"step-00000000{n}") for n in range(1, 5)]
    for number, name in enumerate(names):
        publish(one / name, float(number))
    own = small / "own" / "step-000000001"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounts, "_mounts", {})
        publish(own, 9.0)  # as if its store had not answered
    for age, name in zip((3, 2, 1), names, strict=False):
        weights.verify(small / name)
        used = (small / name / INDEX).stat().st_mtime - age * YOUNG
        os.utime(small / name / INDEX, (used, used))
    weights.verify(small / names[3])
    assert [(small / name).exists() for name in names] == [False, False, True, True]
    assert value_of(own) == 9.0 and value_of(small / names[0]) == 0.0, "brought again"


def test_a_cohort_is_brought_split_by_split(machine: Machine, tiny: Tiny) -> None:
    one, two = machine("one"), machine("two")
    made = one / tiny.cohort.path.relative_to(tiny.root)
    shutil.copytree(tiny.cohort.path, made)
    mounts.publish(made)
    there = writer.find(two, Cohort.open(made).hash)
    assert there == two / made.relative_to(one)
    cohort = Cohort.open(there)
    cohort.verify("val")
    assert {path.parent.name for path in there.rglob("*.npy")} == {"val"}, "test is not here"
    assert (cohort.split("test").mask("3T") == Cohort.open(made).split("test").mask("3T")).all()


def test_below_no_mount_nothing_happens(tmp_path: Path) -> None:
    folder = tmp_path / "t" / "step-000000001"
    publish(folder, 1.0)
    assert INDEX not in files(folder) and mounts.published(tmp_path / "t") == {}
    assert mounts.shown(folder) == str(folder)
    with pytest.raises(InputError, match="missing or damaged"):
        (folder / "averaged.safetensors").unlink()
        weights.verify(folder)
