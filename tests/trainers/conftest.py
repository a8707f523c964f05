"""One tiny cohort with its references, made once a test session."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.cohorts.phantom import PhantomConfig, prepare
from trainers.data.store import Cohort
from trainers.metrics.judge import Judge
from trainers.references import store
from trainers.references.config import ReferenceConfig

TEACHER: dict[str, Any] = {"teacher_widths": (16, 16), "teacher_layers": 1, "teacher_attention": False}
TRAINING = {"teacher_steps": 4, "teacher_batch": 2, "encoder_steps": 4, "encoder_batch": 4}
TINY_REFERENCES = ReferenceConfig(
    crop=32, teacher_patch=2, teacher_check=False, encoder_width=8, **TEACHER, **TRAINING
)


@dataclass(frozen=True)
class Tiny:
    """Paths and opened objects of the session's cohort."""

    root: Path
    cohort: Cohort
    folder: Path
    references: store.References
    judge: Judge


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Three training subjects a domain, two validation and two test subjects, barely trained references."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("storage")
    cohort = Cohort.open(prepare(PhantomConfig(train=3, val=2, test=2, anatomy="first"), root))
    for part in (*store.parts(TINY_REFERENCES), store.RESTORATION):
        store.train_part(part, cohort.path, TINY_REFERENCES, root, lambda step: None)
    folder = store.reference_folder(root, cohort, TINY_REFERENCES)
    references = store.References.open(folder)
    return Tiny(root, cohort, folder, references, Judge.of(cohort, references, "val"))
