"""The scans of a synthetic cohort as NIfTI files, to try translation on."""

from pathlib import Path
from typing import Any

import nibabel as nib

from trainers.cohorts.base import CohortSource
from trainers.data.store import Cohort


def export_scans(source: CohortSource, config: Any, cohort: Cohort, split: str, folder: Path) -> list[Path]:
    """Native scans of a split as ``sub-X/anat/sub-X_acq-{64mT,3T}_{T1,T2}w.nii.gz``; returns their paths."""
    assert source.native_volumes is not None  # the command has refused other sources
    written = []
    for subject in [s["id"] for s in cohort.manifest["subjects"] if s["split"] == split]:
        name = f"sub-{subject.replace('-', '')}"
        anat = folder / name / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for (field, contrast), (values, affine) in source.native_volumes(config, subject).items():
            written.append(anat / f"{name}_acq-{field}_{contrast}w.nii.gz")
            nib.save(nib.Nifti1Image(values, affine), written[-1])
    return written
