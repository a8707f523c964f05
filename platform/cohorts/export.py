"""Native scans of a cohort as a BIDS data set: ``sub-X/anat/sub-X_acq-{64mT,3T}_{T1,T2}w.nii.gz``.

Of 64 mT scans in three planes ``acq-`` is AXI, COR or SAG.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from platform.storage import data_set
from typing import Any

from trainers.cohorts.base import CohortSource
from trainers.cohorts.scans import names, participants, tables, user_files
from trainers.cohorts.scans.field_strength import KEY
from trainers.data.arrays import Array
from trainers.data.store import SPLITS, Cohort
from trainers.errors import InputError
from trainers.files import write_text

TESLA = dict.fromkeys(("64mT", "AXI", "COR", "SAG"), 0.064) | {"3T": 3.0}
"""By the label of an acquisition."""
LEVELS = "participants.json"
README = "Simulated, brain-extracted scans, written by `platform.prepare --export`.\n"


def require_exportable(folder: Path) -> None:
    """Raises InputError for a folder that holds anything but an earlier export."""
    data_set.require_own("--export", folder, "raw", (participants.FILE, LEVELS))


def export_scans(source: CohortSource, config: Any, cohort: Cohort, split: str, folder: Path) -> list[Path]:
    """Write a split's scans, added to those of earlier calls; returns the scans' paths.

    ``participants.tsv`` keeps the split, so that a cohort of the folder has the same. Raises InputError where
    the folder is another data set.
    """
    assert source.native_volumes is not None  # the command has refused other sources
    require_exportable(folder)
    subjects = {
        f"sub-{subject['id'].replace('-', '')}": subject["id"]
        for subject in cohort.manifest["subjects"]
        if subject["split"] == split
    }
    written = []
    with data_set.writing("--export", folder):
        with data_set.locked(folder):  # before the scans: a stopped export goes on
            data_set.describe(folder, "raw", f"{source.name}: simulated scans", README)
        for name, subject in subjects.items():
            volumes = source.native_volumes(config, subject)
            written += [_write(folder / name / "anat", name, *each) for each in volumes.items()]
        with data_set.locked(folder):
            shown = split if split in SPLITS else "test"  # of other people
            _add_participants(folder, dict.fromkeys(subjects, shown))
    return written


def _write(folder: Path, subject: str, kind: tuple[str, str], scan: tuple[Array, Array]) -> Path:
    """Write a scan of a (field, contrast), its voxels and affine, with its sidecar; returns its path."""
    import nibabel as nib

    field, contrast = kind
    path = folder / f"{subject}_acq-{field}_{contrast}w.nii.gz"
    folder.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(*scan)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    facts = {KEY: TESLA[field], "SkullStripped": True}
    write_text(folder / f"{names.stem(path)}.json", json.dumps(facts, indent=1))
    return path


def _add_participants(folder: Path, splits: Mapping[str, str]) -> None:
    """Subjects and their splits; other rows, columns and descriptions of columns are kept."""
    path, levels = folder / participants.FILE, folder / LEVELS
    table = tables.read(path, "\t") if path.is_file() else tables.Table((participants.ID,), ())
    if participants.ID not in table.columns:
        raise InputError(f"{path}: has no column {participants.ID}; allowed: a row for each subject")
    rows = {f"sub-{row[participants.ID].removeprefix('sub-')}": dict(row) for _, row in table.rows}
    columns = [name for name in table.columns if name != participants.ID]
    named = [name for name in columns if name.lower() == participants.SPLIT]
    split_column = named[0] if named else participants.SPLIT
    columns += [] if named else [split_column]
    for subject, split in splits.items():
        rows[subject] = rows.get(subject, {}) | {split_column: split}
    stream = io.StringIO()
    lines = csv.writer(stream, delimiter="\t", lineterminator="\n")
    lines.writerow([participants.ID, *columns])
    lines.writerows([s, *(rows[s].get(name) or "n/a" for name in columns)] for s in sorted(rows))
    write_text(path, stream.getvalue())
    described = user_files.read_json(levels) if levels.is_file() else {}
    if not isinstance(described, dict):
        raise InputError(f"{levels}: holds no JSON object; allowed: one")
    described[split_column] = {"Description": "train, val or test: part of the cohort it was written from"}
    write_text(levels, json.dumps(described, indent=1))
