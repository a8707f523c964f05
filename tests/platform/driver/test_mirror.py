"""A driver's folder in a store: what another machine finds when this one is gone."""

import random
from collections.abc import Callable
from pathlib import Path
from platform.driver import mirror
from platform.driver.lock import StoreLock, lock
from platform.driver.mirror import Mirror, pull, pull_all
from platform.storage.layout import Storage
from platform.storage.ledger import FILE, Ledger, read_trials

import pytest

from trainers.errors import EnvironmentFault
from trainers.files import write_text
from trainers.places import mounts
from trainers.places.mounts import Mount

Machine = Callable[[str], Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine(name)``: the folder of one study on another machine."""
    monkeypatch.setattr(mounts, "_mounts", {})
    monkeypatch.setattr(mirror, "BLOCK", 100)
    monkeypatch.setattr(mirror, "EVERY", 3600.0)  # tests say when

    def made(name: str) -> Path:
        root = mounts.add(Mount(tmp_path / name, f"file://{tmp_path}/store")).root
        folder = root / "studies" / "s"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return made


def started(folder: Path, number: int) -> Mirror:
    mount = mounts.of(folder)
    assert mount is not None
    found = Mirror(mount, folder, number, lambda: None)
    found.start()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """What belongs to a study, without what is this machine's."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "lock"}


def test_another_machine_finds_files_and_logs_as_they_were_pushed(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    driver = started(one, 1)
    (one / "report").mkdir()
    (one / "report" / "a page.html").write_text("first")
    (one / "ledger.jsonl").write_bytes(b"x" * 250)
    for skipped in ("trials/00000/progress", "tune/state.pkl", ".hidden", "lease-000001", "a.lock"):
        (one / skipped).parent.mkdir(parents=True, exist_ok=True)
        (one / skipped).write_text("of this machine")
    driver.push()
    (one / "report" / "a page.html").write_text("second")
    with (one / "ledger.jsonl").open("ab") as log:
        log.write(b"y" * 100)
    assert pull(two)[0] == 1 and contents(two) == {"report/a page.html": b"first", "ledger.jsonl": b"x" * 250}
    driver.close()
    pull(two)
    assert contents(two) == {"report/a page.html": b"second", "ledger.jsonl": b"x" * 250 + b"y" * 100}
    store = mounts.of(one)
    assert store is not None
    blocks = list(store.objects.listed("studies/s/ledger.jsonl"))
    assert [block.size for block in blocks] == [100, 100, 100, 50], "blocks that were replaced are gone"


@pytest.mark.parametrize("seed", range(40))
def test_whoever_drives_next_loses_nothing_that_was_pushed(machine: Machine, seed: int) -> None:
    """Random appends, pushes, rewritten files, deaths and hand-overs between three machines."""
    rng = random.Random(seed)
    pushed = b""
    for number in range(1, 12):
        folder = machine(rng.choice(("one", "two", "three")))
        driver = started(folder, number)
        log = folder / "ledger.jsonl"
        here = log.read_bytes() if log.exists() else b""
        assert here.startswith(pushed), (number, len(here), len(pushed))
        pushed = here  # the start has pushed what a driver of this machine had beyond it
        for _ in range(rng.randrange(6)):
            with log.open("ab") as file:
                file.write(rng.randbytes(rng.randrange(150)))
            write_text(folder / "front.json", str(rng.random()))
            if rng.random() < 0.5:
                driver.push()
                pushed = log.read_bytes()
        if rng.random() < 0.3:
            driver.close()
            pushed = log.read_bytes() if log.exists() else b""
        driver._ended.set()  # its machine dies


def test_what_a_driver_writes_after_it_was_replaced_is_not_read(machine: Machine) -> None:
    one, two, three = machine("one"), machine("two"), machine("three")
    slow = started(one, 1)
    (one / "ledger.jsonl").write_text("a\n")
    slow.push()
    following = started(two, 2)
    with (two / "ledger.jsonl").open("a") as log:
        log.write("b\n")
    following.push()
    with (one / "ledger.jsonl").open("a") as log:
        log.write("not any more\n")
    slow.push()
    pull(three)
    assert (three / "ledger.jsonl").read_text() == "a\nb\n"
    started(one, 3)
    assert (one / "ledger.jsonl").read_text() == "a\nb\n"
    assert (one / ".ledger.jsonl.aside-1").read_text() == "a\nnot any more\n"


def test_a_damaged_block_costs_its_lines_and_no_more(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine("one"), machine("two")
    ledger = Ledger(one)
    for number in range(20):
        ledger.proposed(number, {"weight": float(number)})
    ledger.close()
    store = mounts.of(one)
    assert store is not None
    middle = list(store.objects.listed(f"studies/s/{FILE}"))[10]
    store.objects.put(middle.key, b"?" * middle.size)
    pull(two)
    kept = read_trials(two)
    assert 17 <= len(kept) < 20 and all(trial.params["weight"] == n for n, trial in kept.items())


def test_a_proposal_is_in_the_store_before_anything_follows_from_it(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    ledger = Ledger(one)
    ledger.proposed(0, {"weight": 1.0})
    pull(two)
    assert read_trials(two)[0].params == {"weight": 1.0}
    store = mounts.of(one)
    assert store is not None

    original = store.objects.put
    for number, what in ((1, ""), (2, mirror.LISTS)):

        def away(key: str, content: bytes, what: str = what) -> None:
            if what in key:
                raise EnvironmentFault("away")
            original(key, content)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store.objects, "put", away)
            with pytest.raises(EnvironmentFault, match="away"):
                ledger.proposed(number, {"weight": 2.0})
        ledger._lock.saved(0.0)
        pull(two)
        assert number in read_trials(two), what
    ledger.close()


def test_folders_with_mirrors_of_their_own_come_with_the_whole(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    study = started(one, 1)
    (one / "study.json").write_text("{}")
    (one / "confirmation").mkdir()
    inner = lock(one / "confirmation")
    assert isinstance(inner, StoreLock)
    (one / "confirmation" / "asked.json").write_text("1")
    inner.close()
    study.close()
    pull_all(two)
    assert contents(two) == {"study.json": b"{}", "confirmation/asked.json": b"1"}


def test_a_storage_in_a_store_names_its_studies(machine: Machine, tmp_path: Path) -> None:
    driver = started(machine("one"), 1)
    (machine("one") / "study.json").write_text("{}")
    driver.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSLATOR_CACHE", str(tmp_path / "cache"))
        storage = Storage.open(f"file://{tmp_path}/store")
        assert storage.names() == ["s"] and (storage.existing("s") / "study.json").read_text() == "{}"
        assert storage.shown == f"file://{tmp_path}/store" and storage.tracking == ""
        assert storage.artifacts("sqlite:////db/mlflow.db") == Path("/db/mlartifacts")
