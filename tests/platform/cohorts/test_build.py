"""References, bounds and cards that two commands need at the same time are made once."""

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from platform.cohorts import bound, build
from platform.cohorts.bound import bound_config, prepare_bound
from platform.cohorts.build import prepare_references
from platform.study.study import Study
from typing import Any

import pytest
from rich.console import Console

from tests.platform.cohorts.test_measurable import cohort
from trainers import weights
from trainers.bounds import store as bounds
from trainers.metrics import card


def twice(make: Any) -> list[Any]:
    """The results of two threads, which lock files as two processes do."""
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(make())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Training:
    """In place of Ray: publishes each part after a while; counts how often."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    def __call__(
        self, kind: str, totals: Mapping[str, int], train: Any, folder: Path, at_once: int, console: Console
    ) -> None:
        time.sleep(0.5)
        for part in totals:
            self.trained.append(part)
            weights.publish(folder / part, {}, {"error": len(part), "crop": 32}, "bound")


def test_references_are_trained_once(smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, training, console = cohort(tmp_path / "c", {"val": 1, "test": 1}), Training(), Console(record=True)
    monkeypatch.setattr(build, "train_parts", training)
    folders = twice(lambda: prepare_references(smoke, found.path, tmp_path, console))
    made = [path.parent.name for path in folders[0].glob(f"*/{weights.MANIFEST}")]
    assert folders[0] == folders[1] and sorted(training.trained) == sorted(made)
    assert {"teacher", "domain"} <= set(made)
    assert console.export_text().count("waiting for another process that makes these references") == 1
    prepare_references(smoke, found.path, tmp_path, console)
    assert len(training.trained) == len(made) and not console.export_text()


def test_a_bound_is_trained_once(smoke: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, training, console = cohort(tmp_path / "c", {"val": 2, "test": 1}), Training(), Console(record=True)
    monkeypatch.setattr(bound, "train_parts", training)
    config = bound_config(smoke)
    assert config is not None
    folders = twice(lambda: prepare_bound(config, found.path, tmp_path, console, ("val",)))
    expected = [part for parts in bounds.stages(found, config, ("val",)) for part in parts]
    assert training.trained == expected and folders == 2 * [bounds.bound_folder(tmp_path, found, config)]
    assert console.export_text().count("waiting for another process that makes this bound") == 1


def test_a_card_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cohort(tmp_path / "c", {"val": 2, "test": 1})
    computed, waits = [], []

    def compute(files: Mapping[Path, Any], pairs: Any) -> None:
        time.sleep(0.5)
        computed.extend(files)
        for path in files:
            path.write_text(json.dumps({}))

    monkeypatch.setattr(card, "compute", compute)
    wait = {"waiting": lambda: waits.append("waiting")}
    assert twice(lambda: card.read_or_compute_patches(tmp_path, found, "t1_t2_mean", **wait)) == [{}, {}]
    assert len(computed) == len(waits) == 1
