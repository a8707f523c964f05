"""For tests: a study that costs nothing and one of the size of a smoke test; a translator; a DICOM series."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from platform.spaces.loader import load_study
from platform.study.budget import Budget
from platform.study.dimensions import Choice, Int, IntLog, Log, Uniform
from platform.study.settings import CohortChoice, Objective, Resources
from platform.study.study import Study
from typing import Annotated, Any

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from trainers import weights
from trainers.config import Range
from trainers.errors import InputError
from trainers.export import TRANSLATOR
from trainers.methods.base import find_method
from trainers.references.config import ReferenceConfig

SMOKE = """
method: unsb
objectives: {fid: minimize, ms_ssim: maximize, psnr: maximize}
sampler: tpe
search:
  lambda_DMD: {log: [0.05, 4]}
  tau_m: {uniform: [0.03, 0.2]}
  refinement_steps: {int: [1, 3]}
start_from: [{refinement_steps: 2}]
cohort: {source: phantom, train: 3, val: 2, test: 2, anatomy: first}
references: {crop: 32, teacher_widths: [16, 16], teacher_layers: 1, teacher_attention: false}
fixed: {steps: 6, rungs: 2, batch_size: 2, crop: 32, generator_width: 4, generator_blocks: 1, latent: 8}
budget: {trials: 4}
"""


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """Refused where ``edge`` reaches ``limit``: half of the space is infeasible, as some of ASP's is."""

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
    methods=("toy",),
    configs=(ToyConfig,),
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
    cohort=CohortChoice("phantom", None),
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
    """Three feasible points, not sorted by any field."""
    rows = [(3.0, 0.4, 7, 200, "batch"), (0.2, 0.1, 1, 4, "none"), (50.0, 0.3, 2, 17, "instance")]
    return tuple(dict(zip(("weight", "edge", "steps", "width", "norm"), row, strict=True)) for row in rows)


@pytest.fixture
def smoke(tmp_path: Path) -> Study:
    """A real study of UNSB on a phantom, read from YAML."""
    path = tmp_path / "smoke.yaml"
    path.write_text(SMOKE)
    return load_study(path)


WIDTHS = {
    "unsb": {"generator_width": 4, "generator_blocks": 1, "latent": 8},
    "cut": {"generator_width": 4, "generator_blocks": 1},
}
MakeTranslator = Callable[..., Path]


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> MakeTranslator:
    """``translator("cut", channels="t1", seed=1)``: the folder of an export with fixed random weights."""

    def make(method: str = "unsb", channels: Any = "t1_t2_mean", seed: int = 0) -> Path:
        module, references = find_method(method), ReferenceConfig(channels=channels)
        config = module.Config(**WIDTHS[method], seed=seed)
        torch.manual_seed(0)
        networks = module.Method.translators(config, references)
        tensors = {f"{name}.{k}": v for name, n in networks.items() for k, v in n.state_dict().items()}
        # Far enough from the initial values for the latent to change the output.
        tensors = {k: v + 0.1 * torch.randn_like(v) for k, v in tensors.items()}
        facts = {
            "method": method,
            "config": asdict(config),
            "steps": 2 if method == "unsb" else 1,
            "trial_key": "a trial",
            "cohort": "a cohort",
            "reference_config": asdict(references),
            "shape": [112, 96],
            "spacing": 2.0,
            "normalisation": "by percentiles",
        }
        folder = tmp_path_factory.mktemp("translators") / f"{method}_{channels}_{seed}"
        weights.publish(folder, {TRANSLATOR: tensors}, facts, "model")
        return folder

    return make


@pytest.fixture(scope="session")
def series() -> Callable[..., Path]:
    """``series(folder, volume [slices, rows, columns])``: a DICOM series under shuffled names; LPS, mm."""
    return write_series


AXIAL = np.eye(3)[:2]


def write_series(
    folder: Path,
    volume: NDArray[Any],
    axes: NDArray[Any] = AXIAL,
    origin: tuple[float, ...] = (0.0, 0.0, 0.0),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    number: int = 1,
    field: float = 0.064,
) -> Path:
    """``axes``: directions along a row, a column; ``spacing``: between rows, columns, slices."""
    folder.mkdir(exist_ok=True)
    uids = {key: generate_uid() for key in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    names = np.random.default_rng(number).permutation(len(volume))
    for k, plane in enumerate(volume):
        image = pydicom.Dataset()
        for key, uid in uids.items():
            setattr(image, key, uid)
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.Modality, image.Manufacturer, image.PatientID = "MR", "Hyperfine", "nobody"
        image.SeriesNumber, image.InstanceNumber, image.SeriesDescription = number, k + 1, "scan"
        image.MagneticFieldStrength, image.RepetitionTime, image.EchoTime = field, 880, 5
        image.Rows, image.Columns = plane.shape
        image.PixelSpacing, image.SliceThickness = list(spacing[:2]), spacing[2]
        image.SpacingBetweenSlices = spacing[2]
        image.ImageOrientationPatient = [float(x) for x in axes.ravel()]
        place = origin + k * spacing[2] * np.cross(*axes)
        image.ImagePositionPatient = [round(float(x), 6) for x in place]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.PixelData = plane.astype("<u2").tobytes()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"{number}_{names[k]:04d}", enforce_file_format=True)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)
