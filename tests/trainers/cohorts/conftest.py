"""A small clinic: phantoms as NIfTI, some of them in two sessions or at both fields, and its cohort."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from tests.trainers.cohorts.geometry import displacement
from trainers.cohorts import folder, phantom
from trainers.cohorts.preprocessing import registration
from trainers.cohorts.scans import visit_preparation
from trainers.cohorts.scans.pipeline import Workspace
from trainers.data.arrays import Array
from trainers.data.store import Cohort

PERSONS = {
    **{"a": "train-64mT-0000", "b": "train-64mT-0001", "v": "val-0000", "t": "test-0000"},
    **{"hh1": "train-3T-0000", "hh2": "train-3T-0001"},
}
BRIGHTER = {"a": 1.2, "v": 1.1}
"""Volunteers with a second session at 64 mT, and its gain."""


@dataclass(frozen=True)
class Clinic:
    """Scans in a BIDS tree: all 3 T headers of ``v`` and ``t`` are off by ``move``."""

    root: Path
    volumes: dict[tuple[str, str, str], tuple[Array, Array]]
    """Values and affine as they were imaged, by (person, field, contrast)."""
    move: Array


@dataclass(frozen=True)
class Site:
    """A clinic for one test with prepared visits, and the platform's storage."""

    config: folder.FolderConfig
    storage: Path

    @property
    def scans(self) -> Path:
        return Path(self.config.root)

    @property
    def workspace(self) -> Workspace:
        return Workspace.of("folder", self.config, self.storage)

    def scan(self, name: str) -> Path:
        """As ``sub-b_acq-64mT_T1w``."""
        (found,) = self.scans.rglob(f"{name}.nii.gz")
        return found

    def put(self, name: str, content: bytes) -> None:
        """Replace a scan; other hard links to it keep the old one."""
        path = self.scan(name)
        path.unlink()
        path.write_bytes(content)

    def prepare(self, **changes: Any) -> Cohort:
        return Cohort.open(folder.prepare(replace(self.config, **changes), self.storage))

    def reasons(self) -> dict[str, str]:
        """The reasons of excluded visits."""
        rows = json.loads(self.workspace.outcome.read_text())["visits"]
        return {row["id"]: row["reason"] for row in rows if row["reason"]}

    def answer(self, **answers: str) -> None:
        """Answers in the table of exclusions; ``_`` is ``-`` after ``sub``."""
        lines = [f"{name.replace('sub_', 'sub-')},{answer}" for name, answer in answers.items()]
        self.workspace.exclusions.parent.mkdir(parents=True, exist_ok=True)
        self.workspace.exclusions.write_text("\n".join(["visit,exclude", *lines]) + "\n")


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    torch.set_num_threads(1)
    root, config = (
        tmp_path_factory.mktemp("clinic"),
        phantom.PhantomConfig(train=2, val=1, test=1, anatomy="first"),
    )
    move, volumes = displacement((5, -2, 3), (4, -3, 2)), {}
    for name, subject in PERSONS.items():
        for (field, contrast), (values, affine) in phantom.native_volumes(config, subject).items():
            volumes[name, field, contrast] = values, affine
            header = move @ affine if field == "3T" and name in "vt" else affine
            again = name in BRIGHTER and field == "64mT"
            sessions = {"ses-1": 1.0, "ses-2": BRIGHTER[name]} if again else {"": 1.0}
            for session, gain in sessions.items():
                path = root / f"sub-{name}" / session / "anat"
                path.mkdir(parents=True, exist_ok=True)
                stem = "_".join(part for part in (f"sub-{name}", session, f"acq-{field}") if part)
                nib.save(nib.Nifti1Image(gain * values, header), path / f"{stem}_{contrast}w.nii.gz")
    return Clinic(root, volumes, move)


@pytest.fixture(scope="session")
def prepared(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The clinic's cohort, built once, for tests that do not change it."""
    config = folder.FolderConfig(root=str(clinic.root), size="2mm", val=1, dtype="float32")
    site = Site(config, tmp_path_factory.mktemp("storage"))
    site.prepare()
    return site


@pytest.fixture
def site(prepared: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A copy that a test may change; new registrations are the identity."""
    monkeypatch.setattr(registration, "register", lambda *_, **__: np.eye(4))
    shutil.copytree(prepared.scans, tmp_path / "scans", copy_function=os.link)
    own = Site(replace(prepared.config, root=str(tmp_path / "scans")), tmp_path / "storage")
    shutil.copytree(prepared.workspace.visits, own.workspace.visits)
    return own


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Visits examined in this test, by the name of their first scan; others were skipped."""
    names: list[str] = []
    original: Callable[..., Any] = visit_preparation.examine

    def examine(scans: Any, *rest: Any) -> Any:
        names.append(next(iter(scans.values())).path.name.removesuffix("_T1w.nii.gz"))
        return original(scans, *rest)

    monkeypatch.setattr(visit_preparation, "examine", examine)
    return names
