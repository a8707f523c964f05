"""``python -m platform.prepare``: cohort and references ahead of a search; phantom scans as NIfTI."""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from platform import cli, preflight, preparation
from platform.cli import console
from platform.search import load_saved
from platform.space import find_space, load_study, profile_choices
from platform.storage import Storage
from platform.study import Study
from typing import Any

from trainers.cohorts.store import SPLITS, Cohort


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m platform.prepare", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--space", help="YAML search space: a path, or a file of search_spaces/")
    what.add_argument("--study", metavar="NAME", help="a study that was begun")
    parser.add_argument("--profile", help="variant of the space (default: by the resources found)")
    parser.add_argument(
        "--storage", default="runs", help="folder of cohorts, references and studies (default: runs)"
    )
    parser.add_argument("--address", help="a running Ray cluster (default: Ray is started on this machine)")
    parser.add_argument(
        "--export", metavar="DIR", help="write a split's phantom scans as NIfTI, brain-extracted, BIDS-like"
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="which split to export (default: test)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    from platform import tuning

    options = arguments(argv)
    storage = Storage.open(options.storage)
    study = chosen_study(options, storage)
    tuning.start_ray(options.address, study.resources)
    cohort = preparation.prepare_cohort(study.cohort, storage.root, console)
    references = preparation.prepare_references(study, cohort, storage.root, console)
    console.print(f"cohort: {cohort}\nreferences: {references}")
    if options.export:
        for path in export(study, Cohort.open(cohort), options.split, Path(options.export)):
            console.print(path)


def chosen_study(options: argparse.Namespace, storage: Storage) -> Study:
    """The study of ``--study`` or of ``--space``."""
    if options.study:
        return load_saved(storage.existing(options.study))[0]
    path = find_space(options.space)
    machine = preflight.Machine.here()
    profile = options.profile or preflight.choose_profile(machine, profile_choices(path), options.address)
    return load_study(path, profile=profile)


def export(study: Study, cohort: Cohort, split: str, folder: Path) -> list[Path]:
    """Native scans as ``sub-X/anat/sub-X_acq-{64mT,3T}_{T1,T2}w.nii.gz``."""
    import nibabel as nib

    source: Any = importlib.import_module(f"trainers.cohorts.{study.cohort.source}")
    written = []
    for subject in [s["id"] for s in cohort.manifest["subjects"] if s["split"] == split]:
        name = f"sub-{subject.replace('-', '')}"
        anat = folder / name / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for (field, contrast), (values, affine) in source.native_volumes(
            study.cohort.config, subject
        ).items():
            written.append(anat / f"{name}_acq-{field}_{contrast}w.nii.gz")
            nib.save(nib.Nifti1Image(values, affine), written[-1])
    return written


if __name__ == "__main__":
    cli.run(main)
