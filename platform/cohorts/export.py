"""Native scans of a cohort as a BIDS data set: ``sub-X/anat/sub-X_acq-{64mT,3T}_{T1,T2}w.nii.gz``.

Of 64 mT scans in three planes ``acq-`` is AXI, COR or SAG.
"""

import json
from pathlib import Path
from typing import Any

import nibabel as nib

from trainers import VERSION
from trainers.cohorts.base import CohortSource
from trainers.cohorts.scans import participants, tables
from trainers.cohorts.scans.field_strength import DESCRIPTION, KEY
from trainers.data.store import SPLITS, Cohort
from trainers.files import write_text

TESLA = dict.fromkeys(("64mT", "AXI", "COR", "SAG"), 0.064) | {"3T": 3.0}
"""By the label of an acquisition."""
BIDS_VERSION, GENERATOR = "1.10.0", "mri-translator-search"


def export_scans(source: CohortSource, config: Any, cohort: Cohort, split: str, folder: Path) -> list[Path]:
    """Write a split's scans, added to those of earlier calls; returns the scans' paths.

    ``participants.tsv`` keeps the split, so that a cohort of the folder has the same.
    """
    assert source.native_volumes is not None  # the command has refused other sources
    written, subjects = [], {}
    for subject in [s["id"] for s in cohort.manifest["subjects"] if s["split"] == split]:
        name = f"sub-{subject.replace('-', '')}"
        subjects[name] = split if split in SPLITS else "test"  # of other people
        anat = folder / name / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for (label, contrast), (values, affine) in source.native_volumes(config, subject).items():
            stem = f"{name}_acq-{label}_{contrast}w"
            written.append(anat / f"{stem}.nii.gz")
            image = nib.Nifti1Image(values, affine)
            image.header.set_xyzt_units("mm")
            nib.save(image, written[-1])
            facts = {KEY: TESLA[label], "SkullStripped": True}
            write_text(anat / f"{stem}.json", json.dumps(facts, indent=1))
    _describe(folder, source.name, subjects)
    return written


def _describe(folder: Path, name: str, subjects: dict[str, str]) -> None:
    """The data set's description, a text, and the splits of its subjects."""
    generated = {"Name": GENERATOR, "Version": VERSION}
    facts = {"Name": f"{name}: simulated scans", "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"}
    write_text(folder / DESCRIPTION, json.dumps({**facts, "GeneratedBy": [generated]}, indent=1))
    text = "Simulated, brain-extracted scans, written by `platform.prepare --export`.\n"
    write_text(folder / "README.md", text)
    path, rows = folder / participants.FILE, dict(subjects)
    if path.is_file():
        rows = {
            row[participants.ID]: row[participants.SPLIT] for _, row in tables.read(path, "\t").rows
        } | rows
    lines = [f"{participants.ID}\t{participants.SPLIT}", *(f"{s}\t{rows[s]}" for s in sorted(rows))]
    write_text(path, "\n".join(lines) + "\n")
    levels = {
        participants.SPLIT: {"Description": "train, val or test: part of the cohort it was written from"}
    }
    write_text(folder / "participants.json", json.dumps(levels, indent=1))
