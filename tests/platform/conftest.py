"""Studies for tests: a toy that costs nothing, and a real one of the size of a smoke test."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from platform.domains import Choice, Int, IntLog, Log, Uniform
from platform.space import load_study
from platform.study import Budget, Cohort, Objective, Resources, Study
from typing import Annotated, Any

import pytest

from trainers.config import Range
from trainers.errors import InputError

SMOKE = """
method: unsb
objectives: {fid: minimize, ms_ssim: maximize, psnr: maximize}
sampler: tpe
search:
  lambda_DMD: {log: [0.05, 4]}
  tau_m: {uniform: [0.03, 0.2]}
  refinement_steps: {int: [1, 3]}
start_from: [{refinement_steps: 2}]
cohort: {source: phantom, train: 3, val: 2, test: 2}
references: {crop: 32, teacher_widths: [16, 16], teacher_layers: 1, teacher_attention: false}
fixed: {steps: 6, rungs: 2, batch_size: 2, crop: 32, generator_width: 4, generator_blocks: 1, latent: 8}
budget: {trials: 4}
"""


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """Refused where ``edge`` reaches ``limit``, as ASP's thresholds refuse some corners of their box."""

    weight: Annotated[float, Range(0.01, 1000)] = 1.0
    edge: Annotated[float, Range(0, 1)] = 0.2
    steps: Annotated[int, Range(1, 64)] = 5
    width: Annotated[int, Range(1, 1024)] = 16
    norm: str = "none"
    limit: float = 0.5

    def __post_init__(self) -> None:
        if self.edge >= self.limit:
            raise InputError(f"edge {self.edge} must be below limit {self.limit}")


TOY = Study(
    name="toy",
    path="toy.yaml",
    profile=None,
    method="toy",
    config=ToyConfig,
    objectives=(Objective("fid", "minimize"), Objective("ms_ssim", "maximize")),
    sampler="random",
    search=(
        Log("weight", 0.1, 100.0),
        Uniform("edge", 0.0, 1.0),
        Int("steps", 1, 8),
        IntLog("width", 4, 256),
        Choice("norm", ("none", "instance", "batch")),
    ),
    fixed={},
    start=(),
    cohort=Cohort("phantom", None),
    references={},
    resources=Resources(),
    budget=Budget(trials=6),
    seed=0,
)

MakeStudy = Callable[..., Study]


@pytest.fixture
def toy() -> MakeStudy:
    """``toy(sampler="tpe")``: a study of two objectives over five fields, half of the space infeasible."""
    return lambda **changes: replace(TOY, **changes)


@pytest.fixture
def start_points() -> tuple[dict[str, Any], ...]:
    """Three feasible points, in no order that a sorting could restore."""
    rows = [(3.0, 0.4, 7, 200, "batch"), (0.2, 0.1, 1, 4, "none"), (50.0, 0.3, 2, 17, "instance")]
    return tuple(dict(zip(("weight", "edge", "steps", "width", "norm"), row, strict=True)) for row in rows)


@pytest.fixture
def smoke(tmp_path: Path) -> Study:
    """A real study of UNSB on a phantom, read from YAML."""
    path = tmp_path / "smoke.yaml"
    path.write_text(SMOKE)
    return load_study(path)
